from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.tasks.infer_keywords import KeywordInferrer
from genesis.tasks.types import TASK_TYPES
from infrastructure.config import ConfigFile
from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonValue

INFERRER = KeywordInferrer()


@pytest.mark.parametrize(
    ("text", "task_type"),
    [
        ("Add a test that reproduces the bug", "testing"),
        ("Why is my test slow?", "optimization"),
        ("Document the deployment process", "documentation"),
        ("Please write unit tests for the deployment script", "testing"),
        ("Can you speed up the documentation build?", "optimization"),
        ("Guide for debugging memory leaks", "documentation"),
        ("Deploy the docs site after the tests passed", "deployment"),
        ("fix(parser): crash on empty test files", "debugging"),
        ("Design a schema for the test results", "system_design"),
        ("Analyse sales.csv and report the monthly trend", "data_analysis"),
        ("Implement an LRU cache class", "code_generation"),
        ("Which licence does this use?", "general"),
    ],
)
def test_the_principal_deliverable_wins(text: str, task_type: str) -> None:
    assert INFERRER.infer(text).task_type == task_type


@pytest.mark.parametrize(
    "text",
    [
        "a classical painting",  # class
        "the planet in an airplane",  # plan
        "a candidate with a databank",  # data
        "the latest contest, attested",  # test
        "buggy rides and debugged",  # bug
        "cider and special acid",  # ci
        "a terror mirrored",  # error
        "prefixed by an affix",  # fix
        "a documentary",  # document
        "redeployable paperwork",  # deploy
    ],
)
def test_keywords_inside_other_words_say_nothing(text: str) -> None:
    found = INFERRER.infer(text)
    assert (found.task_type, found.confidence) == ("general", 0.0)
    assert "no keyword found" in found.reason


@pytest.mark.parametrize("word", ["test", "tests", "tested", "testing", "TEST"])
def test_inflections_share_a_stem(word: str) -> None:
    assert INFERRER.infer(f"we lack {word} here").task_type == "testing"


@pytest.mark.parametrize("text", ["", "   \n\t "])
def test_nothing_is_general_and_says_so(text: str) -> None:
    found = INFERRER.infer(text)
    assert found.task_type == "general"
    assert "empty" in found.reason


def test_a_reason_names_the_words_that_decided() -> None:
    assert "'flaky'" in INFERRER.infer("a flaky suite").reason


@given(st.text(max_size=300))
def test_any_text_gets_one_of_the_nine_types(text: str) -> None:
    found = INFERRER.infer(text)
    assert found.task_type in TASK_TYPES
    assert 0 <= found.confidence <= 1
    assert set(found.scores) == set(TASK_TYPES)
    assert found == INFERRER.infer(text)


def test_a_custom_type_may_be_declared() -> None:
    data: JsonValue = {
        "types": {"general": {}, "translation": {"opening": {"translate": 3}, "words": {"into": 1}}}
    }
    inferrer = KeywordInferrer(ConfigFile("own.yaml", data))
    assert inferrer.infer("Translate this into French").task_type == "translation"


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ([], ""),
        ({"types": {"testing": {}}}, "types"),
        ({"types": {"general": {"words": {"hello": "much"}}}}, "types.general.words.hello"),
        ({"types": {"general": {"words": {"hello": 0}}}}, "types.general.words.hello"),
        ({"types": {"general": {"words": {"!!": 1}}}}, "types.general.words.!!"),
        ({"types": {"general": {}}, "side": [True]}, "side"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(data: JsonValue, key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        KeywordInferrer(ConfigFile("own.yaml", data))
    assert (raised.value.source, raised.value.key) == ("own.yaml", key)
