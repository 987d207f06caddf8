"""Tests of your own agents, checks, plans and stores: no network, no model, no waiting.

Fakes are here:

    first, second = FakeAgent("first", ""), FakeAgent("second", "an answer")
    ...  # register both, run a task whose ladder asks them in this order
    assert "the answer is empty" in second.assignments[0].notes[0]

What a memory store must keep to, as tests to inherit, is in `genesis.testing.memory_contract`.
"""

from __future__ import annotations

from genesis.testing.agents import Fail, FakeAgent, FakeOutcome, Hang
from genesis.testing.clock import FakeClock

__all__ = ["Fail", "FakeAgent", "FakeClock", "FakeOutcome", "Hang"]
