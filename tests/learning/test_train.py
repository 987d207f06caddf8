"""A trained policy: it learns what texts tell, from whatever was tried."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from genesis.errors import InputError
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train, train_policy
from infrastructure.embeddings.builtin import BuiltinEmbedder

EASY, HARD = "add the numbers {}", "prove the theorem {} about groups"


def examples(n: int = 120) -> list[Example]:
    """A cheap option that mostly fails where it is hard, and a dear one that never does."""
    made: list[Example] = []
    for number in range(n):
        hard = number % 2 == 1
        text = (HARD if hard else EASY).format(number)
        cheap = Observed(not hard if number % 10 else hard, 0.001)
        made.append(Example(text, {"cheap": cheap, "dear": Observed(True, 0.01)}))
    return made


def only(example: Example, *options: str) -> Example:
    kept: Mapping[str, Observed] = {name: example.outcomes[name] for name in options}
    return Example(example.text, kept)


def test_it_expects_success_where_similar_texts_succeeded() -> None:
    policy = train_policy(examples())
    easy, hard = policy.outlook(EASY.format(7)), policy.outlook(HARD.format(7))
    assert policy.options == ("cheap", "dear")
    assert easy.marginal[0] > 0.7 > 0.3 > hard.marginal[0]
    assert min(easy.marginal[1], hard.marginal[1]) > 0.9
    assert easy.usd == pytest.approx([0.001, 0.01], rel=0.01)


def test_meaning_tells_where_form_does_not() -> None:
    subjects = {"cats dogs horses": True, "proof lemma theorem": False}
    made = [
        Example(f"{words} {'abcdefgh'[n % 8]}", {"cheap": Observed(good)})
        for n in range(60)
        for words, good in subjects.items()
    ]
    embedder = BuiltinEmbedder()
    policy = train_policy(made, embedder=embedder)
    kitten, axiom = (
        policy.outlook(text, embedder.embed([text])[0]).marginal[0]
        for text in ("kitten puppies ponies a", "axiom corollary algebra a")
    )
    assert kitten > axiom + 0.1


def test_prices_follow_the_text() -> None:
    rng = np.random.default_rng(0)
    made = [
        Example("word " * length, {"model": Observed(True, 0.001 * length * rng.uniform(0.8, 1.2))})
        for length in rng.integers(5, 200, 200).tolist()
    ]
    policy = train_policy(made)
    short, long = (policy.outlook("word " * length).usd[0] for length in (20, 150))
    assert short == pytest.approx(0.02, rel=0.35)
    assert long == pytest.approx(0.15, rel=0.2)
    mean = np.mean([policy.outlook(example.text).usd[0] for example in made])
    assert mean == pytest.approx(np.mean([e.outcomes["model"].usd for e in made]), rel=0.05)


def test_options_that_were_never_tried_together_are_learnt_side_by_side() -> None:
    made = [only(e, "cheap" if n % 3 else "dear") for n, e in enumerate(examples(240))]
    training = train(made)
    easy = training.policy.outlook(EASY.format(7)).marginal
    hard = training.policy.outlook(HARD.format(7)).marginal
    assert easy[0] > hard[0] + 0.4
    assert min(easy[1], hard[1]) > 0.9
    assert np.isnan(training.outcomes).sum() == 240
    assert training.policy.card.observed == (160, 80)


def test_predictions_held_out_are_those_of_every_labelled_example() -> None:
    training = train([*examples(), Example("never tried")])
    assert training.held_out.shape == training.outcomes.shape == (120, 2)
    assert np.mean((training.held_out[:, 0] > 0.5) == training.outcomes[:, 0]) > 0.8
    card = training.policy.card
    assert card.brier < card.base_brier
    assert card.calibration_error < 0.1


def test_the_same_seed_trains_the_same_policy() -> None:
    first, second = train_policy(examples(), seed=3), train_policy(examples(), seed=3)
    text = HARD.format("x")
    assert np.array_equal(first.outlook(text).success, second.outlook(text).success)


def test_two_examples_of_one_text_are_enough() -> None:
    policy = train_policy([Example("same", {"a": Observed(n == 0)}) for n in range(2)])
    assert policy.outlook("same").marginal[0] == pytest.approx(0.5, abs=0.2)


def test_the_latest_examples_are_used() -> None:
    old = [Example(f"text {n}", {"gone": Observed(True)}) for n in range(50)]
    new = [Example(f"text {n}", {"here": Observed(n % 2 == 0)}) for n in range(20)]
    assert train([*old, *new], most=20).policy.options == ("here",)


def test_too_little_is_refused() -> None:
    for made in ([], [Example("never tried")] * 5, examples(1)):
        with pytest.raises(InputError, match="at least 2"):
            train_policy(made)


@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf")])
def test_a_price_that_cannot_be_is_refused(usd: float) -> None:
    with pytest.raises(InputError, match="price"):
        Observed(True, usd)


@pytest.mark.parametrize("vector", [np.ones(3), np.full(256, np.nan)])
def test_a_vector_that_is_not_the_embedders_is_refused(vector: np.ndarray) -> None:
    made = [Example(e.text, e.outcomes, vector.astype(np.float32)) for e in examples(4)]
    with pytest.raises(InputError, match="example 0: its vector"):
        train_policy(made, embedder=BuiltinEmbedder())


def test_texts_that_tell_nothing_give_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    made = [
        Example("word " * size, {"a": Observed(bool(rng.random() < 0.2))})
        for size in rng.integers(1, 60, 200).tolist()
    ]
    usual = np.mean([example.outcomes["a"].success for example in made])
    policy = train_policy(made)
    for size in (2, 20, 50):
        assert policy.outlook("word " * size).marginal[0] == pytest.approx(usual, abs=0.12)
