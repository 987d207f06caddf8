"""Counted outcomes by agent, and what of them tells of the present."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import mul
from typing import NamedTuple, Protocol

from genesis.routing.changepoint import Hazards, Past, Record
from genesis.routing.transfer import Counted, apart
from infrastructure.memory.memori.latest_attempts import NONE, LatestAttempts

_FADING = 0.9  # what an attempt's price and time count for, relative to the next one's


class OutcomeRow(Protocol):
    """Counted outcomes of one way of doing one kind of task; seconds and dollars are sums."""

    @property
    def task_type(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def effort(self) -> str: ...
    @property
    def successes(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def usd(self) -> float: ...
    @property
    def latest(self) -> LatestAttempts: ...


class Leaf(NamedTuple):
    """One way of doing one kind of task, by one agent."""

    task_type: str
    operation: str
    model: str
    effort: str


class Spent(NamedTuple):
    """Sums over attempts, later ones counting for more.

    Fields:
        weight: attempts.
        seconds, usd: their durations and costs.
    """

    weight: float = 0.0
    seconds: float = 0.0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """All that is known of one agent.

    Attributes:
        leaves: its ways of doing things, in the order of `past`.
        past: when they changed.
        spent: what each costs lately.
        attempts: how many each rests on.
        by_type: outcomes that tell of the present, by task type.
        by_kind: numbers of leaves, by task type and operation.
    """

    leaves: tuple[Leaf, ...]
    past: Past
    spent: tuple[Spent, ...]
    attempts: tuple[int, ...]
    by_type: dict[str, Counted]
    by_kind: dict[tuple[str, str], list[int]]
    _apart: dict[tuple[str, str, float], tuple[float, float]] = field(
        default_factory=dict[tuple[str, str, float], tuple[float, float]]
    )

    def of(self, leaves: Iterable[int]) -> Counted:
        """Outcomes of some leaves that tell of the present."""
        chosen = [self.past.effective[number] for number in leaves]
        return Counted(sum(s for s, _ in chosen), sum(s + f for s, f in chosen))

    def apart(self, one: str, other: str, assumed: float) -> tuple[float, float]:
        """What it says of how alike two task types are, see `transfer.apart`."""
        key = (one, other, assumed)
        found = self._apart.get(key)
        if found is None:
            nothing = Counted()
            pair = (self.by_type.get(one, nothing), self.by_type.get(other, nothing))
            found = self._apart[key] = apart(*pair, assumed)
        return found


def agent_records(rows: Iterable[OutcomeRow], hazards: Hazards) -> dict[str, AgentRecord]:
    """The records of all agents; those that are as they were are not analysed again."""
    found: defaultdict[str, dict[Leaf, _Sums]] = defaultdict(dict)
    for row in rows:
        leaf = Leaf(row.task_type, row.operation, row.model, row.effort)
        sums = _Sums(row.successes, row.failures, row.seconds, row.usd, row.latest)
        known = found[row.agent].get(leaf)
        found[row.agent][leaf] = sums if known is None else known.plus(sums)
    return {
        agent: agent_record(tuple(leaves), tuple(leaves.values()), hazards)
        for agent, leaves in found.items()
    }


class _Sums(NamedTuple):
    successes: int
    failures: int
    seconds: float
    usd: float
    latest: LatestAttempts

    def plus(self, other: _Sums) -> _Sums:
        """Both; of a run's own attempts, which have no place in time yet, only the sums."""
        return _Sums(
            self.successes + other.successes,
            self.failures + other.failures,
            self.seconds + other.seconds,
            self.usd + other.usd,
            self.latest if self.latest is not NONE else other.latest,
        )


@lru_cache(maxsize=1024)
def agent_record(
    leaves: tuple[Leaf, ...], sums: tuple[_Sums, ...], hazards: Hazards
) -> AgentRecord:
    """One agent's record from its leaves and their sums, in the same order."""
    past = Past([Record(one.successes, one.failures, one.latest) for one in sums], hazards)
    by_type: defaultdict[str, Counted] = defaultdict(Counted)
    by_kind: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, (leaf, (successes, failures)) in enumerate(
        zip(leaves, past.effective, strict=True)
    ):
        by_kind[leaf.task_type, leaf.operation].append(number)
        counted = Counted(successes, successes + failures)
        by_type[leaf.task_type] = by_type[leaf.task_type].plus(counted)
    return AgentRecord(
        leaves,
        past,
        tuple(_spent(one) for one in sums),
        tuple(one.successes + one.failures for one in sums),
        dict(by_type),
        dict(by_kind),
    )


@lru_cache(maxsize=8192)
def _spent(sums: _Sums) -> Spent:
    latest = sums.latest
    if latest is NONE:
        return Spent(sums.successes + sums.failures, sums.seconds, sums.usd)
    weights = _weights(len(latest.times))
    return Spent(
        sum(weights), sum(map(mul, weights, latest.seconds)), sum(map(mul, weights, latest.usd))
    )


@lru_cache(maxsize=128)
def _weights(count: int) -> tuple[float, ...]:
    """What so many attempts count for, oldest first."""
    return tuple(_FADING**age for age in range(count - 1, -1, -1))


def asked_at(records: Mapping[str, AgentRecord], task_type: str, operation: str) -> list[float]:
    """When anybody was lately asked for a kind of task, in order."""
    found: list[float] = []
    for record in records.values():
        for number in record.by_kind.get((task_type, operation), ()):
            found.extend(record.past.times(number))
    found.sort()
    return found
