"""Steps of GRPO on what a policy really drew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from bandit_world import (
    CANDIDATES,
    CARD,
    DIMENSIONS,
    NUMBERS,
    PLAIN,
    RIGHT,
    drawn_group,
    observed,
    trajectory,
)

from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.memory.agemem.policy import NumpyPolicy, PolicyWeights
from infrastructure.training.agemem.advantages import rows_of
from infrastructure.training.agemem.config import GrpoConfig
from infrastructure.training.agemem.grpo import Batch, Grpo, one_thread
from infrastructure.training.agemem.network import PolicyNetwork
from infrastructure.training.agemem.trajectory import Trajectory


def policy_of(network: PolicyNetwork) -> NumpyPolicy:
    return NumpyPolicy(CARD, PolicyWeights(**network.export()))


def grpo(seed: int = 0, **config: Any) -> Grpo:
    given: dict[str, Any] = {**PLAIN, "learning_rate": 0.02, "dropout": 0.0, **config}
    network = PolicyNetwork(
        NUMBERS, DIMENSIONS, candidates=CANDIDATES, seed=seed, dropout=given["dropout"]
    )
    return Grpo(network, GrpoConfig(**given), seed=seed)


def groups_of(network: PolicyNetwork, count: int = 4, seed: int = 0) -> list[list[Trajectory]]:
    decide = policy_of(network).sampling
    return [drawn_group(decide, seed=seed * 1000 + number) for number in range(count)]


def batch(ours: Grpo, groups: list[list[Trajectory]]) -> Batch:
    rows, _ = rows_of(groups, ours.config)
    assert rows is not None
    return ours.batch_of(rows)


def moved(ours: Grpo, by: float, seed: int = 1) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in ours.network.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw) * by)


def gradient(term: torch.Tensor, network: PolicyNetwork) -> float:
    network.zero_grad()
    torch.autograd.backward(term)
    found = [weight.grad for weight in network.parameters()]
    return math.sqrt(sum(float((one**2).sum()) for one in found if one is not None))


def value(term: torch.Tensor) -> float:
    return float(term.detach())


def test_stored_log_probabilities_are_those_of_the_policy_that_drew() -> None:
    ours = grpo()
    moved(ours, 0.3)
    groups = groups_of(ours.network)
    rows = batch(ours, groups)
    now = ours.network.log_probabilities(rows.states, rows.masks)
    taken = now.gather(1, rows.actions[:, None]).squeeze(1)
    torch.testing.assert_close(taken, rows.logprobs, atol=1e-5, rtol=1e-5)
    assert len({round(float(one), 3) for one in rows.logprobs}) > 5  # no placeholder
    assert value(ours.terms(rows).clipped) == 0.0


def test_actions_are_drawn_as_often_as_the_policy_says() -> None:
    ours = grpo()
    moved(ours, 0.3)
    policy = policy_of(ours.network)
    seen = observed(1, np.random.default_rng(7))
    expected = policy.probabilities(seen)
    drawing = policy.sampling(np.random.default_rng(0))
    counts = np.bincount([drawing.decide(seen).place for _ in range(4000)], minlength=len(ACTIONS))
    np.testing.assert_allclose(counts / 4000, expected, atol=0.03)


def test_the_state_does_not_know_the_chosen_action() -> None:
    ours = grpo()
    (group,) = groups_of(ours.network, 1)
    # All rollouts see the same, whatever each of them chose.
    assert len({one.actions.tobytes() for one in group}) > 1
    assert len({one.states.tobytes() for one in group}) == 1


def test_the_divergence_has_a_gradient_and_rises_away_from_the_reference() -> None:
    ours = grpo()
    rows = batch(ours, groups_of(ours.network))
    assert value(ours.terms(rows).kl) == pytest.approx(0.0, abs=1e-6)
    seen: list[float] = []
    for _ in range(3):
        moved(ours, 0.05)
        terms = ours.terms(rows)
        seen.append(value(terms.kl))
        assert gradient(terms.kl, ours.network) > 1e-4
    assert 0 < seen[0] < seen[1] < seen[2]


def test_the_divergence_pulls_back_to_the_reference() -> None:
    ours = grpo(kl_weight=10.0, entropy_weight=0.0, learning_rate=0.01)
    groups = groups_of(ours.network)
    moved(ours, 0.1)
    divergences = [ours.train_step(groups).kl for _ in range(20)]
    assert divergences[-1] < 0.3 * divergences[0]


def test_the_exact_divergence_is_what_drawing_estimates() -> None:
    ours = grpo()
    moved(ours, 0.1)
    rows = batch(ours, groups_of(ours.network, 60))
    with torch.no_grad():
        now = ours.network.log_probabilities(rows.states, rows.masks)
        ratio = (rows.reference - now).gather(1, rows.actions[:, None]).squeeze(1)
        estimated = float((ratio.exp() - 1 - ratio).mean())  # Schulman's k3
        assert value(ours.terms(rows).kl) == pytest.approx(estimated, rel=0.15)


def test_gains_beyond_the_clip_earn_no_gradient() -> None:
    ours = grpo(kl_weight=0.0, entropy_weight=0.0)
    groups = groups_of(ours.network)
    rows = batch(ours, groups)
    for sign, limit in ((1.0, 1 + ours.config.clip_high), (-1.0, 1 - ours.config.clip_low)):
        beyond = math.log(limit) + sign * 0.1
        clipped = Batch(
            rows.states,
            rows.masks,
            rows.actions,
            rows.logprobs - beyond,  # the policy of now is this much likelier to do it
            torch.full_like(rows.advantages, sign),
            rows.reference,
        )
        terms = ours.terms(clipped)
        assert value(terms.clipped) == 1.0
        assert value(terms.policy) == pytest.approx(-sign * limit, abs=1e-4)
        assert gradient(terms.policy, ours.network) == 0.0


def test_what_has_become_too_likely_is_punished_without_limit() -> None:
    ours = grpo(kl_weight=0.0, entropy_weight=0.0)
    rows = batch(ours, groups_of(ours.network))
    for sign, ratio in ((-1.0, 2.0), (1.0, 0.5)):
        strayed = Batch(
            rows.states,
            rows.masks,
            rows.actions,
            rows.logprobs - math.log(ratio),
            torch.full_like(rows.advantages, sign),
            rows.reference,
        )
        terms = ours.terms(strayed)
        assert value(terms.policy) == pytest.approx(-sign * ratio, abs=1e-3)
        assert gradient(terms.policy, ours.network) > 1e-3


def test_a_higher_clip_lets_rare_actions_gain_more() -> None:
    rows = batch(grpo(), groups_of(grpo().network))
    raised = Batch(
        rows.states,
        rows.masks,
        rows.actions,
        rows.logprobs - math.log(1.25),
        torch.ones_like(rows.advantages),
        rows.reference,
    )
    assert gradient(grpo(clip_high=0.2).terms(raised).policy, grpo().network) == 0.0
    higher = grpo(clip_high=0.28)
    assert gradient(higher.terms(raised).policy, higher.network) > 0.0


def test_what_was_better_than_its_group_becomes_likelier() -> None:
    ours = grpo(kl_weight=0.0, entropy_weight=0.0, epochs=1)
    seen = observed(0, np.random.default_rng(0))
    decide = policy_of(ours.network)
    before = decide.probabilities(seen)
    logprobs = [float(np.log(before[place])) for place in (1, 2)]
    group = [
        trajectory([seen], [place], [logprob], credit=[0.0], reward=reward)
        for place, logprob, reward in ((1, logprobs[0], 1.0), (2, logprobs[1], 0.0))
    ]
    ours.train_step([group])
    after = policy_of(ours.network).probabilities(seen)
    assert after[1] > before[1]
    assert after[2] < before[2]


@pytest.mark.parametrize(
    ("credit", "std_normalise"),
    [("terminal", True), ("terminal", False), ("local", True), ("both", True)],
)
def test_it_learns_what_is_right(credit: str, std_normalise: bool) -> None:
    ours = grpo(credit=credit, std_normalise=std_normalise)
    rewards = [
        ours.train_step(groups_of(ours.network, 4, seed=step)).mean_reward for step in range(30)
    ]
    assert np.mean(rewards[:3]) < 0.4
    assert np.mean(rewards[-3:]) > 0.8
    policy = policy_of(ours.network)
    for sign, right in enumerate(RIGHT):
        assert policy.decide(observed(sign, np.random.default_rng(99))).place == right


def test_nothing_that_is_not_finite_reaches_the_weights() -> None:
    ours = grpo()
    before = ours.network.export()
    seen = [observed(0, np.random.default_rng(0))]
    bad = [
        trajectory(seen, [0], [-1.0], credit=[0.0], reward=reward)
        for reward in (float("nan"), float("inf"), 1.0)
    ]
    metrics = ours.train_step([bad, [], bad[2:]])
    assert (metrics.groups, metrics.dropped_empty, metrics.dropped_rollouts) == (3, 3, 2)
    assert (metrics.updates, metrics.decisions, metrics.loss) == (0, 0, 0.0)
    after = ours.network.export()
    assert all(np.array_equal(one, after[name]) for name, one in before.items())
    assert ours.train_step([]).groups == 0


def test_a_gradient_that_is_not_finite_is_left_out_and_counted() -> None:
    ours = grpo(epochs=1)
    seen = [observed(0, np.random.default_rng(0))]
    # Log-probabilities of actions that were all but impossible: their ratio overflows.
    group = [
        trajectory(seen, [place], [-1e4], credit=[0.0], reward=float(place)) for place in (0, 1)
    ]
    before = ours.network.export()
    metrics = ours.train_step([group])
    assert (metrics.skipped_updates, metrics.updates) == (1, 0)
    assert all(np.array_equal(one, ours.network.export()[name]) for name, one in before.items())


def test_metrics_tell_of_the_step() -> None:
    ours = grpo(epochs=2, minibatch=64)
    groups = groups_of(ours.network)
    metrics = ours.train_step(groups)
    returns = [[one.total_reward for one in group] for group in groups]
    assert metrics.mean_reward == pytest.approx(np.mean(returns))
    assert metrics.group_variance == pytest.approx(float(np.var(returns, axis=1).mean()))
    assert metrics.mean_success == pytest.approx(
        np.mean([one.success for g in groups for one in g])
    )
    kept = metrics.groups - metrics.dropped_zero_variance - metrics.dropped_empty
    assert metrics.decisions == kept * 8 * 6
    assert metrics.updates == 2 * math.ceil(metrics.decisions / 64)
    assert 1.0 < metrics.entropy < math.log(7) + 1e-6  # seven actions are allowed
    assert metrics.gradient_norm > 0
    assert metrics.seconds > 0


def test_two_trainings_of_one_seed_are_equal_bit_for_bit() -> None:
    learnt: list[dict[str, Any]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        ours = grpo(dropout=0.3)
        for step in range(5):
            ours.train_step(groups_of(ours.network, seed=step))
        learnt.append(ours.network.export())
        assert torch.get_num_threads() == threads
    assert all(np.array_equal(one, learnt[1][name]) for name, one in learnt[0].items())


def test_threads_and_determinism_are_scoped() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    with one_thread():
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_the_average_follows_the_policy_and_is_less_restless() -> None:
    ours = grpo(averaging=0.8)
    steps: list[float] = []
    averaged: list[float] = []
    for step in range(12):
        before, before_average = ours.network.export(), ours.averaged()
        ours.train_step(groups_of(ours.network, seed=step))
        for kept, earlier, now in (
            (steps, before, ours.network.export()),
            (averaged, before_average, ours.averaged()),
        ):
            kept.append(float(np.abs(now["action_weight"] - earlier["action_weight"]).sum()))
    assert 0 < sum(averaged[5:]) < sum(steps[5:])


def test_without_averaging_the_last_policy_is_taken() -> None:
    ours = grpo(averaging=0.0)
    for step in range(3):
        ours.train_step(groups_of(ours.network, seed=step))
    for name, array in ours.network.export().items():
        np.testing.assert_array_equal(ours.averaged()[name], array)
