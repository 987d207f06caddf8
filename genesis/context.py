"""What every step is given beside the state: the orchestrator's services, and its own run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genesis.active import ActiveRun, ActiveRuns
from genesis.agents.registry import AgentRegistry
from genesis.execution.approvals import Approval
from genesis.execution.attempt import TaskRunner
from genesis.execution.scope import RunScope
from genesis.journal import Journal
from genesis.planning.deliverables import Deliverables
from genesis.planning.hierarchy import Level
from genesis.planning.planner import Planner
from genesis.planning.template import TemplateBook
from genesis.routing.router import Router
from genesis.routing.rules import RuleBook
from genesis.startup import Startup
from genesis.state import RunState
from genesis.tasks.infer import TaskTypeInferrer
from genesis.tasks.task import TaskResult
from infrastructure.clock import Clock
from infrastructure.config import FeatureFlags, Settings
from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.models.chat import ChatModels

if TYPE_CHECKING:
    from genesis.remembering import Remembering


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one orchestrator, shared by all its runs.

    Attributes:
        settings, flags: what was configured.
        clock: time and durations.
        memory: what is remembered of runs.
        owns_store: whether the store is closed with the orchestrator.
        memory_tool, compaction: its public faces.
        remembering: what requests are told and teach; None where memory is off.
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
        active: the runs that are worked on now.
        owner: names this orchestrator in leases.
        wanting: the given parts for a request one level down, from its words and the data that
            it must make.
    """

    settings: Settings
    flags: FeatureFlags
    clock: Clock
    memory: WorkflowMemory
    owns_store: bool
    memory_tool: MemoryTool
    compaction: CompactionService
    remembering: Remembering | None
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
    active: ActiveRuns
    owner: Callable[[], str]
    wanting: Callable[[Services, str, Collection[str]], Services]


@dataclass(frozen=True, slots=True)
class RunBelow:
    """A composite task's attempt, as the run that it was.

    Attributes:
        task_id: the task.
        run_id: the run.
        state: how it ended.
        cost_usd: what it spent, US dollars.
        duration_s: the seconds that it took.
        below: the runs that its own composite tasks were.
        asked: what it and they wait for, by the run that asks.
    """

    task_id: str
    run_id: str
    state: RunState
    cost_usd: float
    duration_s: float
    below: tuple[RunBelow, ...] = ()
    asked: tuple[tuple[str, Approval], ...] = ()


@dataclass(slots=True)
class Reached:
    """How far a run has come; all that is left of it when it is ended from outside.

    Attributes:
        state: when the tasks began; None before.
        results: of the tasks that ended since, by id.
        below: the runs that its composite tasks were, in the order in which they ended.
        open_below: those that have not ended, by run id, with whether what they spent is in the
            run's budget: what an earlier process spent there is not.
        ending: how it was to be stored as ended, as soon as that is tried; see `store_end`.
    """

    state: RunState | None = None
    results: dict[str, TaskResult] = field(default_factory=dict[str, TaskResult])
    below: list[RunBelow] = field(default_factory=list[RunBelow])
    open_below: dict[str, bool] = field(default_factory=dict[str, bool])
    ending: tuple[RunState, bool] | None = None

    def begin(self, state: RunState) -> None:
        """The tasks of this state begin."""
        self.state, self.results = state, {}

    def latest(self, first: RunState) -> RunState:
        """The state with every task that has ended; `first` when none began."""
        if self.state is None:
            return first
        return replace(self.state, results={**self.state.results, **self.results})


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run.

    Attributes:
        services: the orchestrator's parts.
        scope: what an attempt at a task needs to know of the run.
        journal: takes every decision with its reason.
        session_id: groups runs.
        new_session: whether the session begins with this run.
        vector: the request's embedding, float32 [d].
        started: monotonic seconds.
        level: its place among requests within requests.
        approve: when a person is asked first, in this run and in those below.
        active: how it is told to stop.
        reached: how far it has come.
    """

    services: Services
    scope: RunScope
    journal: Journal
    session_id: str
    vector: NDArray[np.float32]
    started: float
    active: ActiveRun
    approve: tuple[str, ...] = ()
    new_session: bool = False
    level: Level = field(default_factory=Level)
    reached: Reached = field(default_factory=Reached)

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
