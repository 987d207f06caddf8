"""The truth of an episode, as it stands in memory and in a context: no model judges anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.agemem.context import ContextItem
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.training.agemem.episodes import Episode, Question, TurnKind

USELESS: Final = -0.5
STALE: Final = -2.0
"""What an entry is worth that nobody needs, and one that is no longer true, where a needed one is
worth 1: a useless one takes a place, a stale one spoils the answers it gets into."""

_TOKENS: Final = 0.1


@dataclass(frozen=True, slots=True)
class MemoryJudgement:
    """What long-term memory holds.

    Attributes:
        entries: how many.
        useful: of them, those that alone hold a fact that a question could need.
        stale: of them, those that hold only what is no longer true.
        needed: facts that a question could need.
        held: of them, those in some entry.
    """

    entries: int
    useful: int
    stale: int
    needed: int
    held: int

    @property
    def quality(self) -> float:
        """The share of entries that are useful; 1 of an empty memory when nothing is needed."""
        if not self.entries:
            return float(not self.needed)
        return self.useful / self.entries

    @property
    def coverage(self) -> float:
        """The share of needed facts that are held."""
        return self.held / self.needed if self.needed else 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a context answers a question.

    Attributes:
        needs, met: facts that it needs, and those of them in the context.
        stale: whether the context also says what is no longer true.
        tokens: that the context takes.
        fits: whether these are within the budget.
    """

    needs: int
    met: int
    stale: bool
    tokens: int
    fits: bool

    @property
    def success(self) -> bool:
        """Whether all that is needed is there, nothing stale, and within the budget."""
        return self.met == self.needs and not self.stale and self.fits

    @property
    def recall(self) -> float:
        """The share of what is needed that is there within the budget."""
        return self.met / self.needs if self.needs and self.fits else float(not self.needs)


class Truth:
    """Which facts a text says, and which of them are needed or gone.

    A fact is in a text when one of the sentences that carry it is in it, word by word. Facts that
    are needed are those of useful turns that are still true at the end.
    """

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self._facts: dict[str, frozenset[str]] = {}
        self._carriers: dict[str, str] = {}
        self._gone_since: dict[str, int] = {}
        for number, turn in enumerate(episode.turns):
            if turn.replaces:
                self._gone_since.setdefault(turn.replaces, number)
            if turn.kind in _STATING and turn.evidence:
                self._carriers[turn.evidence] = turn.fact_id
        for arrival in episode.arrivals:
            if arrival.evidence:
                self._carriers[arrival.evidence] = arrival.fact_id
        for turn in episode.turns:
            stated = turn.kind in _STATING and turn.fact_id
            self._facts[turn.text] = frozenset({turn.fact_id} if stated else ())
        for arrival in episode.arrivals:
            self._facts[arrival.text] = frozenset({arrival.fact_id} if arrival.evidence else ())
        self.useful = frozenset(turn.fact_id for turn in episode.turns if turn.useful)
        self.needed = self.useful - self._gone_since.keys()
        in_questions = {need.fact_id for asked in episode.questions for need in asked.needs}
        self.awaited = frozenset(
            arrival.fact_id for arrival in episode.arrivals if arrival.fact_id in in_questions
        )

    def facts_in(self, text: str) -> frozenset[str]:
        """The facts whose carrying sentence is in a text."""
        known = self._facts.get(text)
        if known is None:
            known = frozenset(fact for sentence, fact in self._carriers.items() if sentence in text)
            self._facts[text] = known
        return known

    def gone(self, after: int | None = None) -> frozenset[str]:
        """Facts superseded or taken back by the turns up to and with number `after`, or by all."""
        if after is None:
            return frozenset(self._gone_since)
        return frozenset(fact for fact, since in self._gone_since.items() if since <= after)

    def judge_memory(self, entries: Iterable[MemoryEntry]) -> MemoryJudgement:
        """What entries are worth at the end of the episode."""
        gone = self.gone()
        held: set[str] = set()
        count = useful = stale = 0
        for entry in entries:
            facts = self.facts_in(entry.content)
            new = (facts & self.needed) - held
            held |= new
            count += 1
            useful += bool(new)
            stale += bool(facts) and facts <= gone
        return MemoryJudgement(count, useful, stale, len(self.needed), len(held))

    def answer(self, question: Question, items: Sequence[ContextItem]) -> Answer:
        """Whether a context answers a question."""
        texts = [item.text for item in items]
        met = sum(
            any(carrier in text for carrier in need.carriers for text in texts)
            for need in question.needs
        )
        stale = any(sentence in text for sentence in question.stale for text in texts)
        tokens = sum(item.tokens for item in items)
        return Answer(len(question.needs), met, stale, tokens, tokens <= self.episode.budget)

    def memory_worth(self, entries: Iterable[MemoryEntry], after: int | None = None) -> float:
        """What entries are worth after a turn: 1 for a needed fact, less for others, by importance.

        A fact that is superseded only later is needed until then.
        """
        gone = self.gone(after)
        needed = self.useful - gone
        held: set[str] = set()
        worth = 0.0
        for entry in entries:
            facts = self.facts_in(entry.content)
            new = (facts & needed) - held
            held |= new
            value = 1.0 if new else STALE if facts and facts <= gone else USELESS
            worth += value * entry.importance
        return worth

    def context_worth(self, items: Sequence[ContextItem], question: Question | None) -> float:
        """What a context is worth for a question, or before any, for all that are to come."""
        used = sum(item.tokens for item in items) / self.episode.budget
        if question is not None:
            answer = self.answer(question, items)
            return answer.recall + answer.success - answer.stale - _TOKENS * used
        facts = frozenset[str]().union(*(self.facts_in(item.text) for item in items))
        return len(facts & self.awaited) - _TOKENS * used


_STATING: Final = frozenset({TurnKind.FACT, TurnKind.UPDATE, TurnKind.RESTATEMENT})
