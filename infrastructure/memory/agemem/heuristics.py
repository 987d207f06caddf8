"""Hand-written deciders: what AgeMem does without its policy, and what the policy must beat.

Each reads the same numbers as the policy, by the names of `features.FEATURES`, and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import ACTIONS, PASS, MemoryOperation, Moment, place_of
from infrastructure.memory.agemem.decider import Choice, Decider, Observation
from infrastructure.memory.agemem.features import FETCHES, PLACES

_ADD: Final = place_of(MemoryOperation.ADD, 0.5)
_UPDATE: Final = place_of(MemoryOperation.UPDATE, 0)
_DELETE: Final = place_of(MemoryOperation.DELETE, 0)
_SUMMARY: Final = place_of(MemoryOperation.SUMMARY, 0.5)
_LASTING: Final = ("cue.state", "cue.possession", "cue.first_person")
_PASSING: Final = ("cue.past", "cue.modal", "cue.moment", "cue.report")
_CLIP: Final = 4.0  # of the features that count tokens and sum rarities


class KeepEverything:
    """Stores all that comes with one importance, so that the oldest goes first; recalls top k.

    Args:
        top_k: entries fetched for a question, one of the buckets of `retrieve`.

    Raises:
        InputError: there is no such bucket.
    """

    def __init__(self, top_k: int = 4) -> None:
        if top_k not in FETCHES:
            raise InputError(f"top_k is one of {FETCHES}, not {top_k!r}")
        self.top_k = top_k
        self._fetch = place_of(MemoryOperation.RETRIEVE, top_k)

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        return "fifo"

    def decide(self, observation: Observation) -> Choice:
        """Store what arrives, fetch once for what is asked."""
        if observation.moment is Moment.ARRIVAL and observation.allowed[_ADD]:
            return Choice(_ADD, importance=self.importance(observation), reason="all is stored")
        if observation.moment is Moment.QUESTION and not number(observation, "q.round"):
            return _first_allowed(observation, self._fetch, "the most relevant entries")
        return Choice(PASS, reason="nothing is shortened")

    def importance(self, observation: Observation) -> float:
        """What decides which entry goes first when memory is full, 0 to 1."""
        del observation  # all are equal
        return 0.5


class LongestTurns(KeepEverything):
    """As `KeepEverything`, but the shortest goes first."""

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        return "longest"

    def importance(self, observation: Observation) -> float:
        """The length in tokens."""
        return number(observation, "t.tokens") / _CLIP


class RarestWords(KeepEverything):
    """As `KeepEverything`, but what is made of common words goes first."""

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        return "rarest"

    def importance(self, observation: Observation) -> float:
        """The sum of the rarities of its words among what is stored."""
        return number(observation, "t.rarity_sum") / _CLIP


@dataclass(frozen=True, slots=True)
class CarefulNumbers:
    """What `Careful` goes by. The weights are of features (see `features.FEATURES`).

    The defaults were found on the generator's training episodes alone, by
    `benchmarks/agemem_tuning.py --episodes 8 --screen 3 --tries 120`, from numbers set by hand;
    `end_at` stayed the one set by hand: to delete on less gained nothing.

    Attributes:
        rarity, names, numbers: what is rare, named or counted is worth keeping.
        lasting, time: so are words of what stays so (possession, state, the first person), and
            times.
        familiar: to be like an entry is, too.
        answering: to follow a question is, too.
        passing: words of what passes make it less so: past, maybe, moments, hearsay.
        courtesy, asking: so do courtesies and questions.
        skip_below: importance below which nothing is stored.
        again_at: nearness of meaning to an entry from which on a text says again what it says, or
            anew: the later text takes its place.
        change_at: nearness from which on a text with a cue of change is news of that entry.
        clash_at: nearness from which on a text with other numbers is news of it without such a cue.
        end_at: nearness from which on a text with a cue of an end takes that entry back.
        tidy_at: share of the budget from which on the context is filtered.
        keep_above: relevance to the goal that an item must have to stay then.
        ask_above: relevance to a question that an item must have to stay beside what is fetched.
        least_score: relevance below which an entry is not fetched.
        within: share of the best entry's relevance below which an entry is not fetched.
    """

    rarity: float = 1.97
    names: float = 1.5
    numbers: float = 2.61
    lasting: float = 1.4
    time: float = 1.4
    familiar: float = 3.0
    answering: float = 0.0
    passing: float = 3.0
    courtesy: float = 0.23
    asking: float = 4.0
    skip_below: float = 0.29
    again_at: float = 0.55
    change_at: float = 0.35
    clash_at: float = 0.45
    end_at: float = 0.4
    tidy_at: float = 0.04
    keep_above: float = 0.1
    ask_above: float = 0.1
    least_score: float = 0.05
    within: float = 0.5


class Careful:
    """What an engineer would write down: weigh, skip, correct, take back, tidy up, fetch what fits.

    Args:
        numbers: its thresholds and weights.
    """

    def __init__(self, numbers: CarefulNumbers | None = None) -> None:
        self.numbers = numbers or CarefulNumbers()

    @property
    def name(self) -> str:
        """How tables and `explain` call it."""
        return "careful"

    def decide(self, observation: Observation) -> Choice:
        """One of the allowed actions, with the reason in words."""
        if observation.moment is Moment.ARRIVAL:
            return self._learn(observation)
        if observation.moment is Moment.CONTEXT:
            return self._tidy(observation)
        return self._prepare(observation)

    def importance(self, observation: Observation) -> float:
        """How much a text is worth keeping, 0 to 1."""
        mine = self.numbers
        weighed = (
            mine.rarity * number(observation, "t.rarity_sum")
            + mine.names * number(observation, "t.names")
            + mine.numbers * number(observation, "t.numbers")
            + mine.lasting * sum(number(observation, cue) for cue in _LASTING)
            + mine.time * number(observation, "cue.time")
            + mine.familiar * number(observation, "near1.cosine")
            + mine.answering * number(observation, "before.questions")
            - mine.passing * sum(number(observation, cue) for cue in _PASSING)
            - mine.courtesy * number(observation, "cue.courtesy")
            - mine.asking * number(observation, "t.questions")
        )
        return 1.0 / (1.0 + math.exp(-weighed))

    def _learn(self, observation: Observation) -> Choice:
        mine, allowed = self.numbers, observation.allowed
        near = number(observation, "near1.cosine")
        if number(observation, "near1.names_clash"):
            near = 0.0  # the likest entry is about somebody else
        clash = number(observation, "near1.numbers_clash")
        news_at = mine.change_at if number(observation, "cue.change") else mine.clash_at
        news = clash or number(observation, "cue.change")
        if number(observation, "cue.end") and near >= mine.end_at and allowed[_DELETE]:
            return Choice(_DELETE, reason="it takes back what the likest entry says")
        if news and near >= news_at and allowed[_UPDATE]:
            return Choice(_UPDATE, reason="it is news of the likest entry")
        if near >= mine.again_at and allowed[_UPDATE]:
            return Choice(_UPDATE, reason="it says again, or anew, what the likest entry says")
        importance = self.importance(observation)
        if importance < mine.skip_below or not allowed[_ADD]:
            return Choice(PASS, reason=f"it is not stored, worth {importance:.2f}")
        return Choice(_ADD, importance=importance, reason=f"it is worth {importance:.2f}")

    def _tidy(self, observation: Observation) -> Choice:
        if number(observation, "c.used") < self.numbers.tidy_at:
            return Choice(PASS, reason="there is room in the context")
        place = _filter(self.numbers.keep_above)
        if observation.allowed[place]:
            return Choice(place, reason="what is not to the point gives way")
        if number(observation, "c.over"):
            return _first_allowed(observation, _SUMMARY, "the context is shortened to its gist")
        return Choice(PASS, reason="all in the context is to the point")

    def _prepare(self, observation: Observation) -> Choice:
        place = _filter(self.numbers.ask_above)
        if not number(observation, "q.round") and observation.allowed[place]:
            return Choice(place, reason="what is not to the question makes room")
        best = number(observation, "q.top1")
        least = max(self.numbers.least_score, self.numbers.within * best)
        if number(observation, "q.fetched") or best < least:
            return Choice(PASS, reason="what is to the point is there")
        relevant = [count for count in FETCHES if number(observation, f"q.top{count}") >= least]
        wanted = place_of(MemoryOperation.RETRIEVE, max(relevant, default=FETCHES[0]))
        return _first_allowed(observation, wanted, "the entries that are to the point")


def default_heuristic() -> Decider:
    """What decides while the policy is off or cannot be loaded."""
    return Careful()


def number(observation: Observation, name: str) -> float:
    """A feature by its name."""
    return float(observation.numbers[PLACES[name]])


def _filter(threshold: float) -> int:
    return place_of(MemoryOperation.FILTER, threshold)


def _first_allowed(observation: Observation, wanted: int, reason: str) -> Choice:
    """The wanted bucket or the next smaller one of its operation that is allowed; else nothing."""
    operation = ACTIONS[wanted].operation
    for place in range(wanted, PASS, -1):
        if ACTIONS[place].operation is operation and observation.allowed[place]:
            return Choice(place, reason=reason)
    return Choice(PASS, reason="nothing can be done")
