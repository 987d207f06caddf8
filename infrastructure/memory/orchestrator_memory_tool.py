"""MemoryTool: workflows stored, and what they taught, for code outside the orchestrator too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.clock import new_id
from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.counting import mean_seconds, mean_usd
from infrastructure.memory.memori.patterns import WorkflowPattern
from infrastructure.memory.memori.workflows import Workflow
from infrastructure.memory.workflow_memory import APP, WorkflowMemory, default_memory

SUCCESS_RATE: Final = "success_rate"
DURATION: Final = "duration"
COST: Final = "cost"
TARGETS: Final = (SUCCESS_RATE, DURATION, COST)

_CANDIDATES: Final = 256


@dataclass(frozen=True)
class TaskMetrics:
    """How all executions of a task type went.

    Attributes:
        success_rate: successes of all executions; 0 without any.
        avg_duration: seconds, over all executions.
        avg_cost: US dollars, over all executions.
    """

    task_type: str
    total_executions: int
    successful_executions: int
    failed_executions: int
    success_rate: float
    avg_duration: float
    avg_cost: float


class MemoryTool:
    """Stores executed workflows and says which step lists work for a task type.

    Args:
        memory: where they are kept; None takes the memory at the configured path
            (`MEMORI_DB_PATH`), opened on first use.
    """

    def __init__(self, memory: WorkflowMemory | None = None) -> None:
        self._given = memory

    @property
    def memory(self) -> WorkflowMemory:
        """Where the workflows are kept."""
        return self._given or default_memory()

    async def store_workflow(
        self,
        task_type: str,
        workflow_steps: Sequence[str],
        success: bool,
        duration: float,
        session_id: str,
        cost: float = 0.0,
        metadata: JsonObject | None = None,
    ) -> str:
        """Store a workflow and count it, durably when this returns.

        Args:
            task_type: one of the nine types, or any other name.
            success: what happened, verified.
            duration: seconds.
            cost: US dollars.
            metadata: plain JSON.

        Returns:
            The record's id, which also names it to feedback.

        Raises:
            InputError: an empty task type or session, a success that is not a bool, steps that
                are not strings, a duration or cost that is negative or not a number.
        """
        if isinstance(workflow_steps, str):
            raise InputError("workflow_steps must be a list of steps, not one string")
        memori = await self.memory.ready()
        record_id = new_id(memori.clock)
        workflow = Workflow(
            id=record_id,
            run_id=record_id,
            task_type=task_type,
            steps=tuple(workflow_steps),
            success=success,
            duration_s=duration,
            cost_usd=cost,
            session_id=session_id,
            metadata=metadata or {},
            created_at=memori.clock.now(),
        )
        await self.memory.store(workflow)
        return record_id

    async def retrieve_workflow_patterns(
        self,
        task_type: str,
        min_success_rate: float = 0.7,
        scope: str = APP,
        limit: int = 10,
        *,
        session_id: str | None = None,
    ) -> list[WorkflowPattern]:
        """Step lists that work for a task type, best first.

        Best is the highest lower bound of the success rate at 95 %, then the lowest cost, then the
        shortest duration. All executions count, the latest included.

        Args:
            scope: "app" for all sessions together, "session" for patterns within one session.
            session_id: the session; None with scope "session" gives every session's own.

        Raises:
            InputError: an empty task type, an unknown scope, a rate outside 0 to 1, a limit
                below 1.
        """
        return await self.memory.patterns(task_type, min_success_rate, scope, session_id, limit)

    async def get_task_success_metrics(self, task_type: str) -> TaskMetrics:
        """How all executions of a task type went; zeros when there are none.

        Raises:
            InputError: the task type is empty.
        """
        if not task_type.strip():
            raise InputError("task_type must not be empty")
        counts = await self.memory.counts(task_type)
        successes = sum(count.successes for count in counts)
        total = successes + sum(count.failures for count in counts)
        return TaskMetrics(
            task_type=task_type,
            total_executions=total,
            successful_executions=successes,
            failed_executions=total - successes,
            success_rate=successes / total if total else 0.0,
            avg_duration=mean_seconds(sum(count.duration_us for count in counts), total),
            avg_cost=mean_usd(sum(count.cost_nusd for count in counts), total),
        )

    async def get_best_workflow_for_task(
        self, task_type: str, optimization_target: str = SUCCESS_RATE
    ) -> WorkflowPattern | None:
        """The pattern to use: the surest, or the quickest or cheapest of those that work.

        "Work" means that at least 70 % of executions succeed now; the surest is given in any case.

        Raises:
            InputError: an empty task type, or an unknown target.
        """
        if optimization_target not in TARGETS:
            raise InputError(
                f"unknown optimization_target {optimization_target!r}:"
                f" choose one of {', '.join(TARGETS)}"
            )
        if optimization_target == SUCCESS_RATE:
            found = await self.memory.patterns(task_type, 0.0, limit=1)
            return found[0] if found else None
        found = await self.memory.patterns(task_type, limit=_CANDIDATES)
        if optimization_target == DURATION:
            return min(found, key=lambda pattern: pattern.avg_duration, default=None)
        return min(found, key=lambda pattern: pattern.avg_cost, default=None)


_tools: list[MemoryTool] = []


def get_memory_tool() -> MemoryTool:
    """The process's MemoryTool over the memory at the configured path, made on first use."""
    if not _tools:
        _tools.append(MemoryTool())
    return _tools[0]


__all__ = ["MemoryTool", "TaskMetrics", "WorkflowPattern", "get_memory_tool"]
