"""What is played: a conversation, distractors, questions, and the exact truth about all of them.

An episode has three phases, after the AgeMem paper (Y. Yu et al., arXiv 2601.01885, 2026): what is
said fills long-term memory under a capacity limit; then the working context is cleared and fills
with what mostly is not to the point; then questions are answered from the context alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DIFFICULTY_VERSION: Final = 1
"""Rises when the same seed would give other episodes, or the grid changes."""


class TurnKind(StrEnum):
    """What a turn of the first phase does to what is true."""

    FACT = "fact"
    UPDATE = "update"
    RETRACTION = "retraction"
    RESTATEMENT = "restatement"
    CHATTER = "chatter"


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said in the first phase.

    Attributes:
        text: as it is said; it contains `evidence`.
        kind: what it does. In a replay a turn that is evidence for a question is a FACT, any other
            CHATTER.
        fact_id: the fact that it states anew, restates or takes back: one value of one attribute
            of one subject; "" for chatter.
        replaces: of an UPDATE, the id of the fact that is no longer true; of a RETRACTION, too.
        evidence: the sentence within `text` that carries the fact; "" where there is none.
        useful: whether some question could need it: chatter never.
    """

    text: str
    kind: TurnKind
    fact_id: str = ""
    replaces: str = ""
    evidence: str = ""
    useful: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that comes into the working context in the second phase.

    Attributes:
        text: as it comes; it contains `evidence`.
        evidence: the sentence that questions may need; "" for a distractor.
        fact_id: of the evidence.
    """

    text: str
    evidence: str = ""
    fact_id: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What a question needs: one of these sentences in the context says the fact.

    Attributes:
        fact_id: the fact.
        carriers: sentences that say it, of turns or arrivals; any one is enough.
    """

    fact_id: str
    carriers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Asked in the third phase.

    Attributes:
        text: the question.
        needs: all of these must be in the final context.
        stale: sentences that must not be: what was superseded or taken back of its subjects.
    """

    text: str
    needs: tuple[Need, ...]
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difficulty:
    """One cell of the grid; each of the five is easy or hard.

    Attributes:
        capacity: entries of long-term memory for each fact that is useful in the end.
        budget: tokens of the working context.
        distractors: arrivals of the second phase that no question needs.
        updates: share of facts that are superseded or taken back later.
        paraphrase: whether restatements and questions use other words than statements.
    """

    capacity: float
    budget: int
    distractors: int
    updates: float
    paraphrase: bool


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode with its truth.

    Attributes:
        episode_id: names it; the same id is the same episode.
        turns: the first phase.
        goal: what the second phase is about; it is told before the first arrival.
        arrivals: the second phase.
        questions: the third; each is asked from the context that the second phase left.
        capacity: entries that long-term memory may hold.
        budget: tokens that the working context may hold.
        difficulty: the cell it was made for; None for a replay.
    """

    episode_id: str
    turns: tuple[Turn, ...]
    goal: str
    arrivals: tuple[Arrival, ...]
    questions: tuple[Question, ...]
    capacity: int
    budget: int
    difficulty: Difficulty | None = None
