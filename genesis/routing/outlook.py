"""What to expect of every way of doing a task before any is tried, and how outcomes go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Outlook:
    """Expectations for one task.

    Outcomes of different options at one task go together: what one model finds hard, the others
    often find hard too. Given a hidden state of the task (how hard it is, or of which kind)
    outcomes are independent; a single state means that they are independent altogether.

    Attributes:
        options: names, see `option_name`.
        success: P(verified | state), float64 [options, states].
        weights: P(state), float64 [states], sum 1.
        usd: expected price of one attempt, US dollars, float64 [options].
        support: training examples that speak for each option here, float64 [options].
        rate: share of verified successes of each option where all this was learnt, float64
            [options].
    """

    options: tuple[str, ...]
    success: NDArray[np.float64]
    weights: NDArray[np.float64]
    usd: NDArray[np.float64]
    support: NDArray[np.float64]
    rate: NDArray[np.float64]

    @property
    def marginal(self) -> NDArray[np.float64]:
        """P(verified) of each option tried alone, float64 [options]."""
        return self.success @ self.weights


def option_name(operation: str, agent: str, model: str, effort: str) -> str:
    """The name of one way of doing a task, as policies know it."""
    return "/".join((operation, agent, model, effort))
