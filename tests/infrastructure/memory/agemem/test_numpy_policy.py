"""A learnt policy by NumPy: the network as it is defined, and choices among what is allowed."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_policies import constant, observation, policy

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS, PASS, MemoryOperation, place_of
from infrastructure.memory.agemem.decider import Observation, Reading
from infrastructure.memory.agemem.features import named
from infrastructure.memory.agemem.policy import FARTHEST, NumpyPolicy, candidates_of

ADDS = [place for place, action in enumerate(ACTIONS) if action.operation is MemoryOperation.ADD]


def by_definition(learnt: NumpyPolicy, seen: Observation) -> list[float]:
    """The probabilities, unit by unit in double precision."""
    held = learnt.weights

    def layer(given: list[float], weight: np.ndarray, bias: np.ndarray) -> list[float]:
        return [
            sum(x * float(w) for x, w in zip(given, weight[:, unit], strict=True))
            + float(bias[unit])
            for unit in range(len(bias))
        ]

    def silu(given: list[float]) -> list[float]:
        return [x / (1 + math.exp(-x)) for x in given]

    numbers = [
        min(max((float(x) - float(m)) / float(s), -FARTHEST), FARTHEST)
        for x, m, s in zip(
            (*seen.numbers, *seen.reading.relations), held.mean, held.scale, strict=True
        )
    ]
    read = [
        layer(
            silu(layer([float(x) for x in row], held.sentence_weight, held.sentence_bias)),
            held.pooled_weight,
            held.pooled_bias,
        )
        for row in seen.reading.sentences
    ]
    meant = [max(said) for said in zip(*read, strict=True)]
    hidden = silu(layer(numbers + meant, held.hidden1_weight, held.hidden1_bias))
    hidden = silu(layer(hidden, held.hidden2_weight, held.hidden2_bias))
    logits = layer(hidden, held.action_weight, held.action_bias)
    for rank, places in enumerate(candidates_of(learnt.card.features)):
        known = [numbers[place] for place in places]
        looked = silu(layer(hidden + known, held.candidate_weight, held.candidate_bias))
        update, delete = layer(looked, held.choice_weight, held.choice_bias)
        logits[place_of(MemoryOperation.UPDATE, rank)] += update
        logits[place_of(MemoryOperation.DELETE, rank)] += delete
    weights = [
        math.exp(logit) if allowed else 0.0
        for logit, allowed in zip(logits, seen.allowed, strict=True)
    ]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("seed", range(5))
def test_the_network_is_computed_as_it_is_defined(seed: int) -> None:
    learnt, seen = policy(seed), observation(seed)

    assert learnt.probabilities(seen) == pytest.approx(by_definition(learnt, seen), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.booleans(), min_size=len(ACTIONS) - 1, max_size=len(ACTIONS) - 1),
    st.booleans(),
)
def test_what_is_not_allowed_is_never_done(seed: int, open_: list[bool], drawn: bool) -> None:
    allowed = np.array([True, *open_])
    learnt = policy(seed).sampling(np.random.default_rng(seed)) if drawn else policy(seed)

    choice = learnt.decide(observation(seed, allowed))

    assert allowed[choice.place]
    assert choice.probabilities is not None
    assert not choice.probabilities[~allowed].any()
    assert choice.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert choice.importance is None or 0 <= choice.importance <= 1


def test_the_arguments_of_an_operation_do_not_split_its_chance() -> None:
    """Passing is likelier than any one importance of `add`, and adding likelier than passing."""
    chances = [0.0] * len(ACTIONS)
    chances[PASS] = 0.4
    for place, chance in zip(ADDS, (0.1, 0.2, 0.2, 0.1), strict=True):
        chances[place] = chance

    choice = constant(chances).decide(observation())

    assert choice.action.operation is MemoryOperation.ADD
    assert choice.importance == pytest.approx((0.1 * 0.25 + 0.2 * 0.5 + 0.2 * 0.75 + 0.1) / 0.6)
    assert choice.reason == "add is likeliest with 0.60, then pass with 0.40"


def test_the_likeliest_argument_of_the_likeliest_operation_is_taken() -> None:
    chances = [0.0] * len(ACTIONS)
    chances[place_of(MemoryOperation.RETRIEVE, 4)] = 0.3
    chances[place_of(MemoryOperation.RETRIEVE, 16)] = 0.35
    chances[place_of(MemoryOperation.FILTER, 0.1)] = 0.35

    choice = constant(chances).decide(observation())

    assert str(choice.action) == "retrieve@16"
    assert choice.importance is None


def test_where_nothing_else_is_allowed_nothing_is_done() -> None:
    allowed = np.zeros(len(ACTIONS), dtype=np.bool_)
    allowed[PASS] = True

    choice = policy().decide(observation(allowed=allowed))

    assert choice.place == PASS
    assert choice.reason == "nothing but pass comes into question"


def test_actions_are_drawn_as_often_as_their_probabilities_say() -> None:
    learnt, seen = policy(3), observation(3)
    drawer = learnt.sampling(np.random.default_rng(0))

    draws = 4000
    counts = np.bincount([drawer.decide(seen).place for _ in range(draws)], minlength=len(ACTIONS))

    expected = learnt.probabilities(seen)
    spread = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(counts / draws - expected) <= 5 * spread + 1e-6).all()


def test_equal_seeds_draw_equal_actions_with_their_buckets_as_arguments() -> None:
    drawers = [policy(3).sampling(np.random.default_rng(11)) for _ in range(2)]

    first, second = ([drawer.decide(observation(n)) for n in range(50)] for drawer in drawers)

    assert [choice.place for choice in first] == [choice.place for choice in second]
    assert len({choice.place for choice in first}) > 3
    assert all(choice.importance is None for choice in first)


def test_numbers_far_from_all_that_was_seen_are_taken_as_no_farther() -> None:
    learnt, seen = policy(), observation()
    bound = (learnt.weights.mean + learnt.weights.scale * FARTHEST).astype(np.float32)
    numbers, relations = bound[: len(seen.numbers)], bound[len(seen.numbers) :]
    said = seen.reading.sentences
    far = Observation(
        seen.moment,
        np.full_like(numbers, 1e30),
        lambda: Reading(np.full_like(relations, 1e30), said),
        seen.allowed,
    )
    near = Observation(seen.moment, numbers, lambda: Reading(relations, said), seen.allowed)

    assert learnt.probabilities(far) == pytest.approx(learnt.probabilities(near), abs=1e-4)


def test_what_is_no_number_decides_nothing() -> None:
    seen = observation()
    seen.numbers[5] = np.nan

    with pytest.raises(InputError, match="not finite"):
        policy().decide(seen)


def test_the_actions_of_an_operation_follow_each_other_in_the_table() -> None:
    """The sums over an operation's arguments rest on it."""
    runs = [operation for operation, _ in groupby(ACTIONS, key=lambda action: action.operation)]

    assert len(runs) == len(set(runs))


def test_importing_the_policy_loads_little_beyond_numpy() -> None:
    heavy = ("torch", "langgraph", "pydantic", "orjson", "safetensors", "wordllama", "Stemmer")
    code = (
        "import sys, numpy\n"
        "import infrastructure.memory.agemem.policy\n"
        "import infrastructure.memory.agemem.deciders\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert loaded.stdout.strip() == "[]"


def test_what_was_read_closely_is_among_the_named_features() -> None:
    seen = observation()
    assert not [name for name in named(seen) if name.startswith("pair")]

    policy().decide(seen)

    assert [name for name in named(seen) if name.startswith("pair")]
