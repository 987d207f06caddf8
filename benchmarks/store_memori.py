"""The store benchmark's row `memori`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from langgraph.store.base import PutOp
from store_data import Executed, Note
from store_measure import TOP

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.workflows import Workflow, store_workflow
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.memory.workflow_memory import WorkflowMemory

_NAMESPACE = ("notes",)
_STARTED = 1_700_000_000.0


class MemoriSubject:
    """Items without an index, and workflows."""

    def __init__(self, memori: Memori) -> None:
        self._memori = memori
        self._store = MemoriStore(memori)
        self._tool = MemoryTool(WorkflowMemory(memori))

    async def put(self, note: Note) -> None:
        await self._store.aput(_NAMESPACE, note.key, note.value, index=False)

    async def add_workflows(self, executed: Sequence[Executed]) -> None:
        await self._memori.commit(*map(_write, executed))

    async def patterns(self, task_type: str) -> Sequence[object]:
        return await self._tool.retrieve_workflow_patterns(task_type, 0.7, limit=TOP)

    async def metrics(self, task_type: str) -> tuple[int, int]:
        metrics = await self._tool.get_task_success_metrics(task_type)
        return metrics.total_executions, metrics.successful_executions


class SearchableMemori:
    """Items with the default index: full text, and vectors of the built-in embedder."""

    def __init__(self, memori: Memori) -> None:
        self._store = MemoriStore(memori, embedder=BuiltinEmbedder())

    async def put(self, note: Note) -> None:
        await self._store.aput(_NAMESPACE, note.key, note.value, index=["text"])

    async def add_notes(self, notes: Sequence[Note]) -> None:
        await self._store.abatch(
            [PutOp(_NAMESPACE, note.key, note.value, index=["text"]) for note in notes]
        )

    async def search(self, query: str) -> list[str]:
        found = await self._store.asearch(_NAMESPACE, query=query, limit=TOP)
        return [item.key for item in found]


@asynccontextmanager
async def open_memori(place: str) -> AsyncGenerator[MemoriSubject]:
    """Ours, with its default durability."""
    memori = Memori.open(place)
    try:
        yield MemoriSubject(memori)
    finally:
        await memori.aclose()


@asynccontextmanager
async def open_searchable_memori(place: str) -> AsyncGenerator[SearchableMemori]:
    """Ours, with its default index."""
    memori = Memori.open(place)
    try:
        yield SearchableMemori(memori)
    finally:
        await memori.aclose()


def _write(executed: Executed) -> Callable[[Tx], bool]:
    workflow = Workflow(
        id=executed.key,
        run_id=executed.key,
        task_type=executed.task_type,
        steps=executed.steps,
        success=executed.success,
        duration_s=executed.seconds,
        cost_usd=executed.usd,
        session_id="benchmark",
        created_at=_STARTED,
    )
    return lambda tx: store_workflow(tx, workflow)
