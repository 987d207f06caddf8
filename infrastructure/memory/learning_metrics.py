"""The learning metrics: rates with their intervals, and what memory saves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.counting import (
    Measured,
    mean_seconds,
    mean_usd,
    measured_rate,
)
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.workflow_metrics import (
    WorkflowCount,
    sample,
    saved,
    workflow_counts,
)


def learning_metrics(
    tx: Tx,
    task_type: str | None = None,
    since: float | None = None,
    session_id: str | None = None,
) -> dict[str, JsonValue]:
    """What was learnt from the workflows that match every given filter.

    Keys: `overall_success_rate`, `total_workflows_executed`, `learned_task_types`,
    `metrics_by_task_type` (each with `total_executions`, `successful_executions`,
    `failed_executions`, `success_rate`, `avg_duration` in seconds, `avg_cost` in US dollars), and,
    each as `{value, n, interval}` at 95 % with None where nothing is known, `memory_hit_rate`,
    `success_rate_with_memory`, `success_rate_without_memory`, `saved_usd` and `saved_s` a run.

    Args:
        since: seconds since the epoch.
    """
    counts = workflow_counts(tx, task_type, since, session_id)
    types = sorted({count.task_type for count in counts})
    samples = [sample(tx, name, since, session_id) for name in types]
    used = [count for count in counts if count.recalled == 1]
    unused = [count for count in counts if count.recalled == 0]
    successes, total = _successes(counts), _total(counts)
    return {
        "overall_success_rate": successes / total if total else 0.0,
        "total_workflows_executed": total,
        "learned_task_types": types,
        "metrics_by_task_type": {name: _of_type(counts, name) for name in types},
        "memory_hit_rate": _shown(measured_rate(_total(used), _total(used) + _total(unused))),
        "success_rate_with_memory": _shown(measured_rate(_successes(used), _total(used))),
        "success_rate_without_memory": _shown(measured_rate(_successes(unused), _total(unused))),
        "saved_s": _shown(saved(samples, 0)),
        "saved_usd": _shown(saved(samples, 1)),
    }


def _of_type(counts: Sequence[WorkflowCount], task_type: str) -> dict[str, JsonValue]:
    own = [count for count in counts if count.task_type == task_type]
    successes, total = _successes(own), _total(own)
    return {
        "total_executions": total,
        "successful_executions": successes,
        "failed_executions": total - successes,
        "success_rate": successes / total if total else 0.0,
        "avg_duration": mean_seconds(sum(count.duration_us for count in own), total),
        "avg_cost": mean_usd(sum(count.cost_nusd for count in own), total),
    }


def _successes(counts: Iterable[WorkflowCount]) -> int:
    return sum(count.successes for count in counts)


def _total(counts: Iterable[WorkflowCount]) -> int:
    return sum(count.successes + count.failures for count in counts)


def _shown(measured: Measured) -> dict[str, JsonValue]:
    return {
        "value": measured.value,
        "n": measured.n,
        "interval": None if measured.interval is None else list(measured.interval),
    }
