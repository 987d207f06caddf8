"""Counted outcomes by agent, and what of them tells of the present."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
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
        rows: what it was made of.
        leaves: its ways of doing things, in the order of `past`.
        sums: what was counted of each.
        past: when they changed.
        spent: what each costs lately.
        attempts: how many each rests on.
        by_type: outcomes that tell of the present, by task type.
        by_kind: numbers of leaves, by task type and operation.
        asked: how often it was asked, by task type.
    """

    rows: tuple[OutcomeRow, ...]
    leaves: tuple[Leaf, ...]
    sums: tuple[_Sums, ...]
    past: Past
    spent: tuple[Spent, ...]
    attempts: tuple[int, ...]
    by_type: dict[str, Counted]
    by_kind: dict[tuple[str, str], list[int]]
    asked: dict[str, int]
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
    found: defaultdict[str, list[OutcomeRow]] = defaultdict(list)
    for row in rows:
        found[row.agent].append(row)
    return {agent: _known.record(agent, tuple(some), hazards) for agent, some in found.items()}


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


class _Known:
    """The latest record of each agent, so that of the next one only what changed is worked out.

    Nearly every request sees other records than the one before. All that were ever seen, in a cache
    by their contents, would be outdated by the next request and in the garbage collector's way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._records: OrderedDict[tuple[str, Hazards], AgentRecord] = OrderedDict()

    def record(self, agent: str, rows: tuple[OutcomeRow, ...], hazards: Hazards) -> AgentRecord:
        """The record that these rows of the agent make."""
        key = (agent, hazards)
        with self._lock:
            before = self._records.get(key)
        # Counters that did not change since are, as a rule, the very same objects.
        if before is not None and before.rows == rows:
            return before
        found = agent_record(rows, hazards, before)
        with self._lock:
            self._records[key] = found
            self._records.move_to_end(key)
            while len(self._records) > self._most:
                self._records.popitem(last=False)
        return found


_known = _Known(4096)


def agent_record(
    rows: tuple[OutcomeRow, ...], hazards: Hazards, before: AgentRecord | None = None
) -> AgentRecord:
    """One agent's record from its counted outcomes.

    Args:
        before: an earlier record of the agent, of which what stayed the same is taken over.
    """
    found: dict[Leaf, _Sums] = {}
    for row in rows:
        leaf = Leaf(row.task_type, row.operation, row.model, row.effort)
        counts = _Sums(row.successes, row.failures, row.seconds, row.usd, row.latest)
        known = found.get(leaf)
        found[leaf] = counts if known is None else known.plus(counts)
    leaves, sums = tuple(found), tuple(found.values())
    records = [Record(one.successes, one.failures, one.latest) for one in sums]
    past = Past(records, hazards, before.past if before is not None else None)
    spent = {} if before is None else dict(zip(before.sums, before.spent, strict=True))
    by_type: defaultdict[str, Counted] = defaultdict(Counted)
    by_kind: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    attempts = tuple(one.successes + one.failures for one in sums)
    asked: defaultdict[str, int] = defaultdict(int)
    for number, (leaf, (successes, failures)) in enumerate(
        zip(leaves, past.effective, strict=True)
    ):
        asked[leaf.task_type] += attempts[number]
        by_kind[leaf.task_type, leaf.operation].append(number)
        counted = Counted(successes, successes + failures)
        by_type[leaf.task_type] = by_type[leaf.task_type].plus(counted)
    return AgentRecord(
        rows,
        leaves,
        sums,
        past,
        tuple(spent.get(one) or _spent(one) for one in sums),
        attempts,
        dict(by_type),
        dict(by_kind),
        dict(asked),
    )


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
