"""A trained policy: it learns what texts tell, survives a file, and refuses what is not one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genesis.errors import InputError
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train, train_policy
from genesis.routing.policy_file import load_policy, save_policy

EASY, HARD = "add the numbers {}", "prove the theorem {} about groups"


def examples(n: int = 120) -> list[Example]:
    made: list[Example] = []
    for number in range(n):
        hard = number % 2 == 1
        text = (HARD if hard else EASY).format(number)
        cheap = Observed(not hard if number % 10 else hard, 0.001)
        made.append(Example(text, {"cheap": cheap, "dear": Observed(True, 0.01)}))
    return made


def test_it_expects_success_where_similar_texts_succeeded() -> None:
    policy = train_policy(examples())
    easy = policy.outlook(EASY.format(7)).marginal
    hard = policy.outlook(HARD.format(7)).marginal
    assert policy.options == ("cheap", "dear")
    assert easy[0] > 0.7 > 0.3 > hard[0]
    assert min(easy[1], hard[1]) > 0.9
    assert policy.outlook(EASY.format(7)).usd == pytest.approx([0.001, 0.01], rel=0.01)


def test_held_out_predictions_are_those_of_every_labelled_example() -> None:
    training = train([*examples(), Example("never tried")])
    assert training.held_out.shape == training.outcomes.shape == (120, 2)
    assert np.mean((training.held_out[:, 0] > 0.5) == training.outcomes[:, 0]) > 0.8


def test_a_file_gives_back_the_same_policy(tmp_path: Path) -> None:
    policy = train_policy(examples())
    save_policy(policy, tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    assert again.card == policy.card
    text = HARD.format("x")
    assert np.array_equal(again.outlook(text).success, policy.outlook(text).success)


@pytest.mark.parametrize("content", [b"", b"not a policy at all", b"\x80\x04N."])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        load_policy(path)
