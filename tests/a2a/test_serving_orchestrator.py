"""The orchestrator served over A2A: runs as tasks, approvals as questions, tenants apart."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from loopback import Serve
from serving_wires import JsonRpc, Rest, Wire, WireError, message, send, state_of
from starlette.applications import Starlette

from genesis import Assignment, GenesisOrchestrator, Skill
from genesis.agents.adapters import FunctionAgent
from genesis.server.orchestrator_agent import served_orchestrator
from genesis.server.worker import RunWorker
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.serving import JSONRPC_PATH, REST_PATH, A2AServer
from infrastructure.callers import Caller
from infrastructure.config import load_settings
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

TELL = Skill("tell", "Tells something.", ("general",), produces=("answer",), seconds=0.1)
TOKENS = {"ann": Caller("acme", "ann"), "eve": Caller("evil", "eve")}
EXTENSION = "urn:genesis:a2a:1"


class Teller:
    """Does what the request says: `slowly` waits, `badly` fails, `file` writes one."""

    def __init__(self) -> None:
        self.began: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.go = asyncio.Event()
        self.asked: list[Assignment] = []
        card = AgentCard("teller", "Tells.", (TELL,))
        self.agent = FunctionAgent(card, self.tell)

    async def tell(self, assignment: Assignment) -> TaskOutput:
        self.asked.append(assignment)
        words = assignment.request.split()
        if "slowly" in words:
            self.began["slowly"].set()
            await self.go.wait()
        if "badly" in words:
            raise ValueError("badly it went")
        files: tuple[str, ...] = ()
        if "file" in words:
            path = assignment.artifacts_dir / "note.txt"
            path.write_text("noted")
            files = (str(path),)
        dataset = assignment.inputs.get("dataset")
        said = Path(str(dataset)).read_text() if dataset else "a nice day"
        return TaskOutput(said, {"answer": said}, files)


class World:
    """One process: orchestrator, worker, A2A server."""

    def __init__(
        self, url: str, http: httpx.AsyncClient, teller: Teller, worker: RunWorker
    ) -> None:
        self.url, self.http, self.teller, self.worker = url, http, teller, worker

    def wire(self, token: str = "ann", binding: str = "JSONRPC") -> Wire:
        headers = {"authorization": f"Bearer {token}"}
        if binding == "JSONRPC":
            return JsonRpc(self.http, self.url + JSONRPC_PATH, headers)
        return Rest(self.http, self.url + REST_PATH, headers)


class Open(Protocol):
    """Opens a server on the test's database, with the shipped agents where there is no teller."""

    async def __call__(
        self, teller: Teller | None = None, *, shipped: bool = False
    ) -> tuple[World, AsyncExitStack]: ...


@pytest.fixture
async def opened(tmp_path: Path, serve: Serve) -> AsyncIterator[Open]:
    """Opens a server on one database; `close` ends it as a process that is told to."""
    stacks: list[AsyncExitStack] = []

    async def open_one(
        teller: Teller | None = None, *, shipped: bool = False
    ) -> tuple[World, AsyncExitStack]:
        teller = teller or Teller()
        stack = AsyncExitStack()
        stacks.append(stack)
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        settings = load_settings(
            {},
            workspace=workspace,
            data_dir=tmp_path / "data",
            db_path=str(tmp_path / "genesis.db"),
        )
        orchestrator = GenesisOrchestrator(
            agents=None if shipped else [teller.agent], settings=settings
        )
        await stack.enter_async_context(orchestrator)
        memori = await orchestrator.services.memory.ready()
        assert isinstance(memori, Memori)
        worker = RunWorker(orchestrator, lambda: ("acme", "evil"), lambda result: None)
        servers: list[A2AServer] = []

        def make(url: str) -> Any:
            server = A2AServer(
                served_orchestrator(worker, "1"),
                url=url,
                authenticate=lambda token: TOKENS.get(token or ""),
                store=MemoriStore(memori),
            )
            servers.append(server)
            return Starlette(routes=server.routes)

        served = await serve(make)
        await servers[0].start(("acme", "evil"))
        stack.push_async_callback(servers[0].aclose)
        await stack.enter_async_context(worker.open())
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        return World(served.url, http, teller, worker), stack

    yield open_one
    for stack in reversed(stacks):
        await stack.aclose()


async def test_a_message_becomes_a_run_and_its_result_the_tasks(opened: Open) -> None:
    world, _ = await opened()
    card = (await world.http.get(world.url + "/.well-known/agent-card.json")).json()
    assert [skill["id"] for skill in card["skills"]] == ["general"]
    task = await send(world.wire(), "m1", "Tell me something nice, and file it")
    assert state_of(task) == "COMPLETED", task["status"]
    (artifact,) = task["artifacts"]
    parts = artifact["parts"]
    assert "a nice day" in parts[0]["text"]
    facts = parts[1]["data"]
    assert (facts["run_id"], facts["success"]) == (task["id"], True)
    assert base64.b64decode(parts[2]["raw"]) == b"noted"
    assert parts[2]["filename"] == "note.txt"
    assert artifact["metadata"][EXTENSION]["usage"]["cost_usd"] == facts["cost_usd"]
    run = await world.worker.of("acme").run(task["id"])
    assert run.session_id == task["contextId"]
    assert world.teller.asked[0].sandboxed  # whoever asks over a wire is remote


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_progress_is_told_while_the_run_goes_on(opened: Open, binding: str) -> None:
    world, _ = await opened()
    wire = world.wire(binding=binding)
    told: list[str] = []
    last: dict[str, Any] = {}
    async with aclosing(
        wire.follow("SendStreamingMessage", {"message": message("Tell it slowly", "m1")})
    ) as events:
        async for last in events:
            said = last.get("statusUpdate", {}).get("status", {}).get("message", {})
            told += [part["text"] for part in said.get("parts", [])]
            if any("teller begins" in text for text in told):
                await world.teller.began["slowly"].wait()
                world.teller.go.set()
    assert any(text.startswith("planned:") for text in told)
    assert told[-1].endswith(": completed")
    assert state_of(last["statusUpdate"]) == "COMPLETED"


async def test_what_cannot_be_accepted_is_rejected_with_the_reason(opened: Open) -> None:
    world, _ = await opened()
    wire = world.wire()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("   ", {}, "empty"),
        ("Profile ../../etc/passwd.csv", {}, "workspace"),
        ("Tell", {EXTENSION: {"budget_usd": "much"}}, "budget_usd must be a number"),
        ("Tell", {EXTENSION: {"approve": ["never"]}}, "never"),
    ]
    for number, (text, metadata, reason) in enumerate(wrong):
        task = await send(wire, f"m{number}", text, metadata=metadata)
        assert state_of(task) == "REJECTED"
        assert reason in task["status"]["message"]["parts"][0]["text"]
    assert await world.worker.of("acme").runs() == []


async def test_a_run_that_fails_says_why(opened: Open) -> None:
    world, _ = await opened()
    task = await send(world.wire(), "m1", "Tell it badly")
    assert state_of(task) == "FAILED"
    assert "badly it went" in task["status"]["message"]["parts"][0]["text"]


async def _waiting(world: World, number: int = 1) -> dict[str, Any]:
    metadata = {EXTENSION: {"approve": ["plan"]}}
    task = await send(world.wire(), f"m{number}", "Tell me something", metadata=metadata)
    assert state_of(task) == "INPUT_REQUIRED", task["status"]
    return task


async def test_an_approval_is_asked_for_and_decided_by_the_next_message(opened: Open) -> None:
    world, _ = await opened()
    wire = world.wire()
    task = await _waiting(world)
    words, data = task["status"]["message"]["parts"]
    assert "answer 'approve' or 'reject'" in words["text"]
    (asked,) = data["data"]["approvals"]
    assert asked["kind"] == "plan"
    unclear = await send(wire, "a0", "maybe", taskId=task["id"])
    assert state_of(unclear) == "INPUT_REQUIRED"
    assert "neither approves" in unclear["status"]["message"]["parts"][0]["text"]
    done = await send(wire, "a1", "Approve, it is fine", taskId=task["id"])
    assert state_of(done) == "COMPLETED", done["status"]
    journal = [e async for e in world.worker.of("acme").follow(task["id"])]
    found: list[Any] = [
        e.event["decision"] for e in journal if e.event["type"] == "ApprovalDecided"
    ]
    assert [(said["by"], said["comment"]) for said in found] == [("ann", "it is fine")]


async def test_a_rejected_plan_ends_the_run(opened: Open) -> None:
    world, _ = await opened()
    task = await _waiting(world)
    answer = message("", "a1", taskId=task["id"])
    answer["parts"] = [{"data": {"decision": "reject", "comment": "too dear"}}]
    ended = (await world.wire().call("SendMessage", {"message": answer}))["task"]
    assert state_of(ended) in ("FAILED", "CANCELED")
    assert world.teller.asked == []


async def test_cancelling_the_task_cancels_the_run(opened: Open) -> None:
    world, _ = await opened()
    wire = world.wire()
    asked = {"configuration": {"returnImmediately": True}}
    task = await send(wire, "m1", "Tell it slowly", **asked)
    await world.teller.began["slowly"].wait()
    cancelled = await wire.call("CancelTask", {"id": task["id"]})
    assert state_of(cancelled) == "CANCELED"
    assert (await world.worker.of("acme").run(task["id"])).state == "canceled"
    waiting = await _waiting(world, 2)
    cancelled = await wire.call("CancelTask", {"id": waiting["id"]})
    assert state_of(cancelled) == "CANCELED"
    assert (await world.worker.of("acme").run(waiting["id"])).state == "canceled"


async def test_tenants_have_their_own_runs_and_tasks(opened: Open) -> None:
    world, _ = await opened()
    task = await send(world.wire("ann"), "m1", "Tell me something")
    with pytest.raises(WireError):
        await world.wire("eve").call("GetTask", {"id": task["id"]})
    other = await send(world.wire("eve"), "m1", "Tell me something")
    assert other["id"] != task["id"]
    runs = [(await world.worker.of(tenant).runs()) for tenant in ("acme", "evil")]
    assert [[run.run_id for run in each] for each in runs] == [[task["id"]], [other["id"]]]


@pytest.mark.parametrize("text", ["Profile the data", "Profile sales.csv"])
async def test_files_come_with_a_request_and_are_gone_after_it(
    opened: Open, tmp_path: Path, text: str
) -> None:
    world, _ = await opened(shipped=True)
    raw = base64.b64encode(b"region,amount\nnorth,10\nsouth,32\n").decode()
    parts = [{"text": text}, {"raw": raw, "filename": "sales.csv", "mediaType": "text/csv"}]
    asked = {**message("", "m1"), "parts": parts}
    task = (await world.wire().call("SendMessage", {"message": asked}))["task"]
    assert state_of(task) == "COMPLETED", task["status"]
    assert "amount" in task["artifacts"][0]["parts"][0]["text"]
    assert not list((tmp_path / "workspace").rglob("*.csv"))


async def test_a_run_goes_on_where_it_was_after_a_restart(opened: Open) -> None:
    teller = Teller()
    world, stack = await opened(teller)
    asked = {"configuration": {"returnImmediately": True}}
    task = await send(world.wire(), "m1", "Tell it slowly", **asked)
    await teller.began["slowly"].wait()
    await stack.aclose()
    teller.go.set()
    world, _ = await opened(teller)
    async with asyncio.timeout(15):
        again = await send(world.wire(), "m1", "Tell it slowly")
    assert (again["id"], state_of(again)) == (task["id"], "COMPLETED")
    keys = {assignment.idempotency_key for assignment in teller.asked}
    assert len(keys) == 1  # sent again under its old key, if at all


async def test_an_approval_survives_a_restart(opened: Open) -> None:
    teller = Teller()
    world, stack = await opened(teller)
    task = await _waiting(world)
    await stack.aclose()
    world, _ = await opened(teller)
    done = await send(world.wire(), "a1", "approve", taskId=task["id"])
    assert state_of(done) == "COMPLETED", done["status"]
