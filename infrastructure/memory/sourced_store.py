"""A store whose writes carry the origin of whoever is at work, for those who share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph.store.base import BaseStore, Op, PutOp, Result

from infrastructure.memory.memori.provenance import UNKNOWN
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.origin import current_origin


class SourcedStore(BaseStore):
    """Passes everything on. Nothing is indexed for search: its user has an index of its own.

    Args:
        store: only a MemoriStore keeps origins; any other one is passed the operations alone.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As the store's own."""
        return self._bound().batch(_unindexed(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As the store's own."""
        return await self._bound().abatch(_unindexed(ops))

    def _bound(self) -> BaseStore:
        store, origin = self._store, current_origin()
        if origin is UNKNOWN or not isinstance(store, MemoriStore):
            return store
        return store.with_provenance(origin)


def _unindexed(ops: Iterable[Op]) -> Sequence[Op]:
    return [op._replace(index=False) if isinstance(op, PutOp) else op for op in ops]
