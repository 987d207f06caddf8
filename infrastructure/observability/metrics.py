"""The named Prometheus metrics of the memory, made on first use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_MILLISECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class MemoryMetrics:
    """What the memory reports.

    Attributes:
        compression_ratio: share of bytes that the latest compaction saved, by namespace.
        storage_bytes_saved: bytes that compactions saved.
        decompression_latency_ms: unpacking one archived session, milliseconds.
        retrieval_accuracy: share of recalled patterns whose reuse was then verified successful.
    """

    compression_ratio: Gauge
    storage_bytes_saved: Counter
    decompression_latency_ms: Histogram
    retrieval_accuracy: Histogram


@lru_cache(maxsize=16)
def memory_metrics(registry: CollectorRegistry = REGISTRY) -> MemoryMetrics:
    """The memory's metrics in a registry; the same objects at every call."""
    return MemoryMetrics(
        compression_ratio=Gauge(
            "memory_compression_ratio",
            "Share of bytes saved by the latest compaction.",
            ["namespace"],
            registry=registry,
        ),
        storage_bytes_saved=Counter(
            "memory_storage_bytes_saved_total",
            "Bytes saved by compaction.",
            registry=registry,
        ),
        decompression_latency_ms=Histogram(
            "memory_decompression_latency_ms",
            "Time to unpack one archived session, in milliseconds.",
            buckets=_MILLISECONDS,
            registry=registry,
        ),
        retrieval_accuracy=Histogram(
            "memory_retrieval_accuracy",
            "Share of recalled patterns whose reuse was then verified successful.",
            buckets=_SHARES,
            registry=registry,
        ),
    )
