"""WorkflowMemory over any LangGraph BaseStore.

The BaseStore is the log: one item a finished run, one a workflow stored by itself, one a corrected
run. Counters, plans and archives are a working copy in memory, replayed from the log on first use,
so that they follow the same code as everywhere.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, cast

from infrastructure.clock import Clock
from infrastructure.errors import StoreError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.finished_run import (
    FinishedRun,
    apply_feedback,
    finish_write,
    known_run,
)
from infrastructure.memory.memori.dialect import Tx, Write
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import Forgotten, affected_runs
from infrastructure.memory.memori.jsontext import dump_json, load_object
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.runs import RunFeedback, get_run, merged_feedback
from infrastructure.memory.memori.workflows import Workflow, run_executions, store_workflow
from infrastructure.memory.workflow_memory import WorkflowMemory

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, SearchItem

_RUNS: Final = "runs"
_WORKFLOWS: Final = "workflows"
_FEEDBACK: Final = "feedback"
_PAGE: Final = 500
_BATCH: Final = 100


class BaseStoreMemory(WorkflowMemory):
    """The orchestrator's memory with a given BaseStore as its log.

    Args:
        store: where finished runs are kept; whoever opened it closes it.
        tenant: part of the namespaces ("genesis", tenant, ...).
    """

    def __init__(
        self, store: BaseStore, *, tenant: str = "default", clock: Clock | None = None
    ) -> None:
        super().__init__(Memori.open(":memory:", tenant=tenant, clock=clock))
        self._store = store
        self._replayed = False
        self._replaying: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def for_tenant(self, tenant: str) -> BaseStoreMemory:
        """Another tenant's memory in the same store."""
        return BaseStoreMemory(self._store, tenant=tenant, clock=self.memori.clock)

    @property
    def durable(self) -> bool:
        """Whether finished runs outlive the process, as far as the given store's type tells."""
        from langgraph.store.memory import InMemoryStore

        return not isinstance(self._store, InMemoryStore)

    @property
    def notes(self) -> tuple[str, ...]:
        """What this memory cannot keep."""
        kind = type(self._store).__name__
        kept = (
            f"finished runs are as durable as the given {kind} makes them"
            if self.durable
            else f"the given {kind} is in memory: what was learnt is lost when the process ends"
        )
        return (
            kept,
            "the journal of a run is in memory: a run that a crash interrupts is lost, and journals"
            " of finished runs are not kept",
            "runs that other processes finish are seen after reopening",
        )

    def items(self) -> tuple[BaseStore, tuple[str, ...]]:
        """The given store, and the namespace there that is the tenant's own."""
        return self._store, ("genesis", self.memori.tenant)

    async def ready(self) -> Memori:
        """The working copy, replayed from the store on first use."""
        if not self._replayed:
            async with self._lock():
                if not self._replayed:
                    await self._replay()
                    self._replayed = True
        return self.memori

    def _lock(self) -> asyncio.Lock:
        # A lock belongs to one event loop; replaying is idempotent, so two loops do no harm.
        loop = asyncio.get_running_loop()
        if self._replaying is None or self._loop is not loop:
            self._replaying, self._loop = asyncio.Lock(), loop
        return self._replaying

    async def _replay(self) -> None:
        finished = [_finished_run(item) for item in await self._items(_RUNS)]
        finished.sort(key=lambda run: (run.finished_at or 0.0, run.run_id))
        writes: list[Write[Any]] = [finish_write(run, run.finished_at or 0.0) for run in finished]
        writes += [_store(_workflow(item)) for item in await self._items(_WORKFLOWS)]
        said = [_feedback(item) for item in await self._items(_FEEDBACK)]
        writes += [_correct(feedback) for feedback in sorted(said, key=lambda f: f.created_at)]
        for start in range(0, len(writes), _BATCH):
            await self.memori.commit(*writes[start : start + _BATCH])

    async def _commit_finished(self, memori: Memori, run: FinishedRun, finished_at: float) -> bool:
        known = await memori.read(lambda tx: get_run(tx, run.run_id))
        if known is not None:
            if known.finished_at is not None:
                return False
            run = replace(run, request=known.request, started_at=known.created_at)
        write = finish_write(run, finished_at)
        await self._put(_RUNS, run.run_id, _run_item(run, finished_at))
        (new,) = await memori.commit(write)
        return new

    async def _commit_workflow(self, memori: Memori, workflow: Workflow) -> bool:
        await self._put(_WORKFLOWS, workflow.id, _item(workflow))
        return await super()._commit_workflow(memori, workflow)

    async def _commit_feedback(self, memori: Memori, said: RunFeedback) -> RunFeedback:
        await memori.read(lambda tx: known_run(tx, said.run_id))
        merged = await memori.read(lambda tx: merged_feedback(tx, said))
        await self._put(_FEEDBACK, said.run_id, _item(merged))
        return await super()._commit_feedback(memori, said)

    async def _commit_forgotten(
        self, memori: Memori, source: str | None, run_id: str | None
    ) -> Forgotten:
        keys = await memori.read(lambda tx: _logged(tx, source, run_id))
        names = await memori.read(lambda tx: affected_runs(tx, source=source, run_id=run_id))
        async with _explained("forgetting runs"):
            for kind, key in keys:
                await self._store.adelete(self._namespace(kind), key)
            await self._forget_taught(names)
        return await super()._commit_forgotten(memori, source, run_id)

    async def _forget_taught(self, runs: Sequence[str]) -> None:
        """Delete what runs taught, and what quotes it: each names the runs that it is from."""
        found = await self._pages(self._namespace("agemem"))
        for item in found:
            said = dump_json(item.value, "a memory")
            if any(dump_json(run, "a run's id") in said for run in runs):
                await self._store.adelete(item.namespace, item.key)

    def _namespace(self, kind: str) -> tuple[str, ...]:
        return ("genesis", self.memori.tenant, kind)

    async def _put(self, kind: str, key: str, value: JsonObject) -> None:
        # Through text, so that later changes of the caller's objects cannot reach the log.
        plain = cast("dict[str, Any]", load_object(dump_json(value, "a run")))
        async with _explained("storing a run"):
            await self._store.aput(self._namespace(kind), key, plain, index=False)

    async def _items(self, kind: str) -> Sequence[dict[str, Any]]:
        async with _explained("reading the recorded runs"):
            return [item.value for item in await self._pages(self._namespace(kind))]

    async def _pages(self, namespace: tuple[str, ...]) -> Sequence[SearchItem]:
        found: list[SearchItem] = []
        while True:
            page = await self._store.asearch(namespace, limit=_PAGE, offset=len(found))
            found += page
            if len(page) < _PAGE:
                return found


def _logged(tx: Tx, source: str | None, run_id: str | None) -> list[tuple[str, str]]:
    """Kinds and keys of the log's items about the runs that are to be forgotten."""
    names = affected_runs(tx, source=source, run_id=run_id)
    stored = [(_WORKFLOWS, found.id) for name in names for found in run_executions(tx, name)]
    return [(kind, name) for name in names for kind in (_FEEDBACK, _RUNS)] + stored


@asynccontextmanager
async def _explained(doing: str) -> AsyncGenerator[None]:
    try:
        yield
    except Exception as error:  # each store raises errors of its own
        raise StoreError(f"{doing} failed in the given store: {error}") from error


def _item(record: Workflow | RunFeedback | OutcomeRecord | FinishedRun) -> dict[str, JsonValue]:
    return {f.name: cast("JsonValue", getattr(record, f.name)) for f in fields(record)}


def _run_item(run: FinishedRun, finished_at: float) -> JsonObject:
    item = _item(run)
    # Who worked on it matters to nobody any more, and journals and parts are kept elsewhere.
    del item["events"], item["first_event"], item["fence"], item["parts"]
    vector = b"" if run.vector is None else run.vector.astype("float32").tobytes()
    item["vector"] = base64.b64encode(vector).decode()
    item["outcomes"] = [_item(outcome) for outcome in run.outcomes]
    item["finished_at"] = finished_at
    return item


def _finished_run(item: dict[str, Any]) -> FinishedRun:
    known = _fields(FinishedRun, item)
    known["steps"] = tuple(item["steps"])
    known["given"] = tuple(item["given"])
    known["sources"] = tuple(item.get("sources", ()))
    known["outcomes"] = tuple(OutcomeRecord(**_fields(OutcomeRecord, o)) for o in item["outcomes"])
    known["vector"] = _vector(item["vector"])
    return FinishedRun(**known)


def _vector(text: str) -> object:
    if not text:
        return None
    # NumPy costs 50 ms to import, and most logs are replayed without vectors.
    import numpy as np

    return np.frombuffer(base64.b64decode(text), dtype=np.float32)


def _workflow(item: dict[str, Any]) -> Workflow:
    known = _fields(Workflow, item)
    known["steps"] = tuple(item["steps"])
    return Workflow(**known)


def _feedback(item: dict[str, Any]) -> RunFeedback:
    return RunFeedback(**_fields(RunFeedback, item))


def _fields(kind: type[Any], item: dict[str, Any]) -> dict[str, Any]:
    # A newer version may have added fields; this one can do without them.
    return {f.name: item[f.name] for f in fields(kind) if f.name in item}


def _store(workflow: Workflow) -> Write[bool]:
    return lambda tx: store_workflow(tx, workflow)


def _correct(feedback: RunFeedback) -> Callable[[Tx], RunFeedback]:
    return lambda tx: apply_feedback(tx, feedback)
