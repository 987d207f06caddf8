"""A summary without a model: figures of a namespace, and its most telling sentences as they stand.

One function, so that another kind of summary can take its place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from genesis.server.mcp_models import Sentence, Summary
from genesis.server.mcp_places import dotted, memory_uri, text_of
from infrastructure.memory.memori.present import MemoriSearchItem
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.tokens import query_terms
from infrastructure.text import one_line

_MAX_COUNTED: Final = 10_000
_MAX_READ: Final = 300
_MAX_SENTENCES: Final = 2_000
_MAX_NAMESPACES: Final = 50
_PAGE: Final = 200
_MAX_CHARS: Final = 20_000
_SENTENCE_CHARS: Final = 400
_ENDS: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001 - Chinese and Japanese ends


async def summarise(
    store: MemoriStore, namespace: tuple[str, ...], sentences: int, since: datetime | None = None
) -> Summary:
    """Summarise the memories under a namespace.

    Counts at most 10,000 memories; the extract is taken from the latest 300.

    Args:
        sentences: of the extract, at most.
        since: only memories written from then on.
    """
    counts: Counter[str] = Counter()
    read: list[MemoriSearchItem] = []
    times: list[datetime] = []
    async for item in _latest(store, namespace, since):
        counts[dotted(item.namespace)] += 1
        times = [times[0] if times else item.updated_at, item.updated_at]
        if len(read) < _MAX_READ:
            read.append(item)
        if counts.total() > _MAX_COUNTED:
            break
    counted_all = counts.total() <= _MAX_COUNTED
    return Summary(
        namespace=dotted(namespace),
        count=min(counts.total(), _MAX_COUNTED),
        counted_all=counted_all,
        namespaces=dict(counts.most_common(_MAX_NAMESPACES)),
        newest=times[0] if times else None,
        oldest=times[1] if times and counted_all else None,
        read=len(read),
        extract=extract(read, sentences),
    )


async def _latest(
    store: MemoriStore, namespace: tuple[str, ...], since: datetime | None
) -> AsyncIterator[MemoriSearchItem]:
    cursor: str | None = None
    while True:
        page = await store.apage(namespace, limit=_PAGE, cursor=cursor, since=since)
        for item in page.items:
            yield item
        cursor = page.cursor
        if cursor is None:
            return


def extract(items: list[MemoriSearchItem], most: int) -> list[Sentence]:
    """The sentences whose words are the most frequent, without saying the same thing twice.

    Source: SumBasic (Nenkova and Vanderwende, 2005). A sentence weighs the mean probability of
    its words; those of a chosen sentence count squared from then on.
    """
    found = _sentences(items)
    frequency = Counter(term for terms in found.values() for term in terms)
    total = frequency.total() or 1
    weight = {term: count / total for term, count in frequency.items()}
    chosen: list[Sentence] = []
    left = dict(found)
    while left and len(chosen) < most:
        best = max(left, key=lambda s: sum(weight[term] for term in left[s]) / len(left[s]))
        for term in left.pop(best):
            weight[term] **= 2
        chosen.append(Sentence(text=best[0], uri=best[1]))
    return chosen


def _sentences(items: list[MemoriSearchItem]) -> dict[tuple[str, str], list[str]]:
    """Terms of each distinct sentence, with the resource it stands in; the latest first."""
    found: dict[tuple[str, str], list[str]] = {}
    seen: set[str] = set()
    for item in items:
        uri = memory_uri(item.namespace, item.key)
        for part in _ENDS.split(text_of(item.value)[:_MAX_CHARS]):
            sentence = one_line(part, _SENTENCE_CHARS)
            terms = query_terms(sentence)
            if terms and sentence not in seen:
                seen.add(sentence)
                found[sentence, uri] = terms
            if len(found) >= _MAX_SENTENCES:
                return found
    return found
