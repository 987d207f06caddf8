"""A memory policy from its file: the same as was saved, or refused with the reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_policies import Letters, card, observation, policy, weights

from infrastructure.card_file import CardFile
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import InputError, PolicyRefused
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.memory.agemem.deciders import decider_for
from infrastructure.memory.agemem.features import POLICY_FEATURES
from infrastructure.memory.agemem.heuristics import default_heuristic
from infrastructure.memory.agemem.policy import WEIGHT_NAMES, NumpyPolicy, candidates_of
from infrastructure.memory.agemem.policy_file import MOST_BYTES, SHIPPED, load_policy, save_policy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "policy.safetensors"
    save_policy(policy(), file)
    return file


def forged(path: Path, changed_card: Any = None, **changed: Any) -> Path:
    """A file whose digest is right and whose content is not; None leaves an array out."""
    held = weights()
    arrays = {name: getattr(held, name) for name in WEIGHT_NAMES} | changed
    said = dataclasses.asdict(card()) if changed_card is None else changed_card
    CardFile("memory policy", "genesis.agemem_policy", MOST_BYTES).write(
        path,
        json.dumps(said),
        {name: array for name, array in arrays.items() if array is not None},
    )
    return path


def told(**changed: Any) -> dict[str, Any]:
    """The card's entries; None leaves one out."""
    entries = dataclasses.asdict(card()) | changed
    return {name: value for name, value in entries.items() if value is not None}


def test_a_policy_decides_after_its_file_as_before(path: Path) -> None:
    loaded = load_policy(path)

    assert loaded.card == card()
    for seed in range(10):
        before, after = (p.decide(observation(seed)) for p in (policy(), loaded))
        assert (after.place, after.importance) == (before.place, before.importance)
        np.testing.assert_array_equal(after.probabilities, before.probabilities)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_damaged_byte_is_believed(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    broken = path.with_name("broken.safetensors")
    broken.write_bytes(content)

    try:
        loaded = load_policy(broken)
    except PolicyRefused:
        return
    assert loaded.card == card()  # the byte was one of the header's blanks
    np.testing.assert_array_equal(
        loaded.probabilities(observation()), policy().probabilities(observation())
    )


def test_half_a_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(PolicyRefused, match=r"policy\.safetensors cannot be read"):
        load_policy(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match=r"none\.safetensors cannot be read"):
        load_policy(tmp_path / "none.safetensors")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(MOST_BYTES + 1)

    with pytest.raises(PolicyRefused, match="it has 2,000,001 bytes"):
        load_policy(path)


def test_a_policy_that_could_not_be_loaded_again_is_not_saved(tmp_path: Path) -> None:
    huge = np.zeros((16, 40_000), dtype=np.float32)
    known = len(candidates_of(POLICY_FEATURES)[0])
    large = NumpyPolicy(
        card(),
        weights(
            hidden2_weight=huge,
            hidden2_bias=huge[0],
            action_weight=np.zeros((40_000, len(ACTIONS)), dtype=np.float32),
            candidate_weight=np.zeros((40_000 + known, 6), dtype=np.float32),
        ),
    )

    with pytest.raises(InputError, match="at most 2,000,000 bytes"):
        save_policy(large, tmp_path / "large.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": 2}, "made for version 2 of the format, this Genesis has 1: train it again"),
        ({"actions": 0}, "made for version 0 of the table of actions"),
        ({"features_version": 99}, "made for version 99 of the features"),
        ({"format": None}, "made for version None of the format"),
        (
            {"features": [*POLICY_FEATURES[:7], "t.moon", *POLICY_FEATURES[8:]]},
            rf"its feature 7 is 't\.moon', here it is '{POLICY_FEATURES[7]}'",
        ),
        (
            {"features": [*POLICY_FEATURES, "one.more"]},
            rf"feature {len(POLICY_FEATURES)} is 'one\.more', .*none",
        ),
        (
            {"features": POLICY_FEATURES[:-1]},
            rf"feature {len(POLICY_FEATURES) - 1} is none, here it is",
        ),
        ({"seed": "7"}, "card is damaged: seed: "),
        ({"stages": None}, "card is damaged: stages: "),
        ({"scores": [{"row": "policy"}]}, r"card is damaged: scores\.0\.measure: "),
        (
            {"scores": [dataclasses.asdict(card().scores[0]) | {"low": float("nan")}]},
            "what is no number",
        ),
        ({"dimensions": 9}, r"'sentence_weight' is float32 \(\d+, 4\), not float32 "),
    ],
)
def test_a_card_of_another_kind_is_refused(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PolicyRefused, match=reason):
        load_policy(forged(tmp_path / "other.safetensors", told(**changed)))


@pytest.mark.parametrize("said", [[], "card", 7, None])
def test_a_card_that_is_no_object_is_refused(tmp_path: Path, said: Any) -> None:
    file = tmp_path / "odd.safetensors"
    forged(file, "null" if said is None else said)

    with pytest.raises(PolicyRefused, match="its card is damaged: it is no object"):
        load_policy(file)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"action_bias": None}, "its array 'action_bias' is missing or unknown"),
        ({"code": np.zeros(1)}, "its array 'code' is missing or unknown"),
        (
            {"action_bias": np.zeros(5, dtype=np.float32)},
            r"'action_bias' is float32 \(5,\), not float32 \(21,\)",
        ),
        ({"action_bias": np.zeros(len(ACTIONS))}, "'action_bias' is float64"),
        (
            {"sentence_bias": np.full(4, np.inf, dtype=np.float32)},
            "'sentence_bias' holds numbers that are not finite",
        ),
        (
            {"hidden1_bias": np.full(16, np.nan, dtype=np.float32)},
            "'hidden1_bias' holds numbers that are not finite",
        ),
        (
            {"scale": np.zeros(len(POLICY_FEATURES), dtype=np.float32)},
            "'scale' holds a spread that is not above 0",
        ),
    ],
)
def test_arrays_that_are_no_network_are_refused(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PolicyRefused, match=reason):
        load_policy(forged(tmp_path / "other.safetensors", **changed))


def test_an_array_without_axes_is_refused() -> None:
    with pytest.raises(PolicyRefused, match=r"'hidden2_weight' is float32 \(16, 12\), not"):
        NumpyPolicy(card(), weights(hidden2_bias=np.array(0, dtype=np.float32)))


def test_the_policy_decides_where_it_can_be_used(path: Path) -> None:
    decider, why = decider_for(True, Letters(), path)

    assert isinstance(decider, NumpyPolicy)
    assert why == (
        "the policy of 2026-11-20T12:00:00+00:00, trained on generated episodes only in 300 steps"
    )


def test_heuristics_decide_where_the_policy_is_turned_off(path: Path) -> None:
    decider, why = decider_for(False, Letters(), path)

    assert decider.name == default_heuristic().name
    assert why == "the policy is turned off (agemem_policy)"


def test_heuristics_take_over_from_a_file_that_is_refused(path: Path) -> None:
    forged(path, told(format=9))

    decider, why = decider_for(True, Letters(), path)

    assert decider.name == default_heuristic().name
    assert why.endswith("version 9 of the format, this Genesis has 1: train it again")


def test_heuristics_take_over_where_vectors_are_made_otherwise(path: Path) -> None:
    decider, why = decider_for(True, BuiltinEmbedder(), path)

    assert decider.name == default_heuristic().name
    assert "takes vectors by letters 1 (8 dimensions), those made here are by wordllama" in why


def test_without_a_path_the_policy_of_the_package_is_meant() -> None:
    decider, why = decider_for(True, BuiltinEmbedder())

    if SHIPPED.is_file():
        assert isinstance(decider, NumpyPolicy)
    else:
        assert why == "this installation brings no memory policy"


def test_a_save_that_is_broken_off_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    shutil.copy(path, path.with_name(f"{path.name}.part"))  # what a killed process left

    save_policy(policy(1), path)

    assert path.read_bytes() != before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
