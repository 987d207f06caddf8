"""A runner, its agents and one run, for tests of single tasks."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field
from pathlib import Path

from genesis.agents.registry import AgentRegistry
from genesis.execution.approvals import ApprovalPolicy, Approvals
from genesis.execution.attempt import RunScope, TaskRunner
from genesis.execution.delivery import Deliveries
from genesis.execution.events import ExecutionEvent
from genesis.execution.hedge import Hedges
from genesis.execution.slots import AgentSlots
from genesis.routing.ladder import Apart, Ladder, Rung
from genesis.tasks.task import Attempt, AttemptOutcome, Task, TaskResult
from genesis.testing import FakeClock
from infrastructure.a2a.agent import Agent
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.resilience.breaker import BreakerPolicy, Breakers
from infrastructure.resilience.budget import Budget
from infrastructure.resilience.retry import RetryPolicy

TASK = Task("t", "say hello", "general")


@dataclass
class World:
    """A runner, its agents and one run."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    budget: Budget = field(default_factory=Budget)
    deadline: float = math.inf
    round: int = 0
    tries: int = 1
    check_timeout_s: float = 30.0
    hedge_after: float | None = None
    policy: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    given: JsonObject = field(default_factory=dict[str, JsonValue])
    events: list[ExecutionEvent] = field(default_factory=list[ExecutionEvent])

    def __post_init__(self) -> None:
        self.breakers = Breakers(self.clock, BreakerPolicy(failures=2, cooldown_s=30))
        self.registry = AgentRegistry(self.breakers)
        self.slots = AgentSlots()
        self.approvals = Approvals(self.policy)
        self.made: dict[str, tuple[Attempt, ...]] = {}
        self.took_long = asyncio.Event()
        self.patience_s = 0.0
        self.runner: TaskRunner | None = None

    @property
    def scope(self) -> RunScope:
        return RunScope(
            run_id="run",
            request="the request",
            given=self.given,
            workspace=self.folder,
            artifacts_dir=self.folder / "runs",
            budget=self.budget,
            deadline=self.deadline,
            round=self.round,
            emit=self.events.append,
            approvals=self.approvals,
            made=self.made,
        )

    async def run(
        self,
        task: Task,
        *agents: str,
        cost: float = 0.0,
        upstream: dict[str, TaskResult] | None = None,
        apart: tuple[Apart, ...] = (),
        spare: tuple[str, ...] = (),
    ) -> TaskResult:
        deliveries = Deliveries(
            self.registry,
            self.breakers,
            self.slots,
            self.clock,
            retry_policy=RetryPolicy(tries=self.tries),
            rng=random.Random(1),
            sleep=self.clock.sleep,
        )
        hedges = None if self.hedge_after is None else Hedges(self.hedge_after, self._patience)
        self.runner = self.runner or TaskRunner(
            self.registry,
            deliveries,
            self.clock,
            check_timeout_s=self.check_timeout_s,
            hedges=hedges,
        )

        def rungs(names: tuple[str, ...]) -> tuple[Rung, ...]:
            return tuple(Rung(name, "op", "", "medium", 0.5, cost, 1.0, "") for name in names)

        ladder = Ladder(task.id, rungs(agents), 0.5, "", apart, rungs(spare))
        return await self.runner.run(task, ladder, upstream or {}, self.scope)

    async def _patience(self, seconds: float) -> None:
        self.patience_s = seconds
        await self.took_long.wait()

    def add(self, *agents: Agent) -> None:
        for agent in agents:
            self.registry.register(agent)


def outcomes(result: TaskResult) -> list[AttemptOutcome]:
    """Of its attempts, in order."""
    return [attempt.outcome for attempt in result.attempts]
