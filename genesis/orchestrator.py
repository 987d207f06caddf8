"""GenesisOrchestrator: a request and a set of agents in, a verified result out."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any

from genesis.agents.check import RegistryReport, check_agents
from genesis.agents.registry import AgentSource
from genesis.assembly import ModelSource, StoreSource, assemble
from genesis.context import Services
from genesis.errors import InputError, StoreError, UnknownRun
from genesis.events import RunEvent
from genesis.execution.events import AttemptProgress
from genesis.execution.slots import Turns
from genesis.explain import Explanation, explain
from genesis.journal import Listener
from genesis.result import OrchestrationResult, PlanPreview, RunFinished
from genesis.run import Request, preview_request, run_request
from genesis.v1 import answer_v1
from infrastructure.clock import Clock, new_id
from infrastructure.config import FeatureFlags, Settings, load_flags, load_settings
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.orchestrator_memory_tool import MemoryTool

log = logging.getLogger("genesis")

_MAX_SESSION_CHARS = 200
_MAX_WAITING_EVENTS = 1_000


class GenesisOrchestrator:
    """Plans, routes, validates, prices, executes and checks a request, and learns from the run.

    One object serves many requests at once and outlives an event loop. Nothing is opened before
    the first use; what a finished request stored is durable even if nothing is ever closed.

    Args:
        store: where memory lives: a path or a `postgresql://` URL, a `MemoriStore`, or any
            LangGraph `BaseStore`; None takes `settings.db_path`.
        agents: the agents to use; None takes those that ship.
        model: "provider:name" (several, cheapest first, separated by commas), a LangChain chat
            model, or a sequence of models; None takes `settings.model`.
        settings: None loads them (see `infrastructure.config`).
        flags: None loads them.
        clock: None takes the machine's; `genesis.testing.FakeClock` needs no waiting.

    Raises:
        ConfigError: a setting, flag, rule, template or price is wrong.
    """

    def __init__(
        self,
        store: StoreSource | None = None,
        agents: Sequence[AgentSource] | None = None,
        model: ModelSource | Sequence[ModelSource] | None = None,
        settings: Settings | None = None,
        *,
        flags: FeatureFlags | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        self.flags = flags or load_flags()
        self._services = assemble(self.settings, self.flags, store, agents, model, clock)
        self._turns = Turns(self.settings.max_concurrent_runs)

    @property
    def memory(self) -> MemoryTool:
        """Workflow memory: patterns, metrics, best workflows."""
        return self._services.memory_tool

    @property
    def compaction(self) -> CompactionService:
        """Session compaction."""
        return self._services.compaction

    @property
    def services(self) -> Services:
        """The parts that this orchestrator is made of."""
        return self._services

    def register_agent(self, agent: AgentSource, **described: Any) -> None:
        """Add an agent: an async function, a LangChain Runnable or graph, or an A2A agent's URL.

        Args:
            agent: what to add; a URL's card is read at the first request.
            described: `name`, `skills`, `description`, and `checks` where the agent has no card.

        Raises:
            InputError: the name is taken, or what is needed to describe the agent is missing.
        """
        self._services.registry.register(agent, **described)

    async def check_agents(self) -> RegistryReport:
        """Whether agents, declared plans and routing rules fit together.

        Agents elsewhere are asked for their cards; nothing else is done or stored.
        """
        services = self._services
        return await check_agents(
            services.registry,
            services.rules,
            services.templates,
            has_model=services.models.configured,
        )

    async def execute_orchestrated_request(
        self,
        user_request: str,
        session_id: str | None = None,
        *,
        budget_usd: float | None = None,
        timeout_s: float | None = None,
        context: Mapping[str, JsonValue] | None = None,
    ) -> OrchestrationResult:
        """Do what is asked, and store what happened.

        Args:
            user_request: plain English, at most 100,000 characters.
            session_id: groups requests; generated when None and always returned.
            budget_usd: money that this request may spend; None takes the setting.
            timeout_s: seconds that it may take from the moment it has its turn (see
                `max_concurrent_runs`); None takes the setting.
            context: named data beside the request ({"dataset": "sales.csv"}).

        Returns:
            The result; `success` is true only when every acceptance check passed. A failing
            agent, model or network is a result with its causes in `errors`.

        Raises:
            InputError: the request is empty, too large, binary, or names a file that is not
                there or lies outside the workspace; nothing was stored.
            StoreError: memory cannot be used and `fallback_to_v1` is off.
        """
        request = self._request(user_request, session_id, budget_usd, timeout_s, context)
        return await self._answer(request, None)

    async def stream(
        self,
        user_request: str,
        session_id: str | None = None,
        *,
        budget_usd: float | None = None,
        timeout_s: float | None = None,
        context: Mapping[str, JsonValue] | None = None,
    ) -> AsyncGenerator[RunEvent | RunFinished]:
        """`execute_orchestrated_request` as events; the last one is `RunFinished` with the result.

        Closing the iterator early cancels the run. Whoever reads slowly misses only what agents
        say while they work.
        """
        request = self._request(user_request, session_id, budget_usd, timeout_s, context)
        events: asyncio.Queue[RunEvent | RunFinished | None] = asyncio.Queue()

        def tell(event: RunEvent) -> None:
            if isinstance(event, AttemptProgress) and events.qsize() >= _MAX_WAITING_EVENTS:
                return
            events.put_nowait(event)

        run = asyncio.create_task(self._answer(request, tell))
        run.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield RunFinished(await run)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def plan(
        self, user_request: str, *, context: Mapping[str, JsonValue] | None = None
    ) -> PlanPreview:
        """The plan for a request, validated, routed and priced; nothing is run or stored.

        Raises:
            InputError: the request cannot be used.
            PlanningError: no plan validates; the message says why.
        """
        request = self._request(user_request, None, None, None, context)
        return await preview_request(request, self._services)

    async def get_workflow_learning_metrics(
        self,
        task_type: str | None = None,
        since: float | None = None,
        session_id: str | None = None,
    ) -> dict[str, Any]:
        """What was executed and learnt, overall and by task type.

        Args:
            task_type: only runs of this type.
            since: only runs from this time on, seconds since the epoch.
            session_id: only runs of this session.
        """
        return await self._services.memory.learning_metrics(
            task_type=task_type, since=since, session_id=session_id
        )

    async def explain(self, run_id: str) -> Explanation:
        """Why the run went as it did: every decision with its reasons.

        Raises:
            UnknownRun: no run has this id.
        """
        await self._require_known(run_id)
        return explain(run_id, await self._services.memory.events(run_id))

    async def record_feedback(
        self,
        run_id: str,
        success: bool | None = None,
        task_type: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Correct what was stored of a run; aggregates and patterns follow in one transaction.

        Raises:
            UnknownRun: no run has this id.
            InputError: nothing to correct was given.
        """
        memory = self._services.memory
        await self._require_known(run_id)
        await memory.feedback(run_id, success, task_type, comment)
        run = await memory.run(run_id)
        if run is not None and task_type is not None and self.flags.memory_enabled:
            self._services.inferrer.learn(run.request, task_type)

    async def drain(self) -> None:
        """Wait until every compaction that was asked for is done."""
        await self._services.compaction.drain()

    async def aclose(self) -> None:
        """Finish the compactions that were asked for, then close the agents and the store."""
        try:
            await self.drain()
            await self._services.registry.aclose()
        finally:
            if self._services.owns_store:
                await self._services.memory.aclose()

    async def __aenter__(self) -> GenesisOrchestrator:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _require_known(self, run_id: str) -> None:
        if not await self._services.memory.is_known(run_id):
            raise UnknownRun(f"there is no run {run_id!r}")

    def _infer_task_type(self, user_request: str) -> str:
        return self._services.inferrer.infer(user_request).task_type

    async def _store_workflow_result(
        self,
        task_type: str,
        workflow_steps: Sequence[str],
        success: bool,
        duration: float,
        session_id: str,
        cost: float = 0.0,
        metadata: JsonObject | None = None,
    ) -> str:
        return await self.memory.store_workflow(
            task_type, workflow_steps, success, duration, session_id, cost, metadata
        )

    def _request(
        self,
        text: str,
        session_id: str | None,
        budget_usd: float | None,
        timeout_s: float | None,
        given: Mapping[str, JsonValue] | None,
    ) -> Request:
        clock = self._services.clock
        return Request(
            text=text,
            run_id=new_id(clock),
            session_id=_session(session_id) or f"session-{new_id(clock)}",
            budget_usd=_amount("budget_usd", budget_usd, self.settings.budget_usd),
            timeout_s=_amount("timeout_s", timeout_s, self.settings.run_timeout_s) or 0.0,
            given=given or {},
        )

    async def _answer(self, request: Request, listener: Listener | None) -> OrchestrationResult:
        async with self._turns.turn():
            return await self._in_turn(request, listener)

    async def _in_turn(self, request: Request, listener: Listener | None) -> OrchestrationResult:
        if not self.flags.orchestration_enabled:
            return await answer_v1(request, self._services)
        try:
            return await run_request(request, self._services, listener)
        except StoreError as error:
            if not self.flags.fallback_to_v1:
                raise
            log.warning("v2.1 cannot start, v1 answers without memory: %s", error)
            return await answer_v1(request, self._services, note=str(error))


def _session(given: str | None) -> str | None:
    if not given:
        return None
    if not isinstance(given, str) or not given.strip() or not given.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InputError(f"session_id must be printable text, not {given!r:.80}")
    if len(given) > _MAX_SESSION_CHARS:
        raise InputError(f"session_id has {len(given)} characters; {_MAX_SESSION_CHARS} at most")
    return given


def _amount(name: str, value: float | None, default: float | None) -> float | None:
    if value is None:
        return default
    if isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise InputError(f"{name} must be a finite number, 0 or more, not {value!r}")
    return value
