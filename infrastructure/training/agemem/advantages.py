"""Groups of rollouts as rows that a policy learns from: each decision with its advantage.

The advantage of a rollout among those of its group follows GRPO (Z. Shao et al., DeepSeekMath,
arXiv 2402.03300, 2024), and its variant without the division by the standard deviation Dr. GRPO
(Z. Liu et al., arXiv 2503.20783, 2025). That it is given to every decision of the rollout follows
AgeMem (Y. Yu et al., arXiv 2601.01885, 2026); credit by single decisions is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.training.agemem.config import GrpoConfig
from infrastructure.training.agemem.trajectory import Trajectory

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_NO_SPREAD: Final = 1e-9
"""Advantages smaller than this are what adding up leaves of equal returns."""


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """What became of the groups of a step.

    Attributes:
        groups: that were given.
        dropped_empty: with fewer than two rollouts that can be used: nothing to compare.
        dropped_zero_variance: whose rollouts were all worth the same.
        rollouts: that were given.
        dropped_rollouts: with rewards, states or log-probabilities that are not finite, or with
            no decision.
    """

    groups: int
    dropped_empty: int
    dropped_zero_variance: int
    rollouts: int
    dropped_rollouts: int


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Decisions to learn from, n of them; those with one allowed action are left out.

    Attributes:
        states: float32[n, s].
        masks: bool[n, len(ACTIONS)].
        actions: int64[n].
        logprobs: float32[n], by the policy that drew them.
        advantages: float32[n].
    """

    states: Floats
    masks: NDArray[np.bool_]
    actions: NDArray[np.int64]
    logprobs: Floats
    advantages: Floats

    def __len__(self) -> int:
        return len(self.actions)


def rows_of(
    groups: Sequence[Sequence[Trajectory]], config: GrpoConfig
) -> tuple[Rows | None, GroupCounts]:
    """All decisions of the groups that say something, None if none does, and what was dropped.

    Raises:
        InputError: a trajectory's parts do not fit each other, or an action was not allowed.
    """
    counts: Counter[str] = Counter()
    kept: list[Trajectory] = []
    advantages: list[Doubles] = []
    for group in groups:
        usable = [one for one in map(_completed, group) if _usable(one)]
        counts["rollouts"] += len(group)
        counts["dropped_rollouts"] += len(group) - len(usable)
        if len(usable) < 2:
            counts["dropped_empty"] += 1
            continue
        own = _advantages(usable, config)
        if np.abs(own).max() <= _NO_SPREAD:
            counts["dropped_zero_variance"] += 1
            continue
        kept += usable
        advantages.append(own)
    told = GroupCounts(
        len(groups),
        counts["dropped_empty"],
        counts["dropped_zero_variance"],
        counts["rollouts"],
        counts["dropped_rollouts"],
    )
    return (_joined(kept, np.concatenate(advantages), config) if kept else None), told


def _usable(one: Trajectory) -> bool:
    """Whether every number of a rollout is finite, and something was decided in it."""
    numbers = (one.states, one.action_logprobs, one.rewards, one.credit)
    return bool(len(one.actions)) and all(np.isfinite(array).all() for array in numbers)


def _completed(one: Trajectory) -> Trajectory:
    """A trajectory whose parts fit each other; without masks everything was allowed.

    Without events, the first decisions of all rollouts are about the same, and so on.
    """
    steps = len(one.actions)
    if not len(one.masks):
        one = replace(one, masks=np.ones((steps, len(ACTIONS)), dtype=np.bool_))
    if not len(one.credit):
        one = replace(one, credit=np.zeros(steps, dtype=np.float32))
    if not one.events:
        one = replace(one, events=tuple(map(str, range(steps))))
    _check(one, steps)
    return one


def _check(one: Trajectory, steps: int) -> None:
    for name, shape in (
        ("states", one.states.shape[:1]),
        ("action_logprobs", one.action_logprobs.shape),
        ("rewards", one.rewards.shape),
        ("credit", one.credit.shape),
        ("masks", one.masks.shape[:1]),
        ("events", (len(one.events),)),
    ):
        if shape != (steps,):
            raise InputError(f"a trajectory of {steps} decisions has {name} of shape {shape}")
    if one.masks.shape != (steps, len(ACTIONS)):
        raise InputError(f"masks are [{steps}, {len(ACTIONS)}], not {list(one.masks.shape)}")
    inside = (one.actions >= 0) & (one.actions < len(ACTIONS))
    if not inside.all() or not one.masks[np.arange(steps), one.actions].all():
        raise InputError("a trajectory holds an action that was not allowed")


def _advantages(group: Sequence[Trajectory], config: GrpoConfig) -> Doubles:
    """Of every decision of a group, rollout after rollout."""
    if config.credit == "terminal":
        return _terminal(group, config)
    if config.credit == "local":
        return _local(group, config)
    return _terminal(group, config) + config.local_weight * _local(group, config)


def _terminal(group: Sequence[Trajectory], config: GrpoConfig) -> Doubles:
    """The advantage of a rollout's return, for each of its decisions."""
    returns = np.array([one.total_reward for one in group])
    lengths = [len(one.actions) for one in group]
    return np.repeat(_scaled(returns - returns.mean(), config), lengths)


def _local(group: Sequence[Trajectory], config: GrpoConfig) -> Doubles:
    """What each decision was worth above the group's mean at the same event.

    Divided by the spread over all events of the group, not by each event's own: an event at which
    all decisions were worth nearly the same must not count as much as one that matters.
    """
    credit = np.concatenate([one.credit for one in group]).astype(np.float64)
    events = np.array([event for one in group for event in one.events])
    _, places = np.unique(events, return_inverse=True)
    means = np.bincount(places, weights=credit) / np.bincount(places)
    return _scaled(credit - means[places], config)


def _scaled(centred: Doubles, config: GrpoConfig) -> Doubles:
    """Divided by the standard deviation of what has the mean 0, where that is wanted."""
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread <= _NO_SPREAD:
        return np.zeros_like(centred)
    return centred / (spread + config.eps) if config.std_normalise else centred


def _joined(kept: Sequence[Trajectory], advantages: Doubles, config: GrpoConfig) -> Rows:
    if config.advantage_clip is not None:
        advantages = advantages.clip(-config.advantage_clip, config.advantage_clip)
    masks = np.concatenate([one.masks for one in kept])
    free = masks.sum(axis=1) > 1
    return Rows(
        np.concatenate([one.states for one in kept])[free],
        masks[free],
        np.concatenate([one.actions for one in kept])[free],
        np.concatenate([one.action_logprobs for one in kept])[free],
        advantages[free].astype(np.float32),
    )
