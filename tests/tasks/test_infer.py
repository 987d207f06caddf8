from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genesis.tasks.infer import Inference, KeywordInferrer, TaskTypeInferrer
from genesis.tasks.types import TASK_TYPES
from infrastructure.config import ConfigFile
from infrastructure.errors import ConfigError, InputError, ModelError
from infrastructure.jsonvalue import JsonValue

TRAINED = TaskTypeInferrer()  # shared by the tests that do not teach it


class _MissingModel:
    name = "missing"
    version = "0"
    dimensions = 3

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise ModelError("the weights are not there")


@pytest.mark.parametrize(
    ("text", "task_type"),
    [
        ("Add a test that reproduces the bug", "testing"),
        ("Why is my test slow?", "optimization"),
        ("Document the deployment process", "documentation"),
        ("The test suite is far too slow, can you make it faster?", "optimization"),
        ("Write unit tests for the Dockerfile linter", "testing"),
        ("Handbook chapter on profiling slow queries", "documentation"),
        ("CSV import crashes with an IndexError on an empty file", "debugging"),
        ("Could the exporter also write Parquet files? That would be great.", "code_generation"),
        ("How is turnover related to shop size in the attached spreadsheet?", "data_analysis"),
        ("Ship version 3.1 of the test helper to PyPI", "deployment"),
        ("RFC: let plug-ins bring their own storage", "system_design"),
        ("Is anybody still looking after this repository?", "general"),
        (
            "Hi all,\n\nplease add unit tests for `slugify`.\n\n```python\nraise Error\n```",
            "testing",
        ),
        ("```\nTraceback (most recent call last):\nKeyError: 'plan'\n```", "debugging"),
    ],
)
def test_requests_of_every_type(text: str, task_type: str) -> None:
    assert TRAINED.infer(text).task_type == task_type


@pytest.mark.parametrize(
    ("body", "task_type"),
    [
        ("Docs for this feature, with a table of all values.", "documentation"),
        ("It returns the wrong one. Steps to reproduce: 1. start 2. abort", "debugging"),
        ("Hi, could anyone explain how that works? Thank you!", "general"),
        ("# Motivation\n# Proposed design\n# Drawbacks\n# Alternatives", "system_design"),
    ],
)
def test_the_body_decides_where_the_title_names_only_a_topic(body: str, task_type: str) -> None:
    assert TRAINED.infer(f"Exit codes\n\n{body}").task_type == task_type


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_gets_one_of_the_nine_types(text: str) -> None:
    found = TRAINED.infer(text)
    assert found.task_type in TASK_TYPES
    assert 0 <= found.confidence <= 1
    assert set(found.scores) == set(TASK_TYPES)
    assert sum(found.scores.values()) == pytest.approx(1)
    assert found.reason


def test_two_inferrers_agree() -> None:
    texts = ["Add caching", "Add tests", "Update the docs, please", "why?"]
    other = TaskTypeInferrer()
    assert [TRAINED.infer(text) for text in texts] == [other.infer(text) for text in texts]


def test_an_empty_request_is_general() -> None:
    assert TRAINED.infer(" \n").task_type == "general"
    assert "empty" in TRAINED.infer("").reason


def test_a_megabyte_is_judged_by_its_ends() -> None:
    text = "Add unit tests for the parser. " + "lorem ipsum " * 100_000
    assert TRAINED.infer(text).task_type == "testing"


def test_a_correction_changes_this_answer_and_ones_like_it_only() -> None:
    inferrer = TaskTypeInferrer()
    other = "Fix typo in README"
    before = inferrer.infer(other)
    inferrer.learn("Run the kraken over the new invoices", "data_analysis")
    assert inferrer.infer("Run the kraken over the new invoices").task_type == "data_analysis"
    assert inferrer.infer("Run the kraken over the old invoices").task_type == "data_analysis"
    assert inferrer.infer(other).task_type == before.task_type


def test_the_last_correction_of_a_request_holds() -> None:
    inferrer = TaskTypeInferrer()
    text = "Speed up the test suite"
    for task_type in ("testing", "deployment", "testing", "optimization"):
        inferrer.learn(text, task_type)
        assert inferrer.infer(text).task_type == task_type


def test_a_custom_type_can_be_taught() -> None:
    inferrer = TaskTypeInferrer()
    inferrer.learn("Translate the contract into French", "translation")
    assert inferrer.infer("Translate the contract into German").task_type == "translation"
    assert inferrer.infer("Add unit tests").task_type == "testing"


def test_earlier_corrections_can_be_given_at_the_start() -> None:
    taught = TaskTypeInferrer(corrections=[("Run the kraken", "deployment")])
    later = TaskTypeInferrer()
    later.learn("Run the kraken", "deployment")
    assert taught.infer("Run the kraken") == later.infer("Run the kraken")
    assert taught.infer("Run the kraken").task_type == "deployment"


@pytest.mark.parametrize(("text", "task_type"), [("", "testing"), ("x", " "), ("x", "y" * 101)])
def test_a_correction_that_says_nothing_is_refused(text: str, task_type: str) -> None:
    with pytest.raises(InputError):
        TRAINED.learn(text, task_type)


def test_without_an_embedder_it_goes_by_keywords_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inferrer = TaskTypeInferrer(embedder=_MissingModel())
    with caplog.at_level(logging.WARNING):
        found = [inferrer.infer("Add unit tests") for _ in range(3)]
        inferrer.learn("Add unit tests", "deployment")
    assert found[0].task_type == KeywordInferrer().infer("Add unit tests").task_type == "testing"
    assert "the weights are not there" in found[0].reason
    assert len(caplog.records) == 1


def test_threads_may_ask_and_teach_at_once() -> None:
    inferrer = TaskTypeInferrer()
    answers: list[Inference] = []

    def ask(number: int) -> None:
        inferrer.learn(f"kraken number {number}", "deployment")
        answers.append(inferrer.infer("Add unit tests for the parser"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.task_type for answer in answers] == ["testing"] * 8


def _examples(data: JsonValue) -> ConfigFile:
    return ConfigFile("own.yaml", data)


def test_own_examples_replace_the_shipped_ones() -> None:
    data: JsonValue = {
        "examples": {"cooking": ["Bake bread", "Boil an egg"], "sport": ["Run a mile", "Swim"]},
        "templates": {"cooking": ["Fry {x}"], "sport": ["Race against {x}"]},
        "topics": ["onions", "the clock"],
    }
    found = TaskTypeInferrer(examples=_examples(data)).infer("Fry onions")
    assert found.task_type == "cooking"
    assert set(found.scores) == {"cooking", "sport"}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (None, ""),
        ({}, "examples"),
        ({"examples": {"one": ["only"]}}, "examples"),
        ({"examples": {"a": "x", "b": ["y"]}}, "examples.a"),
        ({"examples": {"a": [1], "b": ["y"]}}, "examples.a"),
        ({"examples": {"a": ["x"], "b": ["y"]}, "templates": {"a": ["no topic"]}}, "templates.a"),
    ],
)
def test_wrong_examples_are_refused_with_their_key(data: JsonValue, key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        TaskTypeInferrer(examples=_examples(data))
    assert (raised.value.source, raised.value.key) == ("own.yaml", key)


def test_importing_and_asking_by_keywords_loads_no_model() -> None:
    code = (
        "import sys, genesis.tasks.infer as infer\n"
        "infer.TaskTypeInferrer()\n"
        "assert infer.KeywordInferrer().infer('Add tests').task_type == 'testing'\n"
        "heavy = {'wordllama', 'torch', 'tokenizers', 'langchain_core', 'langgraph'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
