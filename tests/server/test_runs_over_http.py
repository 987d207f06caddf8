"""The REST API of runs over a real server: every route, as its caller meets it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from http_world import NICE, World, all_events, read_events, world
from openapi_spec_validator import OpenAPIV31SpecValidator

from genesis.server.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    limits = Limits(streams=4, heartbeat_s=0.05)
    async with world(tmp_path_factory.mktemp("server"), limits) as made:
        yield made


async def test_an_accepted_run_is_worked_on_and_shown_with_its_result(served: World) -> None:
    accepted = await served.ann.post("/v1/runs", json={"request": NICE, "session_id": "s1"})
    assert accepted.status_code == 202
    run_id = accepted.json()["run_id"]
    assert accepted.headers["location"] == f"/v1/runs/{run_id}"

    await all_events(served.ann, f"/v1/runs/{run_id}/events")
    shown = (await served.ann.get(accepted.headers["location"])).json()
    assert (shown["state"], shown["session_id"], shown["request"]) == ("completed", "s1", NICE)
    assert shown["result"]["success"]
    assert shown["result"]["tasks"][0]["agent"] == "teller"
    assert shown["receipt"]["tasks"] == len(shown["result"]["tasks"])


async def test_who_prefers_to_wait_gets_the_result_at_once(served: World) -> None:
    answer = await served.ann.post(
        "/v1/runs", json={"request": NICE}, headers={"prefer": "respond-async, wait=20"}
    )
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["result"]["success"]


async def test_a_failed_run_is_an_answer_and_no_error(served: World) -> None:
    run = await served.ask("Tell me something badly")
    assert run["state"] == "failed"
    assert any("badly it went" in error for error in run["result"]["errors"])


async def test_an_answer_that_is_no_text_is_sent_all_the_same(served: World) -> None:
    run = await served.ask("Tell me something oddly")
    assert run["state"] in ("completed", "failed")


async def test_the_files_of_a_run_are_given_to_be_saved_and_no_others(served: World) -> None:
    run = await served.ask("Tell me something written")
    (written,) = run["result"]["artifacts"]
    path = f"/v1/runs/{run['run_id']}/files"
    file = await served.ann.get(f"{path}/0")
    assert file.text == "<script>alert(1)</script>"
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert file.headers["x-content-type-options"] == "nosniff"
    for wrong in ("1", "-1", "page.html", "..%2f0"):
        assert (await served.ann.get(f"{path}/{wrong}")).status_code in (404, 422)

    Path(written).unlink()
    Path(written).symlink_to("/etc/passwd")
    assert (await served.ann.get(f"{path}/0")).status_code == 404
    Path(written).unlink()
    assert (await served.ann.get(f"{path}/0")).status_code == 404


async def test_a_key_names_a_run_so_that_asking_again_does_nothing_twice(served: World) -> None:
    async def ask(key: str, text: str = "Tell me something once") -> Any:
        headers = {"idempotency-key": key, "prefer": "wait=20"}
        return await served.ann.post("/v1/runs", json={"request": text}, headers=headers)

    before = len(served.teller.asked)
    answers = await asyncio.gather(*(ask("k1") for _ in range(4)))
    assert {answer.json()["run_id"] for answer in answers} == {answers[0].json()["run_id"]}
    assert len(served.teller.asked) == before + 1
    assert (await ask("k2")).json()["run_id"] != answers[0].json()["run_id"]

    other = await ask("k1", "Tell me something else")
    assert other.status_code == 422
    headers = {"idempotency-key": "k1"}
    of_bob = await served.bob.post(
        "/v1/runs", json={"request": "Tell me something once"}, headers=headers
    )
    assert of_bob.json()["run_id"] != answers[0].json()["run_id"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "/request"),
        ({"request": ""}, "/request"),
        ({"request": 5}, "/request"),
        ({"request": "x" * 100_001}, "/request"),
        ({"request": NICE, "budget_usd": -1}, "/budget_usd"),
        ({"request": NICE, "budget_usd": "1"}, "/budget_usd"),
        ({"request": NICE, "timeout_s": 1e400}, "/timeout_s"),
        ({"request": NICE, "session_id": ""}, "/session_id"),
        ({"request": NICE, "tenant": "team-b"}, "/tenant"),
        ({"request": NICE, "context": []}, "/context"),
        ({"request": NICE, "approve": "plan"}, "/approve"),
    ],
)
async def test_a_body_that_cannot_be_used_is_told_where(
    served: World, body: dict[str, Any], where: str
) -> None:
    answer = await served.ann.post(
        "/v1/runs", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert [fault["where"] for fault in problem["faults"]] == [where]
    assert where in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"request": "   "}, "request"),
        ({"request": "a\x00b"}, "request"),
        ({"request": NICE, "session_id": "a\nb"}, "session_id"),
        ({"request": NICE, "approve": ["sometimes"]}, "sometimes"),
    ],
)
async def test_what_the_orchestrator_refuses_is_an_error_of_the_caller(
    served: World, body: dict[str, Any], words: str
) -> None:
    answer = await served.ann.post("/v1/runs", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert answer.json()["code"] == "InputError"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"request": "x"}', "text/plain", 415),
        (b'{"request": "x"}', "application/x-www-form-urlencoded", 415),
        (b'{"request": "x"}', None, 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 422),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"request": "x", "context": {"n": NaN}}', "application/json", 422),
    ],
)
async def test_a_body_of_another_kind_or_no_json_is_refused(
    served: World, content: bytes, kind: str | None, status: int
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await served.ann.post("/v1/runs", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_run_or_path_or_method_is_a_problem_too(served: World) -> None:
    unknown = await served.ann.get("/v1/runs/none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UnknownRun")
    nowhere = await served.ann.get("/v1/nowhere")
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (
        404,
        "application/problem+json",
    )
    assert (await served.ann.delete("/v1/runs")).status_code == 405


async def test_runs_are_paged_without_gaps_and_repeats_while_new_ones_come(served: World) -> None:
    made = [(await served.ask(session_id="paged"))["run_id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"session_id": "paged", "limit": 2}
    while True:
        page = (await served.ann.get("/v1/runs", params=query)).json()
        seen += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await served.ask(session_id="paged")
    assert seen == made[::-1]

    for cursor in ("x", "e30=", "[[[[", "\u00e9"):
        refused = await served.ann.get("/v1/runs", params={"cursor": cursor})
        assert refused.status_code == 422
    failed = (await served.ann.get("/v1/runs", params={"state": "failed"})).json()
    assert {run["state"] for run in failed["runs"]} <= {"failed"}
    assert (await served.ann.get("/v1/runs", params={"state": "odd"})).status_code == 422
    assert (await served.ann.get("/v1/runs", params={"limit": 0})).status_code == 422


async def test_a_stream_follows_a_run_with_signs_of_life_and_ends_with_it(served: World) -> None:
    run_id = (await served.ask("Tell me something slowly live", wait_s=0))["run_id"]
    names: list[str] = []
    async with served.ann.stream("GET", f"/v1/runs/{run_id}/events") as response:
        async for event in read_events(response):
            if event.name == "comment" and served.teller.began["live"].is_set():
                served.teller.go["live"].set()
            names.append(event.name)
    assert names[0] == "RunAccepted"
    assert "comment" in names
    assert names[-2:] == ["RunEnded", "end"]


async def test_a_stream_goes_on_after_the_last_event_that_was_read(served: World) -> None:
    run_id = (await served.ask())["run_id"]
    path = f"/v1/runs/{run_id}/events"
    everything = await all_events(served.ann, path)
    numbers = [event.number for event in everything[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert everything[-1].data == {"state": "completed"}

    for read in (1, len(numbers) - 1):
        rest = await all_events(served.ann, path, headers={"last-event-id": str(read)})
        assert [event.number for event in rest[:-1]] == numbers[read:]
    assert await all_events(served.ann, path, params={"after": 1}) == everything[1:]

    done = await served.ann.get(path, headers={"last-event-id": str(numbers[-1])})
    assert done.status_code == 204
    odd = await served.ann.get(path, headers={"last-event-id": "first"})
    assert odd.status_code == 422


async def test_streams_of_a_caller_are_bounded_and_a_closed_one_is_given_back(
    served: World,
) -> None:
    run_id = (await served.ask("Tell me something slowly many", wait_s=0))["run_id"]
    path = f"/v1/runs/{run_id}/events"

    async def hold(opened: asyncio.Event, close: asyncio.Event) -> None:
        async with served.ann.stream("GET", path) as response:
            assert response.status_code == 200
            opened.set()
            await close.wait()

    close = asyncio.Event()
    opened = [asyncio.Event() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for event in opened:
            group.create_task(hold(event, close))
        for event in opened:
            await event.wait()
        refused = await served.ann.get(path)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        waiting = await served.ann.post(
            "/v1/runs", json={"request": NICE}, headers={"prefer": "wait=5"}
        )
        assert waiting.status_code == 429, "a wait is a stream too, and nothing was accepted"
        close.set()
    async with asyncio.timeout(10):
        while served.served.hub.streams.total:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    served.teller.go["many"].set()
    assert (await all_events(served.ann, path))[-1].name == "end"


async def test_a_run_is_cancelled_once(served: World) -> None:
    run_id = (await served.ask("Tell me something slowly never", wait_s=0))["run_id"]
    await served.teller.began["never"].wait()
    first = await served.ann.post(f"/v1/runs/{run_id}/cancel", json={"reason": "no need"})
    assert first.json() == {"run_id": run_id, "canceled": True}
    events = await all_events(served.ann, f"/v1/runs/{run_id}/events")
    assert events[-1].data == {"state": "canceled"}
    again = await served.ann.post(f"/v1/runs/{run_id}/cancel")
    assert again.json() == {"run_id": run_id, "canceled": False}


async def test_a_run_waits_for_a_person_and_goes_on_when_told(served: World) -> None:
    waiting = await served.ask(approve=["plan"])
    run_id = waiting["run_id"]
    assert waiting["state"] == "waiting"
    (question,) = waiting["approvals"]
    assert question["kind"] == "plan"
    listed = (await served.ann.get("/v1/runs", params={"state": "waiting"})).json()
    assert run_id in [run["run_id"] for run in listed["runs"]]
    assert (await all_events(served.ann, f"/v1/runs/{run_id}/events"))[-1].data == {
        "state": "waiting"
    }

    odd = await served.ann.post(f"/v1/runs/{run_id}/approve", json={"decision": "maybe"})
    assert odd.status_code == 422
    answer = await served.ann.post(
        f"/v1/runs/{run_id}/approve", json={"approval_id": question["id"], "comment": "go on"}
    )
    assert answer.status_code == 200
    done = await served.ann.post(f"/v1/runs/{run_id}/resume", headers={"prefer": "wait=20"})
    assert (done.status_code, done.json()["state"]) == (200, "completed")
    decided = [
        event.data
        for event in await all_events(served.ann, f"/v1/runs/{run_id}/events")
        if event.name == "ApprovalDecided"
    ]
    assert "ann" in str(decided)


async def test_a_rejected_plan_ends_the_run(served: World) -> None:
    run_id = (await served.ask(approve=["plan"]))["run_id"]
    await served.ann.post(
        f"/v1/runs/{run_id}/approve", json={"decision": "reject", "comment": "too dear"}
    )
    await all_events(served.ann, f"/v1/runs/{run_id}/events")
    done = (
        await served.ann.post(f"/v1/runs/{run_id}/resume", headers={"prefer": "wait=20"})
    ).json()
    assert done["state"] in ("failed", "canceled")
    assert "too dear" in str(done["result"]["errors"])


async def test_a_run_that_is_over_is_resumed_to_its_result_alone(served: World) -> None:
    run = await served.ask()
    before = len(served.teller.asked)
    again = await served.ann.post(f"/v1/runs/{run['run_id']}/resume", headers={"prefer": "wait=9"})
    assert again.status_code == 200
    assert again.json()["result"]["output"] == run["result"]["output"]
    assert len(served.teller.asked) == before


async def test_a_run_under_way_takes_no_other_limits(served: World) -> None:
    run_id = (await served.ask("Tell me something slowly busy", wait_s=0))["run_id"]
    await served.teller.began["busy"].wait()
    refused = await served.ann.post(f"/v1/runs/{run_id}/resume", json={"budget_usd": 5})
    assert (refused.status_code, refused.json()["code"]) == (409, "RunBusy")
    served.teller.go["busy"].set()
    await all_events(served.ann, f"/v1/runs/{run_id}/events")


async def test_a_run_that_somebody_else_works_on_is_busy_and_can_be_waited_for(
    served: World,
) -> None:
    elsewhere = served.orchestrator.for_tenant("team-a")
    text = "Tell me something slowly elsewhere"
    working = asyncio.create_task(elsewhere.execute_orchestrated_request(text, "elsewhere"))
    await served.teller.began["elsewhere"].wait()
    listed = (await served.ann.get("/v1/runs", params={"session_id": "elsewhere"})).json()
    run_id = listed["runs"][0]["run_id"]

    refused = await served.ann.post(f"/v1/runs/{run_id}/resume", headers={"prefer": "wait=20"})
    assert (refused.status_code, refused.json()["code"]) == (409, "RunBusy")
    assert "retry-after" in refused.headers

    worker = served.served.hub.worker
    await worker.wait("team-a", run_id, 0.01)
    waiting = asyncio.create_task(worker.wait("team-a", run_id, 20))
    served.teller.go["elsewhere"].set()
    await waiting
    assert (await served.ann.get(f"/v1/runs/{run_id}")).json()["state"] == "completed"
    assert (await working).success


async def test_a_run_explains_itself_and_takes_feedback(served: World) -> None:
    run_id = (await served.ask())["run_id"]
    told = (await served.ann.get(f"/v1/runs/{run_id}/explain")).json()
    assert {"recall", "htdag", "halo", "daao", "execute"} <= {d["step"] for d in told["decisions"]}
    assert run_id in told["text"]

    nothing = await served.ann.post(f"/v1/runs/{run_id}/feedback", json={})
    assert nothing.status_code == 422
    said = await served.ann.post(f"/v1/runs/{run_id}/feedback", json={"success": False})
    assert said.status_code == 204
    assert (await served.ann.get(f"/v1/runs/{run_id}")).json()["state"] == "failed"


async def test_a_plan_is_shown_and_nothing_is_run(served: World) -> None:
    before = len((await served.ann.get("/v1/runs", params={"limit": 200})).json()["runs"])
    plan = (await served.ann.post("/v1/plan", json={"request": NICE})).json()
    assert [ladder["rungs"][0]["agent"] for ladder in plan["ladders"]] == ["teller"]
    after = len((await served.ann.get("/v1/runs", params={"limit": 200})).json()["runs"])
    assert after == before


async def test_agents_and_what_was_learnt_are_shown(served: World) -> None:
    agents = (await served.ann.get("/v1/agents")).json()["agents"]
    (teller,) = (agent for agent in agents if agent["name"] == "teller")
    assert (teller["available"], teller["remote"]) == (True, False)
    assert [skill["produces"] for skill in teller["skills"]] == [["answer"]]
    learnt = (await served.ann.get("/v1/metrics/learning")).json()
    assert learnt["total_workflows_executed"] > 0


async def test_the_process_tells_how_it_is(served: World) -> None:
    await served.ask()
    assert (await served.anyone.get("/healthz")).json() == {"status": "ok"}
    assert (await served.anyone.get("/readyz")).json() == {"ready": True, "reason": ""}
    metrics = (await served.operator.get("/metrics")).text
    for name in (
        'genesis_runs_total{state="completed"}',
        'genesis_tasks_total{status="completed",task_type="general"}',
        'genesis_attempts_total{agent="teller"',
        "genesis_store_commits_total",
        "genesis_store_queue",
        'genesis_agent_breaker_open{agent="teller"} 0.0',
        "genesis_runs_active",
        'route="/v1/runs/{run_id}"',
        "memory_compression_ratio",
    ):
        assert name in metrics, name
    assert "team-a" not in metrics

    for client in (served.anyone, served.ann):
        assert (await client.get("/metrics")).status_code == 403, "from this machine, too"


async def test_what_is_wrong_is_told_within_bounds(served: World) -> None:
    nested: object = 1
    for _ in range(400):
        nested = [nested]
    for body in (dict.fromkeys(map(str, range(50_000)), 1), {"request": NICE, "context": nested}):
        refused = await served.ann.post("/v1/runs", json=body)
        assert refused.status_code == 422
        assert 1 <= len(refused.json()["faults"]) <= 20
        assert len(refused.content) < 50_000


async def test_a_list_shows_the_beginning_of_long_requests(served: World) -> None:
    asked = f"{NICE} {'and more ' * 1_000}".strip()
    run = await served.ask(asked)
    (listed,) = (await served.ann.get("/v1/runs", params={"session_id": run["session_id"]})).json()[
        "runs"
    ]
    assert listed["request"].startswith(NICE)
    assert len(listed["request"]) <= 1_000
    assert (await served.ann.get(f"/v1/runs/{run['run_id']}")).json()["request"] == asked


async def test_the_openapi_document_is_valid_and_complete(served: World) -> None:
    document = (await served.anyone.get("/openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert {
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/runs/{run_id}"),
        ("GET", "/v1/runs/{run_id}/events"),
        ("POST", "/v1/runs/{run_id}/approve"),
        ("POST", "/v1/runs/{run_id}/cancel"),
        ("POST", "/v1/runs/{run_id}/resume"),
        ("GET", "/v1/runs/{run_id}/explain"),
        ("GET", "/v1/runs/{run_id}/files/{number}"),
        ("POST", "/v1/runs/{run_id}/feedback"),
        ("POST", "/v1/plan"),
        ("GET", "/v1/agents"),
        ("GET", "/v1/metrics/learning"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    } <= described


@pytest.mark.parametrize("place", ['[NaN,"a"]', '[1e999,"a"]', '[true,"a"]', "[9]", "{}"])
async def test_a_cursor_that_no_page_gave_is_refused(served: World, place: str) -> None:
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    refused = await served.ann.get("/v1/runs", params={"cursor": cursor})
    assert refused.status_code == 422
    assert "next_cursor" in refused.json()["detail"]
