"""What each storing decision turned out to be worth once everything was heard.

Step-local credit: an alternative to giving every decision of an episode the advantage of its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from infrastructure.memory.agemem.actions import LTM_OPERATIONS, MemoryOperation, Moment
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.training.agemem.truth import Truth

if TYPE_CHECKING:
    from infrastructure.training.agemem.rollout import Recorded

_KEPT: Final = 1.0
_PLACE: Final = -0.3
_STALE: Final = -2.0
_LOST: Final = -1.0


def arrival_credits(
    truth: Truth, recorded: Sequence[Recorded], entries: Sequence[MemoryEntry]
) -> list[float]:
    """The credit of each decision of the first phase.

    1 for an entry that alone holds a needed fact at the end; less for one that takes a place, is
    stale, or when the decision left a stale entry or took a needed fact away.

    Args:
        truth: of the episode.
        recorded: the decisions, one for each turn.
        entries: what memory held when everything was heard.
    """
    owner = _owners(truth, entries)
    held = {entry.entry_id: truth.facts_in(entry.content) for entry in entries}
    gone = truth.gone()
    left = frozenset[str]().union(*held.values()) & gone
    found: list[float] = []
    for record in recorded:
        turn = truth.episode.turns[record.number]
        credit = _of_entry(record, held, owner, gone)
        if turn.replaces and turn.replaces in left:
            credit += _STALE
        credit += _LOST * len(_taken(truth, record) - owner.keys())
        found.append(credit)
    return found


def context_credits(recorded: Sequence[Recorded], cost: float) -> list[float]:
    """The credit of each decision about the context: what it changed, less what it costs.

    About one question it is what this decision and those after it changed together: making room
    is worth nothing by itself, but for what is fetched into it.

    Args:
        recorded: the decisions of the second and third phase.
        cost: of carrying out an operation.
    """
    found: list[float] = []
    later, asked = 0.0, None
    for record in reversed(recorded):
        worth = record.worth - cost * (record.outcome is not None)
        question = record.number if record.moment is Moment.QUESTION else None
        if question is not None and question == asked:
            worth += later
        later, asked = worth, question
        found.append(worth)
    return found[::-1]


def _of_entry(
    record: Recorded,
    held: dict[str, frozenset[str]],
    owner: dict[str, str],
    gone: frozenset[str],
) -> float:
    """Of the entry that the decision wrote, as it is at the end."""
    entry_id = record.step.effect.entry_id
    operation = record.step.choice.action.operation
    if operation not in (MemoryOperation.ADD, MemoryOperation.UPDATE) or entry_id not in held:
        return 0.0
    facts = held[entry_id]
    if any(owner.get(fact) == entry_id for fact in facts):
        return _KEPT
    return _STALE if facts and facts <= gone else _PLACE


def _taken(truth: Truth, record: Recorded) -> frozenset[str]:
    """Needed facts of the entry that the decision replaced or deleted."""
    step = record.step
    action = step.choice.action
    if not step.effect.done or action.operation not in LTM_OPERATIONS[1:]:
        return frozenset()
    before = step.sight.ranked[int(action.argument)][0].entry
    return truth.facts_in(before.content) & truth.needed


def _owners(truth: Truth, entries: Sequence[MemoryEntry]) -> dict[str, str]:
    """The entry that is counted as the one that holds a needed fact: the first."""
    owner: dict[str, str] = {}
    for entry in sorted(entries, key=lambda entry: entry.entry_id):
        for fact in truth.facts_in(entry.content) & truth.needed:
            owner.setdefault(fact, entry.entry_id)
    return owner
