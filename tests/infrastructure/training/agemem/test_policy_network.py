"""The network as it learns, beside the same network run by NumPy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from bandit_world import CANDIDATES, CARD, DIMENSIONS, NUMBERS, observed

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.memory.agemem.decider import Observation, Reading
from infrastructure.memory.agemem.features import POLICY_FEATURES, SENTENCE_FEATURES
from infrastructure.memory.agemem.policy import NumpyPolicy, PolicyWeights
from infrastructure.training.agemem.network import PolicyNetwork, tensor_of


def rows(count: int, *, seed: int = 0) -> tuple[Any, Any]:
    """States of one to three sentences, some numbers far outside, with at least one action."""
    draws = np.random.default_rng(seed)
    states = draws.normal(size=(count, NUMBERS + 3 * DIMENSIONS)).astype(np.float32)
    states[: count // 10, :NUMBERS] *= 10
    states[: count // 2, NUMBERS + 2 * DIMENSIONS :] = 0
    states[: count // 3, NUMBERS + DIMENSIONS :] = 0
    masks = draws.random((count, len(ACTIONS))) < 0.4
    masks[:, 0] = True
    return states, masks


def trained_like(seed: int = 3) -> PolicyNetwork:
    """A network whose every array matters."""
    network = PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES, seed=seed)
    draws = np.random.default_rng(seed)
    arrays = {
        name: array + draws.normal(scale=0.1, size=array.shape).astype(np.float32)
        for name, array in network.export().items()
    }
    arrays["scale"] = np.abs(arrays["scale"]) + np.float32(0.1)
    network.load(arrays)
    return network


def test_numpy_computes_what_torch_computes() -> None:
    network = trained_like()
    policy = NumpyPolicy(CARD, PolicyWeights(**network.export()))
    states, masks = rows(200)
    with torch.no_grad():
        logits = network(tensor_of(states)).numpy()
        logprobs = network.log_probabilities(tensor_of(states), tensor_of(masks)).numpy()
    assert np.ptp(logits) > 0.5
    for state, mask, expected, expected_logprobs in zip(
        states, masks, logits, logprobs, strict=True
    ):
        sentences = state[NUMBERS:].reshape(-1, DIMENSIONS)
        sentences = sentences[sentences.any(axis=1)]
        ours = policy.logits(state[:NUMBERS], sentences)
        np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=1e-5)
        seen = observed(0, np.random.default_rng(0))
        seen = Observation(
            seen.moment, state[:NUMBERS], partial(Reading, state[:0], sentences), mask
        )
        shares = policy.probabilities(seen)
        assert not shares[~mask].any()
        np.testing.assert_allclose(np.log(shares[mask]), expected_logprobs[mask], atol=2e-5)


def test_what_is_not_allowed_has_no_probability_and_no_gradient() -> None:
    network = trained_like()
    states, masks = rows(50)
    logprobs = network.log_probabilities(tensor_of(states), tensor_of(masks))
    probabilities = logprobs.exp()
    assert not probabilities.detach().numpy()[~masks].any()
    np.testing.assert_allclose(probabilities.sum(dim=1).detach().numpy(), 1, atol=1e-5)
    torch.autograd.backward((probabilities * logprobs).sum())
    grads = [weight.grad for weight in network.parameters()]
    assert all(grad is not None and bool(torch.isfinite(grad).all()) for grad in grads)


def test_it_begins_nearly_undecided_and_the_same_by_its_seed() -> None:
    states, masks = rows(100)
    first, again, other = (
        PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES, seed=seed) for seed in (1, 1, 2)
    )
    with torch.no_grad():
        shares = first.log_probabilities(tensor_of(states), tensor_of(masks)).exp().numpy()
    even = masks / masks.sum(axis=1, keepdims=True)
    assert np.abs(shares - even).max() < 0.1
    assert all(np.array_equal(one, again.export()[name]) for name, one in first.export().items())
    assert not np.array_equal(first.export()["hidden1_weight"], other.export()["hidden1_weight"])


def test_it_is_small_on_the_real_features() -> None:
    assert PolicyNetwork(len(POLICY_FEATURES), len(SENTENCE_FEATURES) + 256).size < 60_000


def test_features_are_standardised_and_constant_ones_not_blown_up() -> None:
    network = PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES)
    states, _ = rows(500)
    states[:, 1] = 0.25
    network.standardise(states)
    arrays = network.export()
    np.testing.assert_allclose(arrays["mean"], states[:, :NUMBERS].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(arrays["scale"][0], states[:, 0].std(), rtol=1e-4)
    assert arrays["scale"][1] == np.float32(0.05)


@pytest.mark.parametrize("states", [np.zeros((0, 13)), np.full((3, 13), np.nan)], ids=str)
def test_nothing_and_what_is_not_finite_is_no_statistic(states: Any) -> None:
    with pytest.raises(InputError, match="at least one state, all of it finite"):
        PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES).standardise(
            states.astype(np.float32)
        )


def test_arrays_that_do_not_fit_are_refused_by_name() -> None:
    network = PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES)
    arrays = network.export()
    with pytest.raises(InputError, match=r"hidden2_bias is of shape \(3,\); it must have \(64,\)"):
        network.load({**arrays, "hidden2_bias": np.zeros(3, dtype=np.float32)})
    del arrays["mean"]
    with pytest.raises(InputError, match="mean is missing"):
        network.load(arrays)


def test_what_one_sentence_says_is_not_lost_beside_others() -> None:
    network = trained_like()
    states, _ = rows(30)
    alone = states.copy()
    alone[:, NUMBERS + DIMENSIONS :] = 0
    doubled = alone.copy()
    doubled[:, NUMBERS + 2 * DIMENSIONS :] = alone[:, NUMBERS : NUMBERS + DIMENSIONS]
    with torch.no_grad():
        np.testing.assert_allclose(
            network(tensor_of(doubled)).numpy(), network(tensor_of(alone)).numpy(), atol=1e-5
        )


def test_dropout_hides_of_sentences_alone_and_only_while_learning() -> None:
    network = PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES, seed=5, dropout=0.5)
    states, _ = rows(4)
    usual = network(tensor_of(states))
    draw = torch.Generator().manual_seed(0)
    assert torch.equal(usual, network(tensor_of(states)))
    assert not torch.equal(usual, network(tensor_of(states), draw))
    states[:, NUMBERS:] = 0  # no sentences: there is nothing left to hide
    assert torch.equal(network(tensor_of(states)), network(tensor_of(states), draw))


def test_what_dropout_leaves_is_as_large_on_average() -> None:
    network = PolicyNetwork(NUMBERS, DIMENSIONS, candidates=CANDIDATES, seed=5, dropout=0.5)
    arrays = network.export()
    # So little is made of the one sentence that the layers above are all but linear in it.
    network.load({**arrays, "pooled_weight": arrays["pooled_weight"] * np.float32(0.01)})
    state = rows(3)[0][:1]
    without = state.copy()
    without[:, NUMBERS:] = 0
    states = tensor_of(np.repeat(state, 4000, axis=0))
    with torch.no_grad():
        usual = (network(tensor_of(state)) - network(tensor_of(without)))[0]
        hidden = network(states, torch.Generator().manual_seed(0)) - network(tensor_of(without))
    assert float((hidden.mean(dim=0) - usual).norm()) < 0.2 * float(usual.norm())
