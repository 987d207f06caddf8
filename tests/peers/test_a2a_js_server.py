"""Our client and an agent made with the JavaScript SDK: an implementation that shares no code.

Runs with PEERS=1 (`make slow`): npm installs the SDK into `build/`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from remote_peers import ask

from infrastructure.a2a.remote import BINDINGS, RemoteAgent
from infrastructure.a2a.types import AgentEvent, ArtifactUpdate, Message, Part, StatusUpdate

pytestmark = [
    pytest.mark.peers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("PEERS"), reason="PEERS is not set (make slow sets it)"),
]

PROJECT = Path(__file__).parent / "a2a_js"
FOLDER = Path(__file__).parents[2] / "build" / "peers" / "a2a-js"


@dataclass
class JsAgent:
    """The process, and where it listens."""

    url: str
    process: asyncio.subprocess.Process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode().strip()


@pytest.fixture(scope="module")
def installed() -> Path:
    """The SDK in a folder of its own, installed once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "agent.mjs"):
        shutil.copy(PROJECT / name, FOLDER / name)
    return FOLDER


@pytest.fixture
async def js(installed: Path) -> AsyncIterator[JsAgent]:
    if not (installed / "node_modules" / "@a2a-js").exists():
        npm = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
        install = await asyncio.create_subprocess_exec(*npm, cwd=installed)
        assert await install.wait() == 0
    process = await asyncio.create_subprocess_exec(
        "node", "agent.mjs", cwd=installed, stdout=asyncio.subprocess.PIPE
    )
    agent = JsAgent("", process)
    agent.url = await agent.line()
    yield agent
    process.terminate()
    await process.wait()


@pytest.fixture(params=BINDINGS)
async def remote(request: pytest.FixtureRequest, js: JsAgent) -> AsyncIterator[RemoteAgent]:
    agent = await RemoteAgent.connect(js.url, bindings=(request.param,))
    assert agent.binding == request.param
    yield agent
    await agent.aclose()


def _message(text: str, task_id: str = "", context_id: str = "c1") -> Message:
    return Message(f"m-{text}", "user", (Part(text=text),), context_id, task_id)


def _parts(events: list[AgentEvent]) -> list[Part]:
    return [p for e in events if isinstance(e, ArtifactUpdate) for p in e.artifact.parts]


def _last(events: list[AgentEvent]) -> StatusUpdate:
    assert isinstance(events[-1], StatusUpdate)
    return events[-1]


async def test_a_task_is_done(remote: RemoteAgent) -> None:
    events = await ask(remote, _message("hello"))
    assert [part.text for part in _parts(events)] == ["you said hello"]
    assert _last(events).state == "completed"


async def test_files_and_data_come_back(remote: RemoteAgent) -> None:
    raw = Part(raw=b"\x00\x01\xff", media_type="image/png", filename="a.png")
    assert _parts(await ask(remote, _message("parts"))) == [raw, Part(data={"a": [1, None, "é"]})]


async def test_a_question_is_answered(remote: RemoteAgent) -> None:
    asked = _last(await ask(remote, _message("ask")))
    assert asked.state == "input-required"
    assert asked.message is not None
    assert asked.message.text == "Which region?"
    events = await ask(remote, _message("north", asked.task_id, asked.context_id))
    assert [part.text for part in _parts(events)] == ["you said north"]
    assert _last(events).state == "completed"


async def test_whoever_stops_listening_stops_the_work(remote: RemoteAgent, js: JsAgent) -> None:
    stream = remote.send(_message("hang"))
    first = await anext(stream)
    await stream.aclose()
    assert await js.line() == f"canceled {getattr(first, 'task_id', '')}"
