"""GenesisOrchestrator: a request and a set of agents in, a verified result out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from genesis.active import ActiveRun
from genesis.agents.check import RegistryReport, check_agents
from genesis.agents.registry import AgentSource
from genesis.assembly import ModelSource, StoreSource, assemble, for_tenant
from genesis.context import Services
from genesis.decisions import decide
from genesis.errors import InputError, StoreError, UnknownRun
from genesis.events import RunEvent
from genesis.execution.approvals import Decision, Verb
from genesis.execution.slots import Turns, TurnStatistics
from genesis.explain import Explanation, explain
from genesis.follow import JournalEntry, follow
from genesis.journal import Listener
from genesis.request_options import RequestOptions, checked_limits
from genesis.result import OrchestrationResult, PlanPreview, RunFinished
from genesis.run import (
    accept_request,
    cancel_run,
    preview_request,
    resume_run,
    run_request,
    stored_result,
)
from genesis.run_setup import Request
from genesis.streaming import streamed
from genesis.told import require_journal
from genesis.v1 import answer_v1
from infrastructure.clock import Clock
from infrastructure.config import FeatureFlags, Settings, load_flags, load_settings
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.processes import is_dead
from infrastructure.redaction import hide_secrets

log = logging.getLogger("genesis")


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
        self._tenants = WeakValueDictionary[str, GenesisOrchestrator]()
        self._tenants[self.settings.tenant] = self
        self._turns = Turns(self.settings.max_concurrent_runs, self.settings.max_waiting_runs)

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

    @property
    def statistics(self) -> TurnStatistics:
        """How many runs have their turn, and how many wait for theirs."""
        return self._turns.statistics

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

    def for_tenant(self, tenant: str) -> GenesisOrchestrator:
        """The same agents, breakers, limits and store, for another tenant's runs and memory.

        Whoever closes this orchestrator closes the store for both.

        Raises:
            StoreError: no tenant can have this name.
        """
        known = self._tenants.get(tenant)
        if known is not None:
            return known
        other = copy(self)
        other._services = for_tenant(self._services, tenant)
        other.settings = other._services.settings
        self._tenants[tenant] = other
        return other

    async def execute_orchestrated_request(
        self,
        user_request: str,
        session_id: str | None = None,
        *,
        budget_usd: float | None = None,
        timeout_s: float | None = None,
        context: Mapping[str, JsonValue] | None = None,
        approve: Sequence[str] = (),
    ) -> OrchestrationResult:
        """Do what is asked, and store what happened.

        Args:
            user_request: plain English, at most 100,000 characters.
            session_id: groups requests; generated when None and always returned.
            budget_usd: money that this request may spend; None takes the setting.
            timeout_s: seconds that it may take from the moment it has its turn (see
                `max_concurrent_runs`); None takes the setting.
            context: named data beside the request ({"dataset": "sales.csv"}).
            approve: when a person is asked first: "plan", "cost:0.50" (US dollars), "task:TYPE".
                The result's state is "waiting" then; `approve` and `resume` go on with it.

        Returns:
            The result; `success` is true only when every acceptance check passed. A failing
            agent, model or network is a result with its causes in `errors`.

        Raises:
            InputError: the request is empty, too large, binary, or names a file that is not
                there or lies outside the workspace; nothing was stored.
            Overloaded: too many requests wait already; nothing was stored.
            StoreError: memory cannot be used and `fallback_to_v1` is off.
        """
        options = RequestOptions(session_id, budget_usd, timeout_s, context, approve)
        request = options.request(user_request, self.settings, self._services.clock)
        return await self._answer(request, None)

    async def stream(
        self,
        user_request: str,
        session_id: str | None = None,
        *,
        budget_usd: float | None = None,
        timeout_s: float | None = None,
        context: Mapping[str, JsonValue] | None = None,
        approve: Sequence[str] = (),
    ) -> AsyncGenerator[RunEvent | RunFinished]:
        """`execute_orchestrated_request` as events; the last one is `RunFinished` with the result.

        Closing the iterator early cancels the run. Whoever reads slowly misses only what agents
        say while they work.
        """
        options = RequestOptions(session_id, budget_usd, timeout_s, context, approve)
        request = options.request(user_request, self.settings, self._services.clock)
        async with aclosing(streamed(lambda tell: self._answer(request, tell))) as events:
            async for event in events:
                yield event

    async def accept(
        self,
        user_request: str,
        session_id: str | None = None,
        *,
        budget_usd: float | None = None,
        timeout_s: float | None = None,
        context: Mapping[str, JsonValue] | None = None,
        approve: Sequence[str] = (),
        run_id: str | None = None,
        remote: bool = False,
    ) -> str:
        """Store a request durably and return its run's id; `resume` works on it, here or elsewhere.

        Args:
            user_request, session_id, budget_usd, timeout_s, context, approve: as for
                `execute_orchestrated_request`.
            run_id: the id that the run is to have: letters, digits, '-' and '_', at most 100. A
                second call with the same id and request changes nothing. None makes one.
            remote: the caller is elsewhere: code runs in the sandbox alone.

        Raises:
            InputError: the request cannot be used, or the id belongs to another request.
            Overloaded: nothing is admitted any more, because the process is to end.
            StoreError: the store did not take it.
        """
        self._turns.require_open()
        options = RequestOptions(
            session_id, budget_usd, timeout_s, context, approve, run_id, remote
        )
        request = options.request(user_request, self.settings, self._services.clock)
        if not await accept_request(request, self._services):
            known = await self._services.memory.run(request.run_id)
            if known is None or known.request != hide_secrets(request.text):
                raise InputError(f"run {request.run_id!r} is there already, with another request")
        return request.run_id

    async def resume(
        self, run_id: str, *, budget_usd: float | None = None, timeout_s: float | None = None
    ) -> OrchestrationResult:
        """Go on with a run that was accepted, interrupted, or waited for an approval.

        What its journal has is not done again: no task whose result is there starts, and work that
        was under way is sent again under its old idempotency key. The result of a run that is
        over is returned as it was.

        Args:
            run_id: of the run.
            budget_usd: money that the whole run may spend, instead of what it was accepted with.
            timeout_s: seconds that it may take from now on.

        Raises:
            UnknownRun: no run has this id.
            InputError: it is a part of another run, or was accepted for another workspace.
            RunBusy: somebody works on it.
            Overloaded: too many requests wait already.
            StoreError: the store cannot be used, or the run's journal was pruned.
        """
        limits = checked_limits(budget_usd, timeout_s)
        async with self._turns.turn():
            return await resume_run(run_id, limits, self._services, None)

    async def stream_resumed(
        self, run_id: str, *, budget_usd: float | None = None, timeout_s: float | None = None
    ) -> AsyncGenerator[RunEvent | RunFinished]:
        """`resume` as events, as `stream` is `execute_orchestrated_request`."""
        limits = checked_limits(budget_usd, timeout_s)

        async def work(tell: Listener) -> OrchestrationResult:
            async with self._turns.turn():
                return await resume_run(run_id, limits, self._services, tell)

        async with aclosing(streamed(work)) as events:
            async for event in events:
                yield event

    async def approve(
        self,
        run_id: str,
        decision: Verb = "approve",
        *,
        approval_id: str | None = None,
        edit: JsonValue = None,
        comment: str = "",
        by: str = "",
    ) -> None:
        """Decide what a run waits for; `resume` goes on with it then.

        Args:
            run_id: of the run, or of the part of it that asks.
            decision: "approve", "reject", or "edit" to approve with a change.
            approval_id: which question; None where there is only one.
            edit: the changed plan, the task's new description, the new limit in US dollars, or
                the answer to an agent's question.
            comment: why; the agents are not shown it.
            by: who decided.

        Raises:
            UnknownRun: no run has this id.
            InputError: it waits for nothing (of this id), or the edit does not fit; a changed plan
                must be valid.
            RunBusy: another process works on it, which takes no decisions from here.
            StoreError: the decision was not stored.
        """
        said = Decision(decision, edit, comment, by)
        await decide(run_id, approval_id, said, self._services)

    async def cancel(self, run_id: str, reason: str = "") -> bool:
        """End a run for good, with what is finished kept; False if it was over.

        One that this process works on is told at once, one that another process works on within a
        third of `run_lease_s`, and one that nobody works on ends here.

        Raises:
            UnknownRun: no run has this id.
            StoreError: the store cannot be used.
        """
        return await cancel_run(run_id, reason or "it was cancelled", self._services)

    async def run(self, run_id: str) -> OrchestrationResult:
        """What is stored of a run, whether it is over or not.

        Raises:
            UnknownRun: no run has this id.
            StoreError: the store cannot be used, or the run's journal was pruned.
        """
        return await stored_result(run_id, self._services)

    async def runs(
        self,
        *,
        state: str | None = None,
        since: float | None = None,
        session_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Runs, newest first, without those that are parts of others.

        Args:
            state: "running", "waiting", "completed", "failed" or "canceled".
            since: seconds since the epoch.
            session_id: of one session alone.
            before: `created_at` and `run_id` of the last run of the page before; what follows it.
            limit: at most so many.
        """
        return await self._services.memory.runs(
            state=state, since=since, session_id=session_id, before=before, limit=limit
        )

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncGenerator[JournalEntry]:
        """The events of a run, those of the past first, until it ends or waits.

        Args:
            run_id: of the run; whoever works on it, here or in another process.
            after: leaves out the first so many entries of its journal.

        Raises:
            UnknownRun: no run has this id.
            StoreError: the store cannot be used.
        """
        await self._require_known(run_id)
        async with aclosing(follow(run_id, after, self._services)) as entries:
            async for entry in entries:
                yield entry

    async def recover(self) -> list[str]:
        """Ids of the runs that dead processes left, oldest first; `resume` goes on with them."""
        return await self._services.memory.left_behind(is_dead)

    async def shutdown(self, grace_s: float = 10.0) -> list[str]:
        """Admit nothing more, let attempts end, and leave the rest to be resumed; for all tenants.

        Args:
            grace_s: seconds that attempts under way have; what takes longer is cut off, and sent
                again under its old idempotency key when its run is resumed.

        Returns:
            Ids of the runs that were worked on.
        """
        self._turns.close()
        runs: list[ActiveRun] = []
        for tenant in list(self._tenants.values()):
            tenant.services.active.stop()
            runs += tenant.services.active
        try:
            async with asyncio.timeout(grace_s):
                for run in runs:
                    await run.ended.wait()
        except TimeoutError:
            for run in runs:
                if run.above is None:
                    run.cut_off()
            for run in runs:
                await run.ended.wait()
        return [run.run_id for run in runs if run.above is None]

    async def plan(
        self, user_request: str, *, context: Mapping[str, JsonValue] | None = None
    ) -> PlanPreview:
        """The plan for a request, validated, routed and priced; nothing is run or stored.

        Raises:
            InputError: the request cannot be used.
            PlanningError: no plan validates; the message says why.
        """
        options = RequestOptions(context=context)
        request = options.request(user_request, self.settings, self._services.clock)
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
            StoreError: its journal was pruned.
        """
        await self._require_known(run_id)
        events = await self._services.memory.events(run_id)
        if not events:
            await require_journal(run_id, self._services)
        return explain(run_id, events)

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
        if success is False and self._services.remembering is not None:
            await self._services.remembering.withdraw(run_id)
        run = await memory.run(run_id)
        if run is not None and task_type is not None and self.flags.memory_enabled:
            self._services.inferrer.learn(run.request, task_type)

    async def drain(self) -> None:
        """Wait until every compaction that was asked for is done, for all tenants."""
        for tenant in list(self._tenants.values()):
            await tenant.services.compaction.drain()

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
