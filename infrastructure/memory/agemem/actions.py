"""What can be decided about memory: six operations with their argument buckets, and doing nothing.

The table's order is part of the policy file's format: a policy names the version it was made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ACTIONS_VERSION: Final = 1
"""Rises when the table of actions or the meaning of an argument changes."""


class MemoryOperation(StrEnum):
    """An operation on long-term memory (add, update, delete) or on the working context."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"
    RETRIEVE = "retrieve"
    SUMMARY = "summary"
    FILTER = "filter"
    PASS = "pass"  # noqa: S105 - doing nothing is a decision too


class Moment(StrEnum):
    """When a decision is due.

    ARRIVAL: something was said or found out: what becomes of it in long-term memory?
    CONTEXT: something came into the working context: what becomes of the context?
    QUESTION: something is asked: what belongs into the context before the answer?
    """

    ARRIVAL = "arrival"
    CONTEXT = "context"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Action:
    """An operation with one argument.

    Attributes:
        operation: what is done.
        argument: of add the importance, 0 to 1; of update and delete which entry, counted from 0
            in the order of their likeness to what arrived; of retrieve how many entries; of filter
            the least relevance that stays; of summary its share of the token budget.
    """

    operation: MemoryOperation
    argument: float = 0.0

    def __str__(self) -> str:
        if self.operation is MemoryOperation.PASS:
            return str(self.operation)
        return f"{self.operation}@{self.argument:g}"


def _table() -> tuple[Action, ...]:
    buckets: dict[MemoryOperation, tuple[float, ...]] = {
        MemoryOperation.PASS: (0,),
        MemoryOperation.ADD: (0.25, 0.5, 0.75, 1.0),
        MemoryOperation.UPDATE: (0, 1, 2),
        MemoryOperation.DELETE: (0, 1, 2),
        MemoryOperation.RETRIEVE: (2, 4, 8, 16),
        MemoryOperation.FILTER: (0.1, 0.2, 0.3, 0.45),
        MemoryOperation.SUMMARY: (0.25, 0.5),
    }
    return tuple(
        Action(operation, argument)
        for operation, arguments in buckets.items()
        for argument in arguments
    )


ACTIONS: Final = _table()
"""Every action; a decision is a place in this table."""

PASS: Final = 0
"""The place of doing nothing."""

LTM_OPERATIONS: Final = (MemoryOperation.ADD, MemoryOperation.UPDATE, MemoryOperation.DELETE)
"""The operations on long-term memory."""

STM_OPERATIONS: Final = (
    MemoryOperation.RETRIEVE,
    MemoryOperation.SUMMARY,
    MemoryOperation.FILTER,
)
"""The operations on the working context."""

OPERATIONS_AT: Final = {
    Moment.ARRIVAL: LTM_OPERATIONS,
    Moment.CONTEXT: (MemoryOperation.SUMMARY, MemoryOperation.FILTER),
    Moment.QUESTION: STM_OPERATIONS,
}
"""What may be done at each moment, beside doing nothing."""


def place_of(operation: MemoryOperation, argument: float) -> int:
    """The place in ACTIONS of the bucket of an operation that is nearest to an argument."""
    places = [place for place, action in enumerate(ACTIONS) if action.operation is operation]
    return min(places, key=lambda place: abs(ACTIONS[place].argument - argument))
