"""From groups of rollouts to rows with advantages: compared, scaled, and dropped with a count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bandit_world import PLAIN, observed, trajectory
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.training.agemem.advantages import rows_of
from infrastructure.training.agemem.config import GrpoConfig
from infrastructure.training.agemem.trajectory import Trajectory

RETURNS = st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=8)


def rollout(reward: float, credit: list[float] | None = None) -> Trajectory:
    """Two decisions, unless credit says how many."""
    credit = [0.0, 0.0] if credit is None else credit
    seen = [observed(0, np.random.default_rng(place)) for place in range(len(credit))]
    logprobs = [-1.0] * len(seen)
    return trajectory(seen, [0] * len(seen), logprobs, credit=credit, reward=reward)


def advantages(group: list[Trajectory], **config: Any) -> Any:
    rows, _ = rows_of([group], GrpoConfig(**{**PLAIN, **config}))
    assert rows is not None
    return rows.advantages


def test_a_return_is_compared_with_its_group_and_given_to_every_decision() -> None:
    group = [rollout(0.0), rollout(1.0), rollout(2.0)]
    spread = float(np.std([0, 1, 2]))
    np.testing.assert_allclose(
        advantages(group), np.repeat([-1 / spread, 0.0, 1 / spread], 2), rtol=1e-5
    )
    # Dr. GRPO
    np.testing.assert_allclose(
        advantages(group, std_normalise=False), [-1, -1, 0, 0, 1, 1], atol=1e-6
    )
    clipped = advantages(group, std_normalise=False, advantage_clip=0.5)
    np.testing.assert_allclose(clipped, [-0.5, -0.5, 0, 0, 0.5, 0.5])


@given(RETURNS, st.floats(-10, 10), st.floats(0.1, 10))
def test_advantages_sum_to_nothing_and_know_no_offset_or_scale(
    returns: list[float], offset: float, scale: float
) -> None:
    if np.ptp(returns) < 1e-3:
        return
    usual = advantages([rollout(one) for one in returns])
    moved = advantages([rollout(one * scale + offset) for one in returns])
    assert abs(usual.sum()) < 1e-4
    np.testing.assert_allclose(usual, moved, atol=2e-2)
    order = np.argsort(returns, kind="stable")
    assert (np.diff(usual[::2][order]) >= -1e-6).all()


def test_a_decision_is_compared_with_those_about_the_same_event() -> None:
    # The last decision is always worth more than the first: that says nothing of who did better.
    group = [rollout(0.0, [0.0, 5.0]), rollout(0.0, [1.0, 5.0]), rollout(0.0, [0.0, 5.0])]
    own = advantages(group, credit="local", std_normalise=False).reshape(3, 2)
    np.testing.assert_allclose(own[:, 0], [-1 / 3, 2 / 3, -1 / 3], atol=1e-6)
    np.testing.assert_allclose(own[:, 1], 0, atol=1e-6)


def test_both_credits_add_up_by_weight() -> None:
    group = [rollout(0.0, [0.0, 1.0]), rollout(1.0, [1.0, 1.0])]
    parts = {one: advantages(group, credit=one) for one in ("terminal", "local")}
    both = advantages(group, credit="both", local_weight=0.25)
    np.testing.assert_allclose(both, parts["terminal"] + 0.25 * parts["local"], atol=1e-6)


def test_groups_that_say_nothing_are_dropped_and_counted() -> None:
    nan, infinite = rollout(float("nan")), rollout(float("-inf"))
    unknown = replace(rollout(1.0), action_logprobs=np.array([np.nan, 0], dtype=np.float32))
    groups = [
        [],
        [rollout(1.0)],
        [rollout(1.0), nan],
        [infinite, infinite],
        [rollout(0.3), rollout(0.3), rollout(0.3)],
        [rollout(0.0), unknown, rollout(1.0)],
    ]
    rows, counts = rows_of(groups, GrpoConfig(**PLAIN))
    assert rows is not None
    assert np.isfinite(rows.advantages).all()
    assert len(rows) == 4
    assert (counts.groups, counts.rollouts) == (6, 11)
    assert (counts.dropped_empty, counts.dropped_zero_variance) == (4, 1)
    assert counts.dropped_rollouts == 4
    assert rows_of(groups[:5], GrpoConfig(**PLAIN))[0] is None


def test_returns_that_differ_by_rounding_alone_are_equal() -> None:
    group = [
        replace(rollout(0.0), rewards=np.array(parts, dtype=np.float32))
        for parts in ([0.1, 0.2], [0.2, 0.1])
    ]
    assert rows_of([group], GrpoConfig(**PLAIN))[0] is None


def test_a_group_of_equal_returns_may_still_differ_in_its_decisions() -> None:
    group = [rollout(1.0, [1.0, 0.0]), rollout(1.0, [0.0, 1.0])]
    assert rows_of([group], GrpoConfig(**PLAIN))[0] is None
    assert len(advantages(group, credit="local")) == 4


def test_decisions_without_a_choice_are_left_out() -> None:
    forced = rollout(1.0)
    forced.masks[0] = np.arange(len(ACTIONS)) == 0
    rows, _ = rows_of([[forced, rollout(0.0)]], GrpoConfig(**PLAIN))
    assert rows is not None
    assert (rows.masks.sum(axis=1) > 1).all()
    assert len(rows) == 3


def test_the_four_first_parts_of_a_trajectory_are_enough() -> None:
    bare = [
        Trajectory(one.states, one.actions, one.action_logprobs, one.rewards)
        for one in (rollout(0.0), rollout(1.0))
    ]
    assert len(advantages(bare)) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"states": np.zeros((3, 13), np.float32)}, "2 decisions has states of shape"),
        ({"rewards": np.zeros(5, np.float32)}, "rewards of shape"),
        ({"masks": np.ones((2, 3), np.bool_)}, "masks are"),
        ({"actions": np.array([0, 99])}, "not allowed"),
        ({"actions": np.array([0, -1])}, "not allowed"),
        ({"actions": np.array([0, 18])}, "not allowed"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_an_error(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows_of([[replace(rollout(1.0), **change), rollout(0.0)]], GrpoConfig(**PLAIN))
