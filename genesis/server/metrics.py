"""What the server counts: runs from their results, the rest read where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from genesis.orchestrator import GenesisOrchestrator
from genesis.result import OrchestrationResult, TaskReport
from genesis.server.views import OVER
from genesis.tasks.types import TASK_TYPES
from infrastructure.memory.memori.engine import Memori
from infrastructure.observability.serving_metrics import Reading, Readings, serving_metrics

_OTHER: Final = "other"


class ServerMetrics:
    """The metrics of one server, in a registry of its own.

    Args:
        orchestrator: its agents are reported.
        memori: the store whose commits are reported; None for a store of another kind.
        active: how many runs are worked on.
        waiting: how many of them wait for their tenant's turn.
        streams: how many event streams are open.
    """

    def __init__(
        self,
        orchestrator: GenesisOrchestrator,
        memori: Memori | None,
        active: Callable[[], int],
        waiting: Callable[[], int],
        streams: Callable[[], int],
    ) -> None:
        self.registry = CollectorRegistry()
        self.counted = serving_metrics(self.registry)
        self._orchestrator = orchestrator
        self._memori = memori
        self._active = active
        self._waiting = waiting
        self._streams = streams
        Readings(self._readings, self.registry)

    def text(self) -> bytes:
        """All of it in Prometheus's format, with the memory's and the process's."""
        return generate_latest(REGISTRY) + generate_latest(self.registry)

    def run_ended(self, result: OrchestrationResult) -> None:
        """Count a run that ended or paused, and its tasks when it is over."""
        self.counted.runs.labels(result.state).inc()
        if result.state not in OVER:
            return
        self.counted.run_seconds.observe(result.duration_s)
        self.counted.run_cost_usd.observe(result.cost_usd)
        for task in result.tasks:
            self._task(task)

    def _task(self, task: TaskReport) -> None:
        # Types of users' own would make a series each.
        task_type = task.task_type if task.task_type in TASK_TYPES else _OTHER
        self.counted.tasks.labels(task_type, task.status).inc()
        for attempt in task.attempts:
            self.counted.attempts.labels(attempt.agent, attempt.outcome).inc()
            self.counted.attempt_seconds.labels(attempt.agent).observe(attempt.duration_s)
        for below in task.sub_requests:
            for part in below.tasks:
                self._task(part)

    def _readings(self) -> Iterator[Reading]:
        turns = self._orchestrator.statistics
        yield Reading("genesis_runs_accepted", "Runs under way or queued.", {"": self._active()})
        yield Reading("genesis_runs_active", "Runs that have their turn.", {"": turns.active})
        waiting = turns.waiting + self._waiting()
        yield Reading("genesis_runs_waiting", "Runs that wait for their turn.", {"": waiting})
        yield Reading("genesis_event_streams", "Event streams open.", {"": self._streams()})
        registry = self._orchestrator.services.registry
        yield Reading(
            "genesis_agent_breaker_open",
            "Whether an agent's circuit breaker is open.",
            {c.name: float(not registry.health(c.name).available) for c in registry.cards},
            label="agent",
        )
        if self._memori is not None:
            seen = self._memori.statistics
            yield Reading("genesis_store_queue", "Writes that wait.", {"": seen.queued})
            for name, about, value in (
                ("commits", "Callers whose writes were stored.", seen.commits),
                ("batches", "Durable commits that carried them.", seen.batches),
                ("reads", "Read transactions begun.", seen.reads),
            ):
                yield Reading(f"genesis_store_{name}", about, {"": value}, counts=True)
