from __future__ import annotations

import pytest

from genesis.testing import Fail, FakeAgent, FakeClock
from infrastructure.a2a.types import (
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)

MESSAGE = Message("m", "user", (Part(text="hello"),))


async def _last(agent: FakeAgent) -> StatusUpdate:
    events = [event async for event in agent.send(MESSAGE)]
    assert isinstance(events[-1], StatusUpdate)
    return events[-1]


async def test_a_fake_agent_follows_its_script_and_repeats_the_end() -> None:
    agent = FakeAgent("a", ValueError("first"), "second", Fail("third"))
    with pytest.raises(ValueError, match="first"):
        await _last(agent)
    assert (await _last(agent)).state is TaskState.COMPLETED
    for _ in range(2):
        assert (await _last(agent)).state is TaskState.FAILED
    assert (agent.calls, agent.canceled, agent.most_active) == (4, 0, 1)


async def test_a_fake_agent_answers_with_data() -> None:
    events = [event async for event in FakeAgent("a", {"n": 1}).send(MESSAGE)]
    assert [e.artifact.parts for e in events if isinstance(e, ArtifactUpdate)] == [
        Artifact("m", (Part(data={"n": 1}),)).parts
    ]


async def test_a_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(1000.0)
    clock.advance(2.5)
    await clock.sleep(0.5)
    assert (clock.now(), clock.monotonic()) == (1003.0, 3.0)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
