"""The plan index finds what a plain comparison of everything finds, within its bounds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from workflow_fixtures import START

from infrastructure.memory.memori.plan_cases import CaseRow, Exemplar
from infrastructure.memory.memori.plan_index import PlanIndex

WORDS = ("sales", "trend", "tests", "slow", "docs", "chart")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
vectors = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


def _case(version: int, requests: list[tuple[str, list[int]]], **changes: Any) -> CaseRow:
    exemplars = tuple(
        Exemplar(f"r{version}-{n}", text, {"v": version}, _blob(vector), "s", START)
        for n, (text, vector) in enumerate(requests)
    )
    values: dict[str, Any] = {
        "digest": f"case{version}",
        "task_type": "testing",
        "given": (),
        "successes": 1,
        "failures": 0,
        "duration_us": 0,
        "cost_nusd": 0,
        "last_used": START,
        "current_rate": 1.0,
        "version": version,
        "exemplars": exemplars,
    }
    return CaseRow(**{**values, **changes})


def _blob(vector: list[int]) -> bytes:
    return np.array(vector, dtype=np.float32).tobytes()


def _expected(query: str, vector: list[int], text: str, other: list[int]) -> float:
    mine, theirs = set(re.findall(r"\w+", query)), set(re.findall(r"\w+", text))
    cosine = np.dot(vector, other) / (np.linalg.norm(vector) * np.linalg.norm(other))
    return 0.7 * max(0.0, float(cosine)) + 0.3 * len(mine & theirs) / len(mine | theirs)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(texts, vectors), min_size=1, max_size=3), max_size=120),
    texts,
    vectors,
    st.integers(1, 5),
)
def test_it_finds_the_best_of_all(
    groups: list[list[tuple[str, list[int]]]], query: str, vector: list[int], limit: int
) -> None:
    index = PlanIndex()
    index.apply([_case(n, requests) for n, requests in enumerate(groups, 1)])
    found = index.similar(query, np.array(vector, dtype=np.float32), "testing", (), limit)
    best = sorted(
        (max(_expected(query, vector, *request) for request in requests) for requests in groups),
        reverse=True,
    )
    assert np.allclose([case.similarity for case in found], best[:limit], atol=1e-5)


def test_it_is_bounded_and_keeps_what_changed_last() -> None:
    index = PlanIndex(limit=3)
    for version in range(1, 6):
        index.apply([_case(version, [("sales", [1, 0, 0])])])
    assert len(index) == 3
    found = index.similar("sales", None, "testing", (), limit=9)
    assert sorted(case.plan["v"] for case in found) == [3, 4, 5]  # pyright: ignore[reportArgumentType]  # numbers


def test_old_news_does_not_bring_back_what_was_dropped() -> None:
    index = PlanIndex()
    old = _case(1, [("sales", [1, 0, 0])])
    index.apply([old])
    index.apply([_case(2, [], digest="case1")])
    index.apply([old])
    assert len(index) == 0
    assert index.version == 2


def test_vectors_of_another_embedder_are_compared_by_words_alone() -> None:
    index = PlanIndex()
    index.apply([_case(1, [("sales trend", [1, 0, 0])])])
    (case,) = index.similar("sales trend", np.ones(8, dtype=np.float32), "testing", ())
    assert case.similarity == 1.0


def test_those_that_serve_come_first_whatever_their_type_and_data() -> None:
    index = PlanIndex()
    index.apply(
        [
            _case(1, [("sales trend", [1, 0, 0])], given=("dataset",)),
            _case(2, [("sales chart", [1, 1, 0])], task_type="other", given=("dataset", "script")),
            _case(3, [("slow tests", [0, 0, 1])], current_rate=0.1),
        ]
    )
    found = index.similar(
        "sales trend", None, "testing", (), min_success_rate=0.5,
        serves=lambda case: case.plan["v"] != 1,
    )  # fmt: skip
    assert [case.plan["v"] for case in found] == [2, 1]


def test_a_case_that_changes_keeps_the_requests_that_it_had() -> None:
    index = PlanIndex()
    index.apply([_case(1, [("sales", [1, 0, 0]), ("docs", [0, 1, 0])])])
    again = _case(1, [("sales", [1, 0, 0])])
    index.apply([_case(2, [("trend", [0, 0, 1])], digest="other")])
    index.apply([_case(3, [], digest="case1", exemplars=again.exemplars, successes=7)])
    found = index.similar("docs", np.array([0, 1, 0], dtype=np.float32), "testing", ())
    assert sorted((case.request, case.successes) for case in found) == [("sales", 7), ("trend", 1)]
