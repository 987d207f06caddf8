"""Tests of your own agents, checks, plans and stores: no network, no model, no waiting.

Fakes do what their script says:

    first, second = FakeAgent("first", ""), FakeAgent("second", "an answer")
    ...  # register both, run a task whose ladder asks them in this order
    assert "the answer is empty" in second.assignments[0].notes[0]

Recordings give what real agents and models answered once: `Recorder`, `RecordingAgent` and
`RecordingModel` write them, `ReplayAgent` and `ReplayModel` give them again.

What a memory store must keep to, as tests to inherit, is in `genesis.testing.memory_contract`.
"""

from __future__ import annotations

from genesis.testing.agents import Ask, Fail, FakeAgent, FakeOutcome, Hang
from genesis.testing.clock import FakeClock
from genesis.testing.models import FakeModel, ModelOutcome, Said
from genesis.testing.record import Recorder, RecordingAgent, RecordingModel
from genesis.testing.recording import RecordedAnswer, RecordedChat, Recording
from genesis.testing.replay import ReplayAgent, ReplayModel

__all__ = [
    "Ask",
    "Fail",
    "FakeAgent",
    "FakeClock",
    "FakeModel",
    "FakeOutcome",
    "Hang",
    "ModelOutcome",
    "RecordedAnswer",
    "RecordedChat",
    "Recorder",
    "Recording",
    "RecordingAgent",
    "RecordingModel",
    "ReplayAgent",
    "ReplayModel",
    "Said",
]
