"""Which items of a context stay: by how relevant they are, and by criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from infrastructure.errors import InputError
from infrastructure.memory.agemem.analysing import analysed
from infrastructure.memory.agemem.context import ContextItem
from infrastructure.memory.agemem.context_items import fields_of, known_relevance
from infrastructure.memory.agemem.relevance import TermStatistics, relevance
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst
from infrastructure.memory.memori.filter_match import matches
from infrastructure.memory.memori.filters import parse

Criteria: TypeAlias = Callable[[Any], object] | Mapping[str, Any]


def chosen(criteria: Criteria | None) -> Callable[[object], bool]:
    """Whether an item meets the criteria.

    Raises:
        InputError: they are neither a function nor a filter that can be used.
    """
    if criteria is None:
        return lambda item: True
    if isinstance(criteria, Mapping):
        condition = parse(cast("Mapping[str, Any]", criteria))
        return lambda item: matches(condition, fields_of(item))
    if callable(criteria):
        return lambda item: bool(criteria(item))
    raise InputError(
        f"criteria are a function of an item or a filter in a dict, not {type(criteria).__name__}"
    )


async def relevances(
    items: Sequence[object],
    texts: Sequence[str],
    goal: TextAnalysis | None,
    analyst: TextAnalyst,
    statistics: TermStatistics,
) -> Sequence[float]:
    """How relevant each item is; without a goal what it says of itself, or 1."""
    if goal is None:
        known = [known_relevance(item) for item in items]
        return [1.0 if each is None else each for each in known]
    new = [text for item, text in zip(items, texts, strict=True) if not _analysed(item)]
    made = iter(await analysed(analyst, new))
    analyses = [item.analysis if isinstance(item, ContextItem) else next(made) for item in items]
    return relevance(goal, analyses, statistics).tolist()


def _analysed(item: object) -> bool:
    return isinstance(item, ContextItem)
