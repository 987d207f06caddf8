"""Whatever is sent, the answer is one that the OpenAPI document names, and the server goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from http_world import World, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.asyncio(loop_scope="module")

POSTS = (
    "/v1/runs",
    "/v1/plan",
    "/v1/runs/none/approve",
    "/v1/runs/none/cancel",
    "/v1/runs/none/resume",
    "/v1/runs/none/feedback",
)
NAMES = st.sampled_from(
    ["session_id", "budget_usd", "timeout_s", "context", "approve", "decision", "edit", "success"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
# A client sends no header that begins or ends with a space.
HEADER = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.strip)
RELAXED = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@RELAXED
@given(path=st.sampled_from(POSTS), body=VALUES, key=HEADER, prefer=HEADER)
async def test_any_json_is_answered_with_what_is_wrong(
    served: World, path: str, body: Any, key: str, prefer: str
) -> None:
    headers = {"content-type": "application/json", "idempotency-key": key, "prefer": prefer}
    answer = await served.ann.post(path, content=json.dumps(body), headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@RELAXED
@given(body=st.binary(max_size=60), path=st.sampled_from(POSTS))
async def test_any_bytes_are_answered(served: World, body: bytes, path: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await served.ann.post(path, content=body, headers=headers)
    assert 400 <= answer.status_code < 500


@RELAXED
@given(
    query=st.dictionaries(
        st.sampled_from(["state", "session_id", "since", "limit", "cursor", "odd"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    ),
    last=HEADER,
)
async def test_any_query_is_answered(served: World, query: dict[str, str], last: str) -> None:
    listed = await served.ann.get("/v1/runs", params=query)
    assert listed.status_code in (200, 422)
    events = await served.ann.get(
        "/v1/runs/none/events", params=query, headers={"last-event-id": last}
    )
    assert events.status_code in (404, 422)


@RELAXED
@given(run_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
async def test_any_text_may_stand_for_a_run(served: World, run_id: str) -> None:
    answer = await served.ann.get(f"/v1/runs/{quote(run_id, safe='')}/explain")
    assert answer.status_code in (404, 405, 422)
