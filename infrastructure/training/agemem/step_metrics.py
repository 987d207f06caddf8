"""What a step of GRPO did, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from infrastructure.training.agemem.advantages import GroupCounts
from infrastructure.training.agemem.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Terms:
    """What the loss of some decisions is made of; tensors without dimensions.

    Attributes:
        policy: the clipped objective, negated.
        kl: mean divergence of the policy from the reference.
        entropy: mean entropy of the policy.
        clipped: share of decisions whose ratio was clipped.
        loss: all of it, weighed.
    """

    policy: Tensor
    kl: Tensor
    entropy: Tensor
    clipped: Tensor
    loss: Tensor


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """What one step did. Means are over gradients, weighed by their decisions; 0 without any.

    Attributes:
        loss, policy_loss, kl, entropy, clip_fraction, gradient_norm: see `Terms`; the norm is that
            before it was shortened.
        updates: gradients that were taken.
        skipped_updates: gradients that were not finite, and left out.
        decisions: that were learnt from.
        mean_reward, mean_success: over all rollouts with finite returns.
        group_variance: mean variance of the returns within a group.
        groups, dropped_empty, dropped_zero_variance, rollouts, dropped_rollouts: see `GroupCounts`.
        seconds: that learning took.
    """

    loss: float
    policy_loss: float
    kl: float
    entropy: float
    clip_fraction: float
    gradient_norm: float
    updates: int
    skipped_updates: int
    decisions: int
    mean_reward: float
    mean_success: float
    group_variance: float
    groups: int
    dropped_empty: int
    dropped_zero_variance: int
    rollouts: int
    dropped_rollouts: int
    seconds: float


class Tally:
    """Sums over the gradients of a step."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.decisions = 0
        self.updates = 0
        self.skipped = 0

    def add(self, terms: Terms, norm: float, decisions: int) -> None:
        """Count a gradient."""
        for name in ("loss", "policy", "kl", "entropy", "clipped"):
            self._add(name, float(getattr(terms, name).detach()), decisions)
        self._add("norm", norm, decisions)
        self.decisions += decisions
        self.updates += 1

    def mean(self, name: str) -> float:
        """Mean of a figure over the decisions of all gradients, 0 without any."""
        return self._sums[name] / self.decisions if self.decisions else 0.0

    def _add(self, name: str, value: float, decisions: int) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value * decisions


def step_metrics(
    groups: Sequence[Sequence[Trajectory]],
    counts: GroupCounts,
    tally: Tally,
    decisions: int,
    seconds: float,
) -> StepMetrics:
    """What a step did.

    Args:
        groups: its rollouts.
        counts: what became of them.
        tally: its gradients.
        decisions: that were learnt from.
        seconds: that learning took.
    """
    returns = [[one.total_reward for one in group] for group in groups]
    finite = [[value for value in group if np.isfinite(value)] for group in returns]
    rewards = [value for group in finite for value in group]
    variances = [float(np.var(group)) for group in finite if len(group) > 1]
    successes = [one.success for group in groups for one in group]
    return StepMetrics(
        loss=tally.mean("loss"),
        policy_loss=tally.mean("policy"),
        kl=tally.mean("kl"),
        entropy=tally.mean("entropy"),
        clip_fraction=tally.mean("clipped"),
        gradient_norm=tally.mean("norm"),
        updates=tally.updates,
        skipped_updates=tally.skipped,
        decisions=decisions,
        mean_reward=mean(rewards),
        mean_success=mean(successes),
        group_variance=mean(variances),
        groups=counts.groups,
        dropped_empty=counts.dropped_empty,
        dropped_zero_variance=counts.dropped_zero_variance,
        rollouts=counts.rollouts,
        dropped_rollouts=counts.dropped_rollouts,
        seconds=seconds,
    )


def mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing."""
    return float(np.mean(values)) if values else 0.0
