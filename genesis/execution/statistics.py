"""What execution did and does, over all runs, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genesis.execution.delivery import DeliveryStatistics
from genesis.execution.hedge import HedgeStatistics
from genesis.execution.slots import AgentLoad
from genesis.tasks.task import AttemptOutcome
from infrastructure.resilience.breaker import BreakerStatistics


@dataclass(frozen=True, slots=True)
class RunnerStatistics:
    """Tasks since the process began.

    Attributes:
        attempts: how many ended, by outcome.
        paused: how often a task stopped to wait for a person or for the next process.
    """

    attempts: Mapping[AttemptOutcome, int]
    paused: int


@dataclass(frozen=True, slots=True)
class ExecutionStatistics:
    """All of execution.

    Attributes:
        tasks: attempts by outcome, and tasks that wait.
        hedges: attempts side by side; None where hedging is off.
        deliveries: calls, retries and money.
        agents: calls under way and waiting, by agent.
        breakers: circuit breakers, by agent.
    """

    tasks: RunnerStatistics
    hedges: HedgeStatistics | None
    deliveries: DeliveryStatistics
    agents: Mapping[str, AgentLoad]
    breakers: Mapping[str, BreakerStatistics]
