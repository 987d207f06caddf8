"""What an inferrer answers: a task type, how sure it is, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inference:
    """The task type of a request.

    Attributes:
        task_type: the most likely type.
        confidence: 0 to 1; the share that `scores` gives it.
        scores: every known type's share; they add up to 1.
        reason: why, for people.
    """

    task_type: str
    confidence: float
    scores: Mapping[str, float]
    reason: str


class Inferrer(Protocol):
    """Tells a request's task type."""

    def infer(self, text: str) -> Inference:
        """The task type of a request; never raises for any text."""
        ...


def from_scores(scores: Mapping[str, float], softening: float, reason: str) -> Inference:
    """The best of raw scores; shares by a softmax, flatter the larger `softening` is."""
    top = max(scores.values())
    raised = {kind: math.exp((score - top) / softening) for kind, score in scores.items()}
    total = sum(raised.values())
    shares = {kind: value / total for kind, value in raised.items()}
    winner = max(shares, key=lambda kind: shares[kind])
    return Inference(winner, shares[winner], shares, reason)
