"""Files that an answer names by URL: from the agent's own origin, or one that was allowed."""

from __future__ import annotations

from typing import Any

import pytest
from remote_peers import Call, Peer, StartPeer, artifact, ask_once, status, task

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.types import AgentEvent, ArtifactUpdate, Part, StatusUpdate
from infrastructure.errors import InputError


def _naming(*urls: str) -> Any:
    """An agent that names files, and serves /files/..."""

    async def answer(call: Call) -> None:
        if call.path.startswith("/files/big"):
            await call.head("image/png")
            while True:
                await call.chunk(b"x" * 1_000_000)
        if call.path.startswith("/files/"):
            await call.respond(b"bytes of " + call.path.encode(), "image/png; x=y")
            return
        parts = [{"url": url.format(own=call.headers["host"])} for url in urls]
        await call.events({"task": task("WORKING")}, artifact(*parts), status("COMPLETED"))

    return answer


def _parts(events: list[AgentEvent]) -> tuple[Part, ...]:
    return next(e.artifact.parts for e in events if isinstance(e, ArtifactUpdate))


def _said(events: list[AgentEvent]) -> str:
    return " ".join(e.message.text for e in events if isinstance(e, StatusUpdate) and e.message)


def _token(peer: Peer) -> list[str]:
    return [c.headers.get("authorization", "") for c in peer.calls if c.path.startswith("/files/")]


async def test_a_file_at_the_agents_own_origin_is_fetched(peer: StartPeer) -> None:
    one = await peer(_naming("http://{own}/files/a/chart.png"))
    events = await ask_once(one.url, token="s3cret")
    raw = b"bytes of /files/a/chart.png"
    assert _parts(events) == (Part(raw=raw, media_type="image/png", filename="chart.png"),)
    assert _token(one) == ["Bearer s3cret"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://elsewhere.example/x",
        "http://user:pw@{own}/files/x",
        "data:text/plain,hello",
        "not a url",
    ],
)
async def test_a_file_elsewhere_is_left_there_and_said_so(peer: StartPeer, url: str) -> None:
    one = await peer(_naming(url))
    events = await ask_once(one.url)
    assert _parts(events)[0].raw is None
    assert "not fetched" in _said(events)
    assert not _token(one)


async def test_an_allowed_origin_does_not_see_the_token(peer: StartPeer) -> None:
    store = await peer(_naming())
    one = await peer(_naming(f"{store.url}/files/b.png"))
    assert "not at the agent's own origin" in _said(await ask_once(one.url))
    events = await ask_once(one.url, token="s3cret", allow_files_from=[store.url])
    assert _parts(events)[0].raw == b"bytes of /files/b.png"
    assert _token(store) == [""]
    with pytest.raises(InputError, match="not a URL"):
        await RemoteAgent.connect(one.url, allow_files_from=["elsewhere"])


async def test_a_file_without_end_is_cut_off(peer: StartPeer) -> None:
    one = await peer(_naming("http://{own}/files/big", "http://{own}/files/small"))
    events = await ask_once(one.url)
    big, small = _parts(events)
    assert big.raw is None
    assert small.raw == b"bytes of /files/small"
    assert "larger than 16777216 bytes" in _said(events)


async def test_too_many_files_are_not_fetched(peer: StartPeer) -> None:
    one = await peer(_naming(*["http://{own}/files/x"] * 103))
    events = await ask_once(one.url)
    assert sum(part.raw is not None for part in _parts(events)) == 100
    assert "too many files" in _said(events)
