"""The working set of verified plans, searched exactly in memory: recall reads no disk."""

from __future__ import annotations

import heapq
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.counting import mean_seconds, mean_usd
from infrastructure.memory.memori.plan_cases import CaseRow, Exemplar, PlanCase

WORKING_SET: Final = 1000
"""Distinct plans kept; the least recently changed make room."""

_COSINE_SHARE: Final = 0.7
_CHECK_EVERY: Final = 64
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Entry:
    case: CaseRow
    exemplar: Exemplar
    words: frozenset[str]
    vector: NDArray[np.float32] | None


class PlanIndex:
    """Exact search over verified plans by cosine of the requests and overlap of their words.

    `version` says up to which change it knows the store; `apply` brings it the later ones. Safe
    from several threads.
    """

    def __init__(self, limit: int = WORKING_SET) -> None:
        self.limit = limit
        self._version = 0
        self._cases: OrderedDict[str, tuple[_Entry, ...]] = OrderedDict()
        self._matrices: dict[tuple[str, int], tuple[list[_Entry], NDArray[np.float32]]] = {}
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
                self._matrices.clear()
            for case in news:
                if (known := self._cases.pop(case.digest, None)) is not None:
                    self._drop_matrices(known[0].case.task_type)
                if case.exemplars:
                    self._cases[case.digest] = tuple(_entries(case))
                    self._drop_matrices(case.task_type)
                self._version = case.version
            while len(self._cases) > self.limit:
                _, dropped = self._cases.popitem(last=False)
                self._drop_matrices(dropped[0].case.task_type)

    def similar(
        self,
        text: str,
        vector: NDArray[np.float32] | None,
        task_type: str,
        given: Sequence[str],
        limit: int = 5,
        min_success_rate: float = 0.0,
        session_id: str | None = None,
    ) -> list[PlanCase]:
        """The plans of a task type whose requests are most like this one, best first.

        Args:
            vector: of the text; None compares words alone.
            given: names of the data at hand; a plan that needs others is left out.
            min_success_rate: plans that now fail more often are left out.
            session_id: only requests of this session; None for all.
        """
        available = frozenset(given)
        words = _words(text)
        best: dict[str, tuple[float, _Entry]] = {}
        for number, (entry, cosine) in enumerate(self._candidates(vector, task_type)):
            if number % _CHECK_EVERY == 0 and _beyond(best, limit, cosine):
                break
            case = entry.case
            if case.current_rate < min_success_rate or not available.issuperset(case.given):
                continue
            if session_id is not None and entry.exemplar.session_id != session_id:
                continue
            similarity = _similarity(words, entry.words, cosine)
            if case.digest not in best or similarity > best[case.digest][0]:
                best[case.digest] = (similarity, entry)
        ranked = sorted(best.values(), key=_rank, reverse=True)
        return [_plan_case(entry, similarity) for similarity, entry in ranked[:limit]]

    def _candidates(
        self, vector: NDArray[np.float32] | None, task_type: str
    ) -> Iterator[tuple[_Entry, float | None]]:
        """Entries of a task type: those without a comparable vector, then by falling cosine."""
        unit = None if vector is None else _unit(vector)
        with self._lock:
            entries = [
                entry
                for group in self._cases.values()
                if group[0].case.task_type == task_type
                for entry in group
            ]
            size = 0 if unit is None else unit.size
            rows, matrix = self._matrix(task_type, size, entries)
        for entry in entries:
            if entry.vector is None or entry.vector.size != size:
                yield entry, None
        if unit is not None:
            cosines = matrix @ unit
            order = np.argsort(-cosines, kind="stable")
            for row, cosine in zip(order.tolist(), cosines[order].tolist(), strict=True):
                yield rows[row], cosine

    def _matrix(
        self, task_type: str, size: int, entries: list[_Entry]
    ) -> tuple[list[_Entry], NDArray[np.float32]]:
        key = (task_type, size)
        if key not in self._matrices:
            rows = [e for e in entries if e.vector is not None and e.vector.size == size]
            vectors = [e.vector for e in rows if e.vector is not None]
            empty = np.zeros((0, size), dtype=np.float32)
            self._matrices[key] = (rows, np.stack(vectors) if vectors else empty)
        return self._matrices[key]

    def _drop_matrices(self, task_type: str) -> None:
        for key in [key for key in self._matrices if key[0] == task_type]:
            del self._matrices[key]


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
