"""The working set of verified plans, searched exactly in memory: recall reads no disk."""

from __future__ import annotations

import heapq
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.counting import mean_seconds, mean_usd
from infrastructure.memory.memori.plan_cases import CaseRow, Exemplar, PlanCase

WORKING_SET: Final = 1000
"""Distinct plans kept; the least recently changed make room."""

LOOKED_AT: Final = 256
"""Plans, of the most similar ones, that are asked whether they may serve."""

_FIRST_ROWS: Final = 64
_COSINE_SHARE: Final = 0.7
_CHECK_EVERY: Final = 64
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Entry:
    case: CaseRow
    exemplar: Exemplar
    words: frozenset[str]
    vector: NDArray[np.float32] | None


class _Block:
    """Entries whose vectors have one size, each in its row of a matrix; rows are used again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[_Entry | None] = []
        self._rows: dict[int, int] = {}
        self._free: list[int] = []
        self._matrix = np.zeros((_FIRST_ROWS, size), dtype=np.float32)

    def add(self, entry: _Entry) -> None:
        if self._free:
            row = self._free.pop()
            self.entries[row] = entry
        else:
            row = len(self.entries)
            self.entries.append(entry)
            if row == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
        self._rows[id(entry)] = row
        if entry.vector is not None:
            self._matrix[row] = entry.vector

    def drop(self, entry: _Entry) -> None:
        row = self._rows.pop(id(entry))
        self.entries[row] = None
        self._matrix[row] = 0.0
        self._free.append(row)

    def cosines(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [rows]; 0 where a row is free."""
        return self._matrix[: len(self.entries)] @ unit


@dataclass(frozen=True, slots=True)
class _Query:
    """What entries are compared with, and which of them count."""

    words: frozenset[str]
    unit: NDArray[np.float32] | None
    admits: Callable[[_Entry], bool]


class PlanIndex:
    """Exact search over verified plans by cosine of the requests and overlap of their words.

    `version` says up to which change it knows the store; `apply` brings it the later ones. Safe
    from several threads.
    """

    def __init__(self, limit: int = WORKING_SET) -> None:
        self.limit = limit
        self._version = 0
        self._cases: OrderedDict[str, tuple[_Entry, ...]] = OrderedDict()
        self._blocks: dict[int, _Block] = {}
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """The latest change that it knows."""
        return self._version

    def __len__(self) -> int:
        return len(self._cases)

    def apply(self, changes: Sequence[CaseRow]) -> None:
        """Take over what `changed_cases(tx, index.version, index.limit)` found."""
        with self._lock:
            news = [case for case in changes if case.version > self._version]
            if len(changes) >= self.limit:
                # More changed than was read: whatever is older than the news may be outdated.
                self._cases.clear()
                self._blocks.clear()
            for case in news:
                self._drop(self._cases.pop(case.digest, ()))
                if case.exemplars:
                    self._cases[case.digest] = tuple(_entries(case))
                    for entry in self._cases[case.digest]:
                        self._block(entry).add(entry)
                self._version = case.version
            while len(self._cases) > self.limit:
                self._drop(self._cases.popitem(last=False)[1])

    def similar(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        task_type: str,
        given: Sequence[str],
        limit: int = 5,
        min_success_rate: float = 0.0,
        session_id: str | None = None,
        serves: Callable[[PlanCase], bool] | None = None,
    ) -> list[PlanCase]:
        """The plans whose requests are most like this one, best first.

        Args:
            vector: of the text; None compares words alone.
            task_type: plans of other types are left out; unless `serves` decides.
            given: names of the data at hand; a plan that came with others is left out; unless
                `serves` decides.
            min_success_rate: plans that now fail more often are left out.
            session_id: only requests of this session; None for all.
            serves: whether a plan may serve. Those that may come first, as far as they are among
                the `LOOKED_AT` most similar; then the most similar others.
        """
        available = frozenset(given)

        def admits(entry: _Entry) -> bool:
            case = entry.case
            if case.current_rate < min_success_rate:
                return False
            if session_id is not None and entry.exemplar.session_id != session_id:
                return False
            if serves is not None:
                return True
            return case.task_type == task_type and available.issuperset(case.given)

        query = _Query(_words(text), None if vector is None else _unit(vector), admits)
        wanted = limit if serves is None else max(limit, LOOKED_AT)
        with self._lock:
            ranked = self._ranked(query, wanted)
        cases = (_plan_case(entry, similarity) for similarity, entry in ranked)
        if serves is None:
            return list(cases)[:limit]
        return _those_that_serve(cases, serves, limit)

    def _ranked(self, query: _Query, wanted: int) -> list[tuple[float, _Entry]]:
        """The best entry of each of the `wanted` best cases, best first."""
        best: dict[str, tuple[float, _Entry]] = {}
        for number, (entry, cosine) in enumerate(self._candidates(query)):
            if number % _CHECK_EVERY == 0 and _beyond(best, wanted, cosine):
                break
            if not query.admits(entry):
                continue
            similarity = _similarity(query.words, entry.words, cosine)
            digest = entry.case.digest
            if digest not in best or similarity > best[digest][0]:
                best[digest] = (similarity, entry)
        return heapq.nlargest(wanted, best.values(), key=_rank)

    def _candidates(self, query: _Query) -> Iterator[tuple[_Entry, float | None]]:
        """Entries: those without a comparable vector, then by falling cosine."""
        unit = query.unit
        size = 0 if unit is None else unit.size
        for block in self._blocks.values():
            if block.size != size or unit is None:
                yield from ((entry, None) for entry in block.entries if entry is not None)
        block = self._blocks.get(size)
        if unit is None or block is None:
            return
        cosines = block.cosines(unit)
        for row in _falling(cosines):
            entry = block.entries[row]
            if entry is not None:
                yield entry, float(cosines[row])

    def _block(self, entry: _Entry) -> _Block:
        size = 0 if entry.vector is None else entry.vector.size
        return self._blocks.setdefault(size, _Block(size))

    def _drop(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            self._block(entry).drop(entry)


def _falling(scores: NDArray[np.float32]) -> Iterator[int]:
    """Places by falling score; the many low ones are sorted only if somebody comes to them."""
    if len(scores) > 2 * LOOKED_AT:
        split = np.argpartition(-scores, LOOKED_AT)
        top = np.sort(split[:LOOKED_AT])
        yield from top[np.argsort(-scores[top], kind="stable")].tolist()
        rest = np.sort(split[LOOKED_AT:])
        yield from rest[np.argsort(-scores[rest], kind="stable")].tolist()
    else:
        yield from np.argsort(-scores, kind="stable").tolist()


def _those_that_serve(
    cases: Iterable[PlanCase], serves: Callable[[PlanCase], bool], limit: int
) -> list[PlanCase]:
    """The first `limit` that serve, then others up to that number."""
    serving: list[PlanCase] = []
    others: list[PlanCase] = []
    for case in cases:
        if serves(case):
            serving.append(case)
        elif len(others) < limit:
            others.append(case)
        if len(serving) == limit:
            break
    return [*serving, *others][:limit]


def _entries(case: CaseRow) -> Iterable[_Entry]:
    for exemplar in case.exemplars:
        vector = np.frombuffer(exemplar.vector, dtype=np.float32) if exemplar.vector else None
        yield _Entry(
            case, exemplar, _words(exemplar.request), None if vector is None else _unit(vector)
        )


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = np.asarray(vector, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(flat))
    return flat / np.float32(length) if length > 0 else flat


def _similarity(words: frozenset[str], others: frozenset[str], cosine: float | None) -> float:
    common = len(words & others)
    union = len(words) + len(others) - common
    overlap = common / union if union else 0.0
    if cosine is None:
        return overlap
    return _combined(cosine, overlap)


def _beyond(best: dict[str, tuple[float, _Entry]], limit: int, cosine: float | None) -> bool:
    # Candidates come by falling cosine: once even full overlap of words could not lift one among
    # the best, none of the rest can get there.
    if cosine is None or len(best) < limit:
        return False
    worst = heapq.nlargest(limit, (similarity for similarity, _ in best.values()))[-1]
    return _combined(cosine, 1.0) < worst


def _combined(cosine: float, overlap: float) -> float:
    # Opposite vectors are as unlike as unrelated ones; rounding may carry equal ones past 1.
    return _COSINE_SHARE * max(0.0, min(1.0, cosine)) + (1 - _COSINE_SHARE) * overlap


def _rank(scored: tuple[float, _Entry]) -> tuple[float, float, float]:
    similarity, entry = scored
    return similarity, entry.case.current_rate, entry.exemplar.created_at


def _plan_case(entry: _Entry, similarity: float) -> PlanCase:
    case = entry.case
    total = case.successes + case.failures
    return PlanCase(
        run_id=entry.exemplar.run_id,
        request=entry.exemplar.request,
        task_type=case.task_type,
        given=case.given,
        plan=entry.exemplar.plan,
        successes=case.successes,
        failures=case.failures,
        avg_duration_s=mean_seconds(case.duration_us, total),
        avg_cost_usd=mean_usd(case.cost_nusd, total),
        last_used=case.last_used,
        similarity=similarity,
    )
