"""What compactions saved: by session, by tenant, and for Prometheus."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from infrastructure.memory.compaction_worker import WorkerStatistics
from infrastructure.memory.memori.archive_ledger import Compaction
from infrastructure.observability.metrics import memory_metrics

_log = logging.getLogger("genesis.memory")


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """What the archive of a session holds and saves.

    Attributes:
        original_size_bytes: of its records as compact JSON.
        compressed_size_bytes: of its chunks; the dictionary, kept once for all sessions, is counted
            by `CompactionMetrics`.
        compression_ratio: share saved: 0.75 is 75 % smaller.
        num_memories: workflow records in the archive.
        num_patterns_extracted: 0 unless asked for.
        compaction_duration_ms: of the latest compaction that found something to do.
    """

    session_id: str
    original_size_bytes: int
    compressed_size_bytes: int
    compression_ratio: float
    num_memories: int
    num_patterns_extracted: int
    compaction_duration_ms: float


@dataclass(frozen=True, slots=True)
class CompactionMetrics:
    """All archives together, and the work of this service's queue.

    Attributes:
        dictionaries: how many compression dictionaries are stored.
        dictionary_bytes: what they take beside `compressed_size_bytes`.
        compression_ratio: share saved by the chunks.
        compression_ratio_with_dictionaries: share saved when dictionaries count as stored bytes;
            below zero while they take more than they save.
    """

    sessions: int
    num_memories: int
    original_size_bytes: int
    compressed_size_bytes: int
    compression_ratio: float
    dictionaries: int
    dictionary_bytes: int
    compression_ratio_with_dictionaries: float
    worker: WorkerStatistics


def share_saved(compaction: Compaction, more_bytes: int = 0) -> float:
    """Of the original bytes, when `more_bytes` are stored beside the chunks; 0 for nothing."""
    if not compaction.original_bytes:
        return 0.0
    return 1 - (compaction.compressed_bytes + more_bytes) / compaction.original_bytes


def report(session_id: str, namespace: str, before: Compaction, after: Compaction) -> None:
    """Log a compaction and tell it to Prometheus."""
    saved = (after.original_bytes - after.compressed_bytes) - (
        before.original_bytes - before.compressed_bytes
    )
    metrics = memory_metrics()
    metrics.compression_ratio.labels(namespace).set(share_saved(after))
    metrics.storage_bytes_saved.inc(max(0, saved))
    _log.info(
        "Step 7: compacted session %s: %d records, %.0f %% smaller",
        session_id,
        after.records,
        share_saved(after) * 100,
    )
