"""A policy from its file: the same as was saved, or refused with the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

from genesis.errors import InputError
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train_policy
from genesis.routing.policy import RoutingPolicy
from genesis.routing.policy_file import load_policy, save_policy

TEXT = "How many rows are in the table?"


class Letters:
    """An embedder of two dimensions: how many vowels, how many others."""

    name = "letters"
    version = "1"
    dimensions = 2

    def embed(self, texts: object) -> Any:
        rows = [
            [sum(c in "aeiou" for c in text), sum(c not in "aeiou" for c in text)]
            for text in cast("list[str]", texts)
        ]
        array = np.array(rows, dtype=np.float32)
        return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1)


@pytest.fixture(scope="module")
def policy() -> RoutingPolicy:
    rng = np.random.default_rng(0)
    return train_policy(
        [
            Example(
                f"How many {'rows' if n % 2 else 'columns of numbers'} are in table {n}?",
                {
                    "cheap": Observed(
                        bool(rng.random() < 0.2 + 0.6 * (n % 2)), 0.001 * (1 + n % 3)
                    ),
                    "dear": Observed(bool(rng.random() < 0.9), 0.05),
                    "free": Observed(bool(rng.random() < 0.5), 0.0),
                },
            )
            for n in range(60)
        ],
        embedder=Letters(),
    )


@pytest.fixture
def path(policy: RoutingPolicy, tmp_path: Path) -> Path:
    file = tmp_path / "policy.safetensors"
    save_policy(policy, file)
    return file


def vector(text: str) -> Any:
    return Letters().embed([text])[0]


def rewritten(path: Path, change: Any) -> None:
    """The file with its arrays and metadata changed by hand, its digest left as it was."""
    with cast("Any", safe_open)(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(arrays, metadata)
    path.write_bytes(cast("Any", safetensors_numpy).save(arrays, metadata=metadata))


def test_a_file_gives_back_the_same_policy(policy: RoutingPolicy, path: Path) -> None:
    again = load_policy(path)
    assert again.card == policy.card
    mine, theirs = policy.outlook(TEXT, vector(TEXT)), again.outlook(TEXT, vector(TEXT))
    for field in dataclasses.fields(mine):
        assert np.array_equal(getattr(mine, field.name), getattr(theirs, field.name))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_outlook_says_what_was_seen(policy: RoutingPolicy) -> None:
    outlook = policy.outlook(TEXT, vector(TEXT))
    assert outlook.options == ("cheap", "dear", "free")
    assert outlook.weights.sum() == pytest.approx(1)
    assert ((outlook.success > 0) & (outlook.success < 1)).all()
    assert 0.001 <= outlook.usd[0] <= 0.003
    assert outlook.usd[1] == pytest.approx(0.05, rel=0.01)
    assert outlook.usd[2] == pytest.approx(0, abs=1e-8)
    assert (outlook.support > 0).all()
    assert (outlook.support <= 60).all()


def test_far_from_all_that_was_seen_it_says_what_was_usual(policy: RoutingPolicy) -> None:
    text = "x = [1, 2]; y = {3: 4};\n" * 100
    far = policy.outlook(text, np.array([0.0, -1.0]))
    near = policy.outlook(TEXT, vector(TEXT))
    assert (far.support < near.support / 10).all()
    assert far.marginal == pytest.approx(far.rate, abs=0.15)


@pytest.mark.parametrize(
    "wrong", [None, np.ones(3), np.ones((1, 2)), np.array([np.nan, 1.0]), np.array([np.inf, 1.0])]
)
def test_a_vector_that_does_not_fit_is_refused(policy: RoutingPolicy, wrong: Any) -> None:
    with pytest.raises(InputError, match=r"needs the text's vector by 'letters', 2"):
        policy.outlook(TEXT, wrong)


@pytest.mark.parametrize("content", [b"", b"no policy at all", b"\x80\x04N.", b"\xff" * 64])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        load_policy(path)


def test_no_file_a_folder_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_policy(path)
    cast("Any", safetensors_numpy).save_file({"a": np.ones(2)}, tmp_path / "foreign")
    with pytest.raises(InputError, match="its card is missing"):
        load_policy(tmp_path / "foreign")


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_damaged_byte_goes_unnoticed(
    policy: RoutingPolicy, path: Path, place: float, byte: int
) -> None:
    save_policy(policy, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= byte
    path.write_bytes(content)
    try:
        loaded = load_policy(path)
    except InputError:
        return
    # Only what pads the header may differ.
    assert loaded.card == policy.card
    assert np.array_equal(loaded.weights.success, policy.weights.success)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_that_was_cut_is_refused(policy: RoutingPolicy, path: Path, share: float) -> None:
    save_policy(policy, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError):
        load_policy(path)


def test_a_file_of_another_version_says_so(policy: RoutingPolicy, path: Path) -> None:
    older = RoutingPolicy(dataclasses.replace(policy.card, format=1), policy.weights, policy.joint)
    save_policy(older, path)
    with pytest.raises(InputError, match="train it again"):
        load_policy(path)


def test_arrays_that_cannot_be_are_refused(policy: RoutingPolicy) -> None:
    weights = policy.weights
    for wrong, match in [
        (dataclasses.replace(weights, price=weights.price * np.nan), "not finite"),
        (dataclasses.replace(weights, success=weights.success[:, :1]), "float32"),
        (dataclasses.replace(weights, success_mean=weights.success_mean[:1]), "float64"),
        (dataclasses.replace(weights, score_spread=weights.score_spread * 0), "above 0"),
        (dataclasses.replace(weights, block_weights=-weights.block_weights), "below 0"),
    ]:
        with pytest.raises(InputError, match=match):
            RoutingPolicy(policy.card, wrong, policy.joint)


def test_what_was_changed_by_hand_is_refused(policy: RoutingPolicy, path: Path) -> None:
    def other_card(arrays: Any, metadata: Any) -> None:
        card = json.loads(metadata["genesis.routing_policy"])
        metadata["genesis.routing_policy"] = json.dumps(card | {"brier": 0.0})

    def other_array(arrays: Any, metadata: Any) -> None:
        arrays["offset"] = arrays["offset"] + 1

    def one_more(arrays: Any, metadata: Any) -> None:
        arrays["more"] = np.ones(1)

    for change in (other_card, other_array, one_more):
        save_policy(policy, path)
        rewritten(path, change)
        with pytest.raises(InputError, match="digest"):
            load_policy(path)
