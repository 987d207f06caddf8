"""When a stage ends before its steps are used up: validations no longer find a better policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """What the validations of a stage showed so far.

    Attributes:
        patience: validations without a better one after which to stop; 0 for never.
        best: the best score; None before the first.
        best_step: the step of the stage at which it was reached.
        since: validations since then.
        seen_at: the step of the last validation; -1 before the first.
    """

    patience: int
    best: float | None = None
    best_step: int = 0
    since: int = 0
    seen_at: int = -1

    @property
    def stop(self) -> bool:
        """Whether patience is used up."""
        return 0 < self.patience <= self.since

    def improved_by(self, score: float) -> bool:
        """Whether a score is the best so far; one that is not finite never is."""
        return math.isfinite(score) and (self.best is None or score > self.best)

    def after(self, score: float, step: int) -> EarlyStopping:
        """What is known after a validation."""
        if self.improved_by(score):
            return replace(self, best=score, best_step=step, since=0, seen_at=step)
        return replace(self, since=self.since + 1, seen_at=step)
