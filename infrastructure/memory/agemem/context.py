"""The working context: what the next answer is made from, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from infrastructure.errors import InputError
from infrastructure.memory.agemem.text_analysis import TextAnalysis

MOST_TOKENS: Final = 10_000_000


class ContextKind(StrEnum):
    """Where an item of the context comes from."""

    TURN = "turn"
    MEMORY = "memory"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True, eq=False)
class ContextItem:
    """A text in the working context.

    Attributes:
        number: counts the items of one context, from 1.
        kind: where it comes from.
        analysis: its text, and what is known of it.
        entry_id: of a memory, the entry.
        relevance: to what was asked for when it came in; None if nothing was.
    """

    number: int
    kind: ContextKind
    analysis: TextAnalysis
    entry_id: str = ""
    relevance: float | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return self.analysis.text

    @property
    def tokens(self) -> int:
        """What it takes of the budget."""
        return self.analysis.tokens


@dataclass(frozen=True, slots=True)
class ContextSnapshot:
    """The state of a working context; `restore` brings it back exactly."""

    items: tuple[ContextItem, ...]
    last_number: int
    goal: TextAnalysis | None
    overflows: int


class WorkingContext:
    """Items in the order in which they came, and the goal that they are judged by.

    It may hold more than its budget until `fit` is called: whoever operates it can first filter or
    summarise.

    Args:
        budget: tokens that fit.

    Raises:
        InputError: the budget is no whole number from 1 to 10,000,000.
    """

    def __init__(self, budget: int) -> None:
        if not 1 <= budget <= MOST_TOKENS:
            raise InputError(f"a context's budget is 1 to {MOST_TOKENS:,} tokens, not {budget!r}")
        self.budget = budget
        self.goal: TextAnalysis | None = None
        self.overflows = 0
        self._items: dict[int, ContextItem] = {}
        self._last = 0

    @property
    def items(self) -> tuple[ContextItem, ...]:
        """What is held, the oldest first."""
        return tuple(self._items.values())

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return sum(item.tokens for item in self._items.values())

    @property
    def free(self) -> int:
        """Tokens left; below 0 when it holds too much."""
        return self.budget - self.tokens

    @property
    def text(self) -> str:
        """All that is held, an item a paragraph."""
        return "\n".join(item.text for item in self._items.values())

    def append(
        self,
        analysis: TextAnalysis,
        kind: ContextKind = ContextKind.TURN,
        *,
        entry_id: str = "",
        relevance: float | None = None,
    ) -> ContextItem:
        """Add an item at the end, whether it fits or not."""
        self._last += 1
        item = ContextItem(self._last, kind, analysis, entry_id, relevance)
        self._items[item.number] = item
        return item

    def keep(self, kept: Iterable[ContextItem]) -> tuple[ContextItem, ...]:
        """Hold only these; returns the others."""
        numbers = {item.number for item in kept}
        gone = tuple(item for item in self._items.values() if item.number not in numbers)
        for item in gone:
            del self._items[item.number]
        return gone

    def replace(self, span: Sequence[ContextItem], analysis: TextAnalysis) -> ContextItem:
        """Put one summary where the first of these items stands, in place of all of them.

        Raises:
            InputError: the span is empty or not held.
        """
        numbers = {item.number for item in span}
        if not numbers or not numbers <= self._items.keys():
            raise InputError("what is summarised must be items that the context holds")
        first = next(number for number in self._items if number in numbers)
        summary = replace(self._items[first], kind=ContextKind.SUMMARY, analysis=analysis)
        summary = replace(summary, entry_id="", relevance=None)
        self._items = {
            number: summary if number == first else item
            for number, item in self._items.items()
            if number == first or number not in numbers
        }
        return summary

    def fit(self) -> tuple[ContextItem, ...]:
        """Drop the oldest items until the rest fits, and count the overflow; returns them."""
        dropped: list[ContextItem] = []
        tokens = self.tokens
        for item in self.items:
            if tokens <= self.budget:
                break
            tokens -= item.tokens
            dropped.append(self._items.pop(item.number))
        self.overflows += bool(dropped)
        return tuple(dropped)

    def clear(self) -> None:
        """Hold nothing, with no goal."""
        self._items.clear()
        self.goal = None

    def snapshot(self) -> ContextSnapshot:
        """Its state now."""
        return ContextSnapshot(self.items, self._last, self.goal, self.overflows)

    def restore(self, snapshot: ContextSnapshot) -> None:
        """Bring a state back exactly."""
        self._items = {item.number: item for item in snapshot.items}
        self._last, self.goal = snapshot.last_number, snapshot.goal
        self.overflows = snapshot.overflows
