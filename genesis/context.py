"""What every step is given beside the state: the orchestrator's services, and its own run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genesis.agents.registry import AgentRegistry
from genesis.execution.attempt import TaskRunner
from genesis.execution.scope import RunScope
from genesis.journal import Journal
from genesis.planning.deliverables import Deliverables
from genesis.planning.planner import Planner
from genesis.planning.template import TemplateBook
from genesis.routing.router import Router
from genesis.routing.rules import RuleBook
from genesis.startup import Startup
from genesis.tasks.infer import TaskTypeInferrer
from infrastructure.clock import Clock
from infrastructure.config import FeatureFlags, Settings
from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.models.chat import ChatModels


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one orchestrator, shared by all its runs.

    Attributes:
        settings, flags: what was configured.
        clock: time and durations.
        memory: what is remembered of runs.
        owns_store: whether the store is closed with the orchestrator.
        memory_tool, compaction: its public faces.
        inferrer, embedder: what a request is, and what it is like.
        models: the chat models that are set.
        registry: the agents.
        planners: asked in this order.
        templates: the declared plans.
        deliverables: reads what a request asks for.
        rules: the declared rules of routing.
        router: HALO's rules and candidates, DAAO's choice.
        runner: takes one task to its verdict.
        startup: what the first request waits for.
    """

    settings: Settings
    flags: FeatureFlags
    clock: Clock
    memory: WorkflowMemory
    owns_store: bool
    memory_tool: MemoryTool
    compaction: CompactionService
    inferrer: TaskTypeInferrer
    embedder: Embedder
    models: ChatModels
    registry: AgentRegistry
    planners: tuple[Planner, ...]
    templates: TemplateBook
    deliverables: Deliverables
    rules: RuleBook
    router: Router
    runner: TaskRunner
    startup: Startup


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run.

    Attributes:
        services: the orchestrator's parts.
        scope: what an attempt at a task needs to know of the run.
        journal: takes every decision with its reason.
        session_id: groups runs.
        vector: the request's embedding, float32 [d].
        started: monotonic seconds.
    """

    services: Services
    scope: RunScope
    journal: Journal
    session_id: str
    vector: NDArray[np.float32]
    started: float

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run was accepted."""
        return self.services.clock.monotonic() - self.started

    @property
    def seconds_left(self) -> float:
        """Seconds until the run's deadline; negative after it."""
        return self.scope.deadline - self.services.clock.monotonic()

    @property
    def spent_usd(self) -> float:
        """What the run has cost so far, planning and all attempts, US dollars."""
        return self.scope.budget.statistics.spent_usd

    @property
    def usd_left(self) -> float | None:
        """US dollars that the run may still spend; None without a limit."""
        return self.scope.budget.statistics.left_usd
