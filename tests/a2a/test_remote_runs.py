"""Whole runs with a bad agent elsewhere: finished by another, or failed cleanly and said why."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loopback import Serve
from remote_peers import EVENTS, Call, Peer, StartPeer, artifact, status, task

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill
from genesis.agents.adapters import FunctionAgent
from genesis.errors import InputRequired
from genesis.testing import FakeAgent
from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.serving import serve_agent
from infrastructure.config import load_flags, load_settings

SKILL = Skill("answer", "Answers.", ("general",), produces=("answer",), seconds=0.5)
REQUEST = "Tell me something nice"
PARAMS = {
    "skills": {"s": {"task_types": ["general"], "requires": [], "produces": ["answer"],
                     "cost_usd": 0, "seconds": 0.01, "needs_model": False}},
}  # fmt: skip


async def slow(call: Call) -> None:
    if call.method == "SendStreamingMessage":
        await call.head(EVENTS)
        await call.event({"task": task("WORKING")})
        while True:
            await asyncio.sleep(0.05)
            await call.chunk(b": still here\n\n")
    await call.result(task("CANCELED"))


async def dies(call: Call) -> None:
    if call.method == "SendStreamingMessage":
        await call.head(EVENTS)
        await call.event({"task": task("WORKING")})
    call.drop()


async def garbage(call: Call) -> None:
    await call.respond(b"\x00\xff<html>{[", EVENTS)


async def streams_forever(call: Call) -> None:
    if call.method == "CancelTask":
        await call.result(task("CANCELED"))
        return
    await call.head(EVENTS)
    while True:
        await call.event(artifact({"text": "and so on, "}, append=True))


async def sends_100_mb(call: Call) -> None:
    await call.head(EVENTS)
    await call.chunk(b"data: {")
    for _ in range(1600):
        await call.chunk(b" " * 65_536)


async def redirects(call: Call) -> None:
    where = "location: http://169.254.169.254/latest/meta-data"
    await call.respond(b"", "text/plain", where, code=302)


async def changes_its_card(call: Call) -> None:
    raise AssertionError("it was not to be asked")


@dataclass(frozen=True)
class Bad:
    """A bad agent and the words by which it is explained."""

    answer: Callable[[Call], Awaitable[None]]
    words: str
    timeout_s: float = 20.0


BAD = [
    Bad(slow, "did not end the task within", timeout_s=0.5),
    Bad(dies, "cannot be reached"),
    Bad(garbage, "sent what is not A2A|answered nothing"),
    Bad(streams_forever, "more than 500 events"),
    Bad(sends_100_mb, "larger than 5000000 bytes"),
    Bad(redirects, "redirects, which is not followed"),
    Bad(changes_its_card, "card of agent 'stranger' has changed .* no longer offers 's'"),
]


@pytest.fixture(params=BAD, ids=lambda bad: bad.answer.__name__)
def bad(request: pytest.FixtureRequest) -> Bad:
    return request.param


Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(*agents: Any, task_timeout_s: float = 20.0) -> GenesisOrchestrator:
        settings = load_settings(
            {}, task_timeout_s=task_timeout_s, max_replans=0,
            workspace=tmp_path, data_dir=tmp_path / "data", db_path=str(tmp_path / "memory.db"),
        )  # fmt: skip
        return GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=list(agents))

    return build


async def _add(orchestrator: GenesisOrchestrator, one: Peer, bad: Bad) -> RemoteAgent:
    """Registers the bad agent, whose card promises more speed than the good one's."""
    extension = {"uri": "urn:genesis:a2a:1", "params": PARAMS}
    one.card["capabilities"] = {"streaming": True, "extensions": [extension]}
    agent = await RemoteAgent.connect(
        one.url, max_response_bytes=5_000_000, max_events=500, card_max_age_s=0
    )
    orchestrator.register_agent(agent)
    if bad.answer is changes_its_card:
        one.card = json.loads(json.dumps(one.card).replace('"s"', '"t"'))
    return agent


def _told(result: OrchestrationResult, name: str) -> list[str]:
    return [a.reason for t in result.tasks for a in t.attempts if a.agent == name]


async def test_the_run_is_finished_by_another(make: Make, peer: StartPeer, bad: Bad) -> None:
    fallback = FakeAgent("fallback", {"answer": "a nice day"}, skills=[SKILL])
    async with make(fallback, task_timeout_s=bad.timeout_s) as orchestrator:
        await _add(orchestrator, await peer(bad.answer), bad)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        assert result.success, result.errors
        assert fallback.calls == 1
        (reason,) = _told(result, "stranger")
        assert re.search(bad.words, reason), reason


async def test_without_another_the_run_fails_cleanly(make: Make, peer: StartPeer, bad: Bad) -> None:
    async with make(task_timeout_s=bad.timeout_s) as orchestrator:
        await _add(orchestrator, await peer(bad.answer), bad)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        assert not result.success
        told = " ".join(result.errors)
        assert re.search(bad.words, told), told
        assert str(await orchestrator.explain(result.run_id))


async def test_its_breaker_opens_and_it_is_left_alone(
    make: Make, peer: StartPeer, bad: Bad
) -> None:
    async with make(task_timeout_s=bad.timeout_s) as orchestrator:
        one = await peer(bad.answer)
        await _add(orchestrator, one, bad)
        registry = orchestrator.services.registry
        asked = [f"{REQUEST} about {number}" for number in range(8)]
        await asyncio.gather(*map(orchestrator.execute_orchestrated_request, asked))
        assert not registry.health("stranger").available
        calls = len(one.calls)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        assert not result.success
        assert len(one.calls) == calls


async def test_many_files_with_bad_names_land_in_the_runs_folder(
    make: Make, peer: StartPeer, tmp_path: Path
) -> None:
    names = [
        "../../escaped",
        "/etc/cron.d/x",
        "..\\..\\windows",
        ".bashrc",
        "a" * 500,
        "\u202e.png",
    ]

    async def files(call: Call) -> None:
        parts = [{"raw": "aGVsbG8=", "filename": name} for name in names]
        data = {"text": "see the files"}
        await call.events({"task": task("WORKING")}, artifact(*parts, data), status("COMPLETED"))

    async with make() as orchestrator:
        await _add(orchestrator, await peer(files), Bad(files, ""))
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        assert result.success, result.errors
        assert result.output == "see the files"
        runs = (tmp_path / "data" / "runs").resolve()
        written = [Path(path).resolve() for path in result.artifacts]
        assert len(written) == len(names)
        assert all(path.is_relative_to(runs) for path in written)
        assert all(not path.name.startswith(".") for path in written)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_functions_question_is_answered_by_a_person(
    make: Make, serve: Serve, where: str
) -> None:
    told: list[tuple[str, ...]] = []

    async def nice(assignment: Assignment) -> dict[str, str]:
        assert assignment.request == REQUEST
        told.append(assignment.notes)
        if len(told) < 3:
            raise InputRequired("cats or dogs?" if len(told) == 1 else "big ones?")
        return {"answer": f"here is one about {assignment.notes[-1]}"}

    agent = FunctionAgent(AgentCard("asking", "Asks.", (SKILL,)), nice)
    async with make() as orchestrator:
        if where == "here":
            orchestrator.register_agent(agent)
        else:
            served = await serve(lambda url: serve_agent(agent, url=url))
            orchestrator.register_agent(served.url)
        asked = await orchestrator.execute_orchestrated_request(REQUEST)
        assert "asks: cats or dogs?" in asked.approvals[0].question
        await orchestrator.approve(asked.run_id, "edit", edit="cats")
        again = await orchestrator.resume(asked.run_id)
        assert "asks: big ones?" in again.approvals[0].question
        await orchestrator.approve(asked.run_id, "edit", edit="big")
        result = await orchestrator.resume(asked.run_id)
        assert result.success, result.errors
    assert told == [
        (),
        ("you asked: cats or dogs?", "the answer: cats"),
        ("you asked: cats or dogs?", "the answer: cats", "you asked: big ones?", "the answer: big"),
    ]
