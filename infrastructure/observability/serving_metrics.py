"""The named Prometheus metrics of a server: requests, runs, tasks, attempts, queue, store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_REQUEST_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_RUN_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_USD: Final = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50)


@dataclass(frozen=True, slots=True)
class ServingMetrics:
    """What is counted as it happens.

    Attributes:
        requests: HTTP requests, by method, route and status.
        request_seconds: until the answer's end, streams left out, by route.
        runs: runs that ended or paused, by state.
        run_seconds: how long runs took.
        run_cost_usd: what runs cost, US dollars.
        tasks: tasks that ended, by task type and status.
        attempts: attempts at tasks, by agent and outcome.
        attempt_seconds: how long attempts took, by agent.
    """

    requests: Counter
    request_seconds: Histogram
    runs: Counter
    run_seconds: Histogram
    run_cost_usd: Histogram
    tasks: Counter
    attempts: Counter
    attempt_seconds: Histogram


def serving_metrics(registry: CollectorRegistry) -> ServingMetrics:
    """A server's metrics in a registry of its own; called once for each."""
    return ServingMetrics(
        requests=Counter(
            "genesis_http_requests_total",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=registry,
        ),
        request_seconds=Histogram(
            "genesis_http_request_seconds",
            "Time to answer an HTTP request, event streams left out, in seconds.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        ),
        runs=Counter(
            "genesis_runs_total", "Runs that ended or paused.", ["state"], registry=registry
        ),
        run_seconds=Histogram(
            "genesis_run_seconds",
            "Time of a run, in seconds.",
            buckets=_RUN_SECONDS,
            registry=registry,
        ),
        run_cost_usd=Histogram(
            "genesis_run_cost_usd",
            "Cost of a run, in US dollars.",
            buckets=_USD,
            registry=registry,
        ),
        tasks=Counter(
            "genesis_tasks_total", "Tasks that ended.", ["task_type", "status"], registry=registry
        ),
        attempts=Counter(
            "genesis_attempts_total", "Attempts at tasks.", ["agent", "outcome"], registry=registry
        ),
        attempt_seconds=Histogram(
            "genesis_attempt_seconds",
            "Time of an attempt at a task, in seconds.",
            ["agent"],
            buckets=_RUN_SECONDS,
            registry=registry,
        ),
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure read when it is asked for.

    Attributes:
        name: of the metric.
        about: its help text.
        values: the figure, by the value of `label`; by "" where there is no label.
        label: the label's name; empty for none.
        counts: whether it only ever grows.
    """

    name: str
    about: str
    values: dict[str, float] = field(default_factory=dict[str, float])
    label: str = ""
    counts: bool = False


class Readings(Collector):
    """Figures that parts of the process keep by themselves, read at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]], registry: CollectorRegistry) -> None:
        self._read = read
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: their names are known when they are read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        for reading in self._read():
            kind = CounterMetricFamily if reading.counts else GaugeMetricFamily
            labels = [reading.label] if reading.label else []
            family = kind(reading.name, reading.about, labels=labels)
            for value, figure in reading.values.items():
                family.add_metric([value] if labels else [], figure)
            yield family
