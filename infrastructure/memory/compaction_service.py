"""Compaction: a session's workflows move into a compressed archive, read back exactly."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from infrastructure.errors import InputError
from infrastructure.memory.archive_upkeep import ArchiveUpkeep
from infrastructure.memory.compaction_metrics import (
    CompactionMetrics,
    SessionMetrics,
    report,
    share_saved,
)
from infrastructure.memory.compaction_worker import CompactionWorker
from infrastructure.memory.journal_upkeep import JournalUpkeep
from infrastructure.memory.memori import archive, archive_ledger, dictionaries
from infrastructure.memory.memori.archive_ledger import Compaction, LedgerEntry
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.patterns import session_patterns
from infrastructure.memory.memori.workflows import Workflow, session_rows
from infrastructure.memory.session_patterns import SessionPattern, extract_patterns
from infrastructure.memory.workflow_memory import WorkflowMemory, default_memory
from infrastructure.observability.metrics import memory_metrics

__all__ = ["CompactionMetrics", "CompactionService", "SessionMetrics"]

NAMESPACE: Final = "orchestrator"

_TRIES: Final = 5
# Sessions that are asked for within this time share their reads and their commit.
_GATHER_S: Final = 0.25

_log = logging.getLogger("genesis.memory")


class CompactionService:
    """Compacts sessions, on request off the caller's path.

    Args:
        memory: whose sessions; None takes the memory at the configured path.
        keep_journals_days: days that journals of runs are kept; older ones are pruned when nobody
            waits for a compaction. None keeps them for ever.
        monotonic: seconds, for the durations shown.
    """

    def __init__(
        self,
        memory: WorkflowMemory | None = None,
        *,
        keep_journals_days: float | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._given = memory
        self._monotonic = monotonic
        self._upkeep = ArchiveUpkeep()
        self._journals = JournalUpkeep(keep_journals_days, monotonic)
        self._worker = CompactionWorker(
            self._compact_asked,
            idle=self._upkeep_step,
            serve_together=self._compact_together,
            gather_s=_GATHER_S,
        )
        self._one_at_a_time = threading.Lock()

    @property
    def memory(self) -> WorkflowMemory:
        """The memory whose sessions are compacted."""
        return self._given or default_memory()

    async def compact_session(
        self, session_id: str, namespace: str = NAMESPACE, extract_patterns: bool = True
    ) -> SessionMetrics:
        """Archive what the session has gained since the last time; without news nothing changes.

        Each step is one transaction: workflow rows are deleted by the commit that archives them.

        Args:
            namespace: the label of the metrics and the archive.

        Raises:
            InputError: an empty session id or namespace.
            StoreError: the store failed; what was not archived stays as it was.
        """
        _check(session_id, namespace)
        memori = await self.memory.ready()
        try:
            return await asyncio.to_thread(
                self._compact, memori, session_id, namespace, extract_patterns
            )
        except Exception as error:
            _log.error("compaction of session %s failed: %s", session_id, error)
            raise

    def request(self, session_id: str) -> bool:
        """Ask for a session's compaction and return at once; failures are logged and counted.

        Returns:
            False if too many sessions wait; nothing is lost, the session just stays as it is.
        """
        _check(session_id, NAMESPACE)
        return self._worker.request(session_id)

    async def drain(self) -> None:
        """Wait until all that was asked for is done."""
        await asyncio.to_thread(self._worker.wait)

    async def maintain(self) -> None:
        """Train a dictionary if that pays, and pack anew what names a retired one.

        The queue does this by itself, in small steps, when nobody waits.

        Raises:
            StoreError: the store failed, or an archive is damaged; archives stay readable as they
                were.
        """
        memori = await self.memory.ready()
        await asyncio.to_thread(self._upkeep.finish, memori)

    async def read_session(self, session_id: str) -> list[Workflow]:
        """Every workflow of the session in order of time, exactly as it was stored.

        Raises:
            StoreError: an archive is damaged.
        """
        memori = await self.memory.ready()
        rows = await memori.read(lambda tx: session_rows(tx, session_id))
        begun = self._monotonic()
        found = await asyncio.to_thread(rows.workflows)
        if rows.chunks:
            took = (self._monotonic() - begun) * 1000
            memory_metrics().decompression_latency_ms.observe(took)
        return found

    async def get_session_patterns(self, session_id: str) -> list[SessionPattern]:
        """What a compacted session shows to work, with later feedback; empty if not extracted."""
        memori = await self.memory.ready()
        return await memori.read(lambda tx: _patterns(tx, session_id))

    async def get_ledger(self, session_id: str) -> list[LedgerEntry]:
        """What each compaction of a session replaced, proved against the archive.

        Raises:
            StoreError: the archive does not hold what the ledger tells.
        """
        memori = await self.memory.ready()
        found, chunks = await memori.read(
            lambda tx: (archive_ledger.entries(tx, session_id), archive.chunks(tx, session_id))
        )
        return await asyncio.to_thread(archive_ledger.proved, found, chunks)

    async def get_compaction_metrics(self) -> CompactionMetrics:
        """All archives together, and what the queue has done."""
        memori = await self.memory.ready()
        (sessions, total), (kept, kept_bytes) = await memori.read(
            lambda tx: (archive_ledger.totals(tx), dictionaries.stored(tx))
        )
        return CompactionMetrics(
            sessions=sessions,
            num_memories=total.records,
            original_size_bytes=total.original_bytes,
            compressed_size_bytes=total.compressed_bytes,
            compression_ratio=share_saved(total),
            dictionaries=kept,
            dictionary_bytes=kept_bytes,
            compression_ratio_with_dictionaries=share_saved(total, kept_bytes),
            worker=self._worker.statistics,
        )

    def _upkeep_step(self) -> bool:
        memori = self.memory.memori
        return self._upkeep.step(memori) or self._journals.step(memori)

    def _compact_asked(self, session_id: str) -> None:
        # Nobody sees these metrics: the patterns are counted when they are asked for.
        self._compact(self.memory.memori, session_id, NAMESPACE, extract=True, counted=False)

    def _compact_together(self, session_ids: Sequence[str]) -> None:
        """`_compact_asked` for several sessions, as far as one read and one commit hold them."""
        memori, left = self.memory.memori, list(session_ids)
        while left:
            with self._one_at_a_time:
                begun = self._monotonic()
                batches = memori.read_sync(partial(archive.next_batches, session_ids=tuple(left)))
                self._archive_all(memori, batches, begun)
            left = left[len(batches) :]
            for batch in batches:
                if len(batch.records) >= archive.BATCH_RECORDS:
                    self._compact_asked(batch.session_id)

    def _archive_all(self, memori: Memori, batches: Sequence[archive.Batch], begun: float) -> None:
        with_news = [batch for batch in batches if batch.records]
        packed = [archive.pack_batch(batch, NAMESPACE) for batch in with_news]
        now, ms = memori.clock.now(), (self._monotonic() - begun) * 1000 / len(batches)
        asked = [
            partial(archive_ledger.ask_for_patterns, session_id=batch.session_id)
            for batch in batches
            if not batch.records and batch.before.records and not batch.before.patterns_extracted
        ]
        if not (with_news or asked):
            return
        afters = memori.commit_sync(
            *(
                partial(
                    archive.replace_by_archive, batch=b, packed=p, patterns=True, ms=ms, now=now
                )
                for b, p in zip(with_news, packed, strict=True)
            ),
            *asked,
        )
        for batch, after in zip(with_news, afters, strict=False):
            report(batch.session_id, NAMESPACE, batch.before, after)

    def _compact(
        self,
        memori: Memori,
        session_id: str,
        namespace: str,
        extract: bool,
        *,
        counted: bool = True,
    ) -> SessionMetrics:
        with self._one_at_a_time:
            begun = self._monotonic()
            batch, patterns = memori.read_sync(
                lambda tx: (
                    archive.next_batch(tx, session_id),
                    session_patterns(tx, session_id) if extract and counted else [],
                )
            )
            before = after = batch.before
            while batch.records:
                after = self._archive(memori, batch, namespace, extract, begun)
                if len(batch.records) < archive.BATCH_RECORDS:
                    break
                begun = self._monotonic()
                batch = memori.read_sync(lambda tx: archive.next_batch(tx, session_id))
            if extract and after.records and not after.patterns_extracted:
                memori.commit_sync(lambda tx: archive_ledger.ask_for_patterns(tx, session_id))
        found = extract_patterns(patterns) if after.records else []
        if after.records != before.records:
            report(session_id, namespace, before, after)
        return SessionMetrics(
            session_id=session_id,
            original_size_bytes=after.original_bytes,
            compressed_size_bytes=after.compressed_bytes,
            compression_ratio=share_saved(after),
            num_memories=after.records,
            num_patterns_extracted=len(found),
            compaction_duration_ms=after.duration_ms,
        )

    def _archive(
        self, memori: Memori, batch: archive.Batch, namespace: str, extract: bool, begun: float
    ) -> Compaction:
        for _ in range(_TRIES - 1):
            try:
                return self._try_to_archive(memori, batch, namespace, extract, begun)
            except archive.Changed as change:
                _log.debug("compaction of %s begins again: %s", batch.session_id, change)
                batch = memori.read_sync(partial(archive.next_batch, session_id=batch.session_id))
                if not batch.records:
                    return batch.before
        return self._try_to_archive(memori, batch, namespace, extract, begun)

    def _try_to_archive(
        self, memori: Memori, batch: archive.Batch, namespace: str, extract: bool, begun: float
    ) -> Compaction:
        # Packing takes a while, so it is done outside the transaction, which then checks that
        # nothing was changed meanwhile.
        packed = archive.pack_batch(batch, namespace)
        now, ms = memori.clock.now(), (self._monotonic() - begun) * 1000
        (after,) = memori.commit_sync(
            lambda tx: archive.replace_by_archive(
                tx, batch, packed, patterns=extract, ms=ms, now=now
            )
        )
        return after


def _check(session_id: str, namespace: str) -> None:
    if not session_id.strip() or not namespace.strip():
        raise InputError("compaction needs a session id and a namespace, both not empty")


def _patterns(tx: Tx, session_id: str) -> list[SessionPattern]:
    if not archive_ledger.compaction(tx, session_id).patterns_extracted:
        return []
    return extract_patterns(session_patterns(tx, session_id))
