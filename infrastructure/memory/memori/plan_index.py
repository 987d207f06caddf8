"""The working set of verified plans, searched exactly in memory: recall reads no disk."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.counting import mean_seconds, mean_usd
from infrastructure.memory.memori.plan_cases import CaseRow, Exemplar, PlanCase

WORKING_SET: Final = 1000
"""Distinct plans kept; the least recently changed make room."""

LOOKED_AT: Final = 256
"""Plans, of the most similar ones, that are asked whether they may serve."""

_HEAPS: Final = (64, 512)
_FIRST_ROWS: Final = 64
_COSINE_SHARE: Final = 0.7
_NO_ROWS: Final = np.zeros(0, dtype=np.int32)
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Entry:
    case: CaseRow
    exemplar: Exemplar
    words: frozenset[str]
    vector: NDArray[np.float32] | None
    told: PlanCase  # without a similarity: many are looked at for each request, few are told


_Found: TypeAlias = tuple[_Entry, float]
"""An entry and its similarity."""


class _Block:
    """Entries whose vectors have one size, each in its row of a matrix; rows are used again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[_Entry | None] = []
        self._rows: dict[int, int] = {}
        self._free: list[int] = []
        self._matrix = np.zeros((_FIRST_ROWS, size), dtype=np.float32)
        self._lengths = np.zeros(_FIRST_ROWS, dtype=np.int32)
        self._standing = np.zeros((_FIRST_ROWS, 2))
        self._rows_of: dict[str, NDArray[np.int32]] = {}

    def add(self, entry: _Entry) -> None:
        row = self._free.pop() if self._free else len(self.entries)
        if row == len(self.entries):
            self.entries.append(None)
            if row == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
                self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
                self._standing = np.concatenate([self._standing, np.zeros_like(self._standing)])
        self._put(row, entry)
        self._lengths[row] = len(entry.words)
        if entry.vector is not None:
            self._matrix[row] = entry.vector
        for word in entry.words:
            self._rows_of[word] = np.append(self._rows_of.get(word, _NO_ROWS), np.int32(row))

    def drop(self, entry: _Entry) -> None:
        row = self._rows.pop(id(entry))
        self.entries[row] = None
        self._free.append(row)
        for word in entry.words:
            left = self._rows_of[word][self._rows_of[word] != row]
            if left.size:
                self._rows_of[word] = left
            else:
                del self._rows_of[word]

    def replace(self, old: _Entry, new: _Entry) -> None:
        """Put an entry of the same words and vector into the place of another."""
        self._put(self._rows.pop(id(old)), new)

    def _put(self, row: int, entry: _Entry) -> None:
        self.entries[row] = entry
        self._rows[id(entry)] = row
        self._standing[row] = entry.case.current_rate, entry.exemplar.created_at

    @property
    def standing(self) -> NDArray[np.float64]:
        """float64 [rows, 2]: success rate now, and when the request was made."""
        return self._standing[: len(self.entries)]

    def similarities(
        self, words: frozenset[str], unit: NDArray[np.float32] | None
    ) -> NDArray[np.float64]:
        """float64 [rows]: overlap of words, with the cosine where the sizes are the same."""
        rows = len(self.entries)
        common = np.zeros(rows, dtype=np.int32)
        for word in words:
            if (found := self._rows_of.get(word)) is not None:
                common[found] += 1
        union = self._lengths[:rows] + np.int32(len(words)) - common
        overlap = common / np.maximum(union, 1)
        if unit is None or unit.size != self.size:
            return overlap
        # Opposite vectors are as unlike as unrelated ones; rounding may carry equal ones past 1.
        cosines = np.clip((self._matrix[:rows] @ unit).astype(np.float64), 0.0, 1.0)
        return _COSINE_SHARE * cosines + (1 - _COSINE_SHARE) * overlap


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
                self._take_over(case)
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
            serves: whether a plan, given without its similarity, may serve. Those that may come
                first, as far as they are among the `LOOKED_AT` most similar; then the most similar
                others.
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

        unit = None if vector is None else _unit(vector)
        with self._lock:
            ranked = self._ranked(_words(text), unit, admits)
            if serves is None:
                found = list(islice(ranked, limit))
            else:
                found = _those_that_serve(islice(ranked, LOOKED_AT), serves, limit)
        return [replace(entry.told, similarity=similarity) for entry, similarity in found]

    def _ranked(
        self,
        words: frozenset[str],
        unit: NDArray[np.float32] | None,
        admits: Callable[[_Entry], bool],
    ) -> Iterator[_Found]:
        """The best entry of each case that is admitted, best first, with its similarity."""
        held = [entry for block in self._blocks.values() for entry in block.entries]
        if not held:
            return
        scores = np.concatenate([b.similarities(words, unit) for b in self._blocks.values()])
        standing = np.concatenate([block.standing for block in self._blocks.values()])
        seen: set[str] = set()
        for rows in _falling(scores):
            rates, times = standing[rows].T
            rows = rows[np.lexsort((-times, -rates, -scores[rows]))]
            pairs: list[tuple[int, float]] = list(
                zip(rows.tolist(), scores[rows].tolist(), strict=True)
            )
            for row, score in pairs:
                entry = held[row]
                if entry is not None and entry.case.digest not in seen and admits(entry):
                    seen.add(entry.case.digest)
                    yield entry, score

    def _take_over(self, case: CaseRow) -> None:
        """Put a case in the place of what was known of it; known requests keep their rows."""
        known = {entry.exemplar.run_id: entry for entry in self._cases.pop(case.digest, ())}
        entries: list[_Entry] = []
        for exemplar in case.exemplars:
            old = known.pop(exemplar.run_id, None)
            if old is not None and _asks_the_same(old.exemplar, exemplar):
                entry = _Entry(case, exemplar, old.words, old.vector, _told(case, exemplar))
                self._block(old).replace(old, entry)
            else:
                entry = _entry(case, exemplar)
                self._drop([old] if old is not None else [])
                self._block(entry).add(entry)
            entries.append(entry)
        self._drop(known.values())
        if entries:
            self._cases[case.digest] = tuple(entries)
        self._version = case.version

    def _block(self, entry: _Entry) -> _Block:
        size = 0 if entry.vector is None else entry.vector.size
        if size not in self._blocks:
            self._blocks[size] = _Block(size)
        return self._blocks[size]

    def _drop(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            self._block(entry).drop(entry)


def _falling(scores: NDArray[np.float64]) -> Iterator[NDArray[np.intp]]:
    """Places in heaps, those of the best scores first; equal scores lie in one heap.

    Most searches end within the first, so that no more are sorted.
    """
    above = np.inf
    for size in _HEAPS:
        least = float(np.partition(scores, -size)[-size]) if size < len(scores) else -np.inf
        yield np.flatnonzero((scores >= least) & (scores < above))
        above = least
        if least == -np.inf:
            return
    yield np.flatnonzero(scores < above)


def _asks_the_same(one: Exemplar, other: Exemplar) -> bool:
    return one.request == other.request and one.vector == other.vector


def _those_that_serve(
    ranked: Iterable[_Found], serves: Callable[[PlanCase], bool], limit: int
) -> list[_Found]:
    """The first `limit` that serve, then others up to that number."""
    serving: list[_Found] = []
    others: list[_Found] = []
    for found in ranked:
        if serves(found[0].told):
            serving.append(found)
        elif len(others) < limit:
            others.append(found)
        if len(serving) == limit:
            break
    return [*serving, *others][:limit]


def _entry(case: CaseRow, exemplar: Exemplar) -> _Entry:
    vector = np.frombuffer(exemplar.vector, dtype=np.float32) if exemplar.vector else None
    unit = None if vector is None else _unit(vector)
    return _Entry(case, exemplar, _words(exemplar.request), unit, _told(case, exemplar))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = np.asarray(vector, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(flat))
    return flat / np.float32(length) if length > 0 else flat


def _told(case: CaseRow, exemplar: Exemplar) -> PlanCase:
    total = case.successes + case.failures
    return PlanCase(
        run_id=exemplar.run_id,
        request=exemplar.request,
        task_type=case.task_type,
        given=case.given,
        plan=exemplar.plan,
        successes=case.successes,
        failures=case.failures,
        avg_duration_s=mean_seconds(case.duration_us, total),
        avg_cost_usd=mean_usd(case.cost_nusd, total),
        last_used=case.last_used,
        made=_made(exemplar.plan),
    )


def _made(plan: JsonObject) -> frozenset[object]:
    """The names of all data that the tasks of a plan make."""
    tasks = plan.get("tasks")
    if not isinstance(tasks, Sequence) or isinstance(tasks, str):
        return frozenset()
    made: set[object] = set()
    for task in tasks:
        names = task.get("produces") if isinstance(task, Mapping) else None
        made.update(names if isinstance(names, Sequence) else ())
    return frozenset(made)
