"""What the policy sees when a decision is due: the same numbers in training and in use.

A feature tells of the text that arrived or is asked, of what memory holds, and of the context. None
knows of the decision to come, of later turns or of later questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.actions import ACTIONS, OPERATIONS_AT, MemoryOperation, Moment
from infrastructure.memory.agemem.context import ContextItem, ContextKind, WorkingContext
from infrastructure.memory.agemem.cues import CUES
from infrastructure.memory.agemem.decider import Observation, Reading
from infrastructure.memory.agemem.index import EntryIndex, IndexedEntry, Scored
from infrastructure.memory.agemem.relevance import TermStatistics, relevance
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst

Floats = NDArray[np.float32]

FEATURES_VERSION: Final = 1
"""Rises when a feature means something else, though its name stays."""

THRESHOLDS: Final = tuple(
    action.argument for action in ACTIONS if action.operation is MemoryOperation.FILTER
)
FETCHES: Final = tuple(
    int(action.argument) for action in ACTIONS if action.operation is MemoryOperation.RETRIEVE
)
_NEAR: Final = 3
_SAME_SUBJECT: Final = 0.3
_RANKS: Final = (1, 2, 4, 8, 16)

_TEXT: Final = (
    "t.tokens",
    "t.terms",
    "t.names",
    "t.numbers",
    "t.new_share",
    "t.new_count",
    "t.rarity_mean",
    "t.rarity_sum",
    "t.questions",
    "t.exclaims",
    *(f"cue.{name}" for name in CUES),
)
_BEFORE: Final = (
    "before.tokens",
    "before.questions",
    "before.cosine",
    "before.shared",
)
_NEAREST: Final = tuple(
    f"near{rank + 1}.{name}"
    for rank in range(_NEAR)
    for name in (
        "score",
        "cosine",
        "shared",
        "covered",
        "names_shared",
        "names_clash",
        "numbers_clash",
        "importance",
    )
)
_CONTEXT: Final = (
    "c.used",
    "c.items",
    "c.over",
    *(f"c.below_{round(threshold * 100)}" for threshold in THRESHOLDS),
    "c.best",
    "c.mean",
    "c.last",
    "c.memories",
)
_QUESTION: Final = (
    *(f"q.top{rank}" for rank in _RANKS),
    *(f"q.fit{count}" for count in FETCHES),
    "q.named",
    "q.named_first",
    "q.round",
    "q.fetched",
)

FEATURES: Final = (
    *(f"moment.{moment}" for moment in Moment),
    *_TEXT,
    *_BEFORE,
    "m.fill",
    "m.full",
    "m.floor",
    *_NEAREST,
    *_CONTEXT,
    *_QUESTION,
)
"""The names of `Observation.numbers`, in their order."""

SENTENCE_FEATURES: Final = (
    "s.names",
    "s.numbers",
    "s.terms",
    "s.questions",
    "s.exclaims",
    *(f"s.cue.{name}" for name in CUES),
)
"""The names of the first numbers of a row of `Reading.sentences`; its vector follows."""

RELATION_FEATURES: Final = tuple(
    f"pair{rank + 1}.{name}"
    for rank in range(_NEAR)
    for name in (
        "cosine",
        "shared",
        "names_shared",
        "names_differ",
        "numbers_differ",
        "same_subject",
        "change",
        "end",
        "negation",
    )
)
"""The names of `Reading.relations`: of the two sentences that are most alike, one of what arrived
and one of an entry, how alike they are and in what they differ."""

POLICY_FEATURES: Final = FEATURES + RELATION_FEATURES
"""All the numbers of an observation that a policy takes, in their order."""

PLACES: Final = {name: place for place, name in enumerate(FEATURES)}
"""Where each feature stands."""

_AT: Final = {
    name: PLACES[first]
    for name, first in {
        "text": _TEXT[0],
        "before": _BEFORE[0],
        "memory": "m.fill",
        "nearest": _NEAREST[0],
        "context": _CONTEXT[0],
        "question": _QUESTION[0],
    }.items()
}


class Memory(Protocol):
    """What features are read from: an AgeMem whose working set is loaded."""

    @property
    def analyst(self) -> TextAnalyst: ...

    @property
    def context(self) -> WorkingContext: ...

    @property
    def index(self) -> EntryIndex: ...

    @property
    def terms(self) -> TermStatistics: ...

    @property
    def capacity(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """An observation, with what its actions refer to.

    Attributes:
        observation: what the decider sees.
        ranked: entries, the likest to what arrived or the most relevant to what is asked first.
    """

    observation: Observation
    ranked: Sequence[Scored] = ()


def see_arrival(memory: Memory, text: TextAnalysis, before: TextAnalysis | None = None) -> Sight:
    """What is seen when something was said or found out.

    Args:
        memory: what is known.
        text: what arrived.
        before: what arrived just before it; an answer tells more than what answers nothing.
    """
    ranked = memory.index.likest(text, _NEAR)
    numbers = _numbers(Moment.ARRIVAL)
    _put(numbers, "text", _text_features(text, memory.terms))
    if before is not None:
        _put(numbers, "before", _before_features(text, before))
    _put(numbers, "memory", _memory_features(memory))
    nearest = [value for held, score in ranked for value in _relation(text, held, score)]
    _put(numbers, "nearest", nearest)
    allowed = _allowed(Moment.ARRIVAL)
    for place, action in enumerate(ACTIONS):
        if action.operation in (MemoryOperation.UPDATE, MemoryOperation.DELETE):
            allowed[place] &= action.argument < len(ranked)
    return Sight(
        Observation(Moment.ARRIVAL, numbers, _reader(memory, text, ranked), allowed), ranked
    )


def see_context(memory: Memory, arrived: ContextItem) -> Sight:
    """What is seen when an item came into the working context."""
    context = memory.context
    items, relevances = context.items, _relevances(memory)
    numbers = _numbers(Moment.CONTEXT)
    _put(numbers, "text", _text_features(arrived.analysis, memory.terms))
    _put(numbers, "context", _context_features(context, items, relevances))
    allowed = _allowed(Moment.CONTEXT)
    _allow_context(allowed, context, items[:-1], relevances)
    observation = Observation(Moment.CONTEXT, numbers, _reader(memory, arrived.analysis), allowed)
    return Sight(observation)


def see_question(memory: Memory, question: TextAnalysis, round_: int, fetched: int) -> Sight:
    """What is seen when something is asked.

    Args:
        memory: its context's goal is the question.
        question: what is asked.
        round_: decisions already taken about it.
        fetched: entries already fetched for it.
    """
    context = memory.context
    items, relevances = context.items, _relevances(memory)
    held = {item.entry_id for item in items if item.entry_id}
    ranked = memory.index.recall(question, max(FETCHES))
    numbers = _numbers(Moment.QUESTION)
    _put(numbers, "text", _text_features(question, memory.terms))
    _put(numbers, "memory", _memory_features(memory))
    _put(numbers, "context", _context_features(context, items, relevances))
    _put(numbers, "question", _question_features(question, ranked, context, round_, fetched))
    allowed = _allowed(Moment.QUESTION)
    _allow_context(allowed, context, items, relevances)
    _allow_fetches(allowed, ranked, held, context.free)
    observation = Observation(Moment.QUESTION, numbers, _reader(memory, question), allowed)
    return Sight(observation, ranked)


def named(observation: Observation) -> dict[str, float]:
    """The features that are not 0, by name; with relations, if the decider read closely."""
    values = observation.numbers
    if observation.was_read:
        values = np.concatenate((values, observation.reading.relations))
    places: list[int] = np.flatnonzero(values).tolist()
    return {POLICY_FEATURES[place]: float(values[place]) for place in places}


def sentence_rows(analyst: TextAnalyst, text: TextAnalysis) -> Floats:
    """A text sentence by sentence: what each says beside greetings and asides counts for itself.

    Returns: float32[n, len(SENTENCE_FEATURES) + d], n from 1 to MOST_SENTENCES.
    """
    parts = analyst.sentences(text.text) or (text,)
    rows = np.empty((len(parts), len(SENTENCE_FEATURES) + len(text.vector)), dtype=np.float32)
    for row, part in zip(rows, parts, strict=True):
        row[: len(SENTENCE_FEATURES)] = _sentence_features(part)
        row[len(SENTENCE_FEATURES) :] = part.vector
    return rows


def _reader(
    memory: Memory, text: TextAnalysis, ranked: Sequence[Scored] = ()
) -> Callable[[], Reading]:
    def read() -> Reading:
        relations = np.zeros(len(RELATION_FEATURES), dtype=np.float32)
        each = len(RELATION_FEATURES) // _NEAR
        for rank, (held, _) in enumerate(ranked):
            relations[rank * each : (rank + 1) * each] = _pair_features(
                memory.analyst, text, held.analysis
            )
        return Reading(relations, sentence_rows(memory.analyst, text))

    return read


def _pair_features(
    analyst: TextAnalyst, text: TextAnalysis, other: TextAnalysis
) -> tuple[float, ...]:
    pairs = (
        (mine, its, float(mine.vector @ its.vector), len(mine.names & its.names))
        for mine in analyst.sentences(text.text) or (text,)
        for its in analyst.sentences(other.text) or (other,)
    )
    # Of the same subject first: what is alike of another one changes nothing.
    mine, its, cosine, names = max(pairs, key=lambda pair: pair[2] + _SAME_SUBJECT * bool(pair[3]))
    fewer = max(1, min(len(mine.telling), len(its.telling)))
    return (
        cosine,
        len(mine.telling & its.telling) / fewer,
        min(names / 2, 1.0),
        float(bool(mine.names - its.names) and bool(its.names - mine.names)),
        float(bool(mine.numbers) and bool(its.numbers) and mine.numbers != its.numbers),
        cosine * bool(names),
        *(min(mine.cues[cue] / 2, 2.0) for cue in ("change", "end", "negation")),
    )


def _sentence_features(sentence: TextAnalysis) -> tuple[float, ...]:
    return (
        min(len(sentence.names) / 3, 2.0),
        min(len(sentence.numbers) / 2, 2.0),
        min(len(sentence.telling) / 8, 2.0),
        min(float(sentence.text.count("?")), 2.0),
        min(float(sentence.text.count("!")), 2.0),
        *(min(count / 2, 2.0) for count in sentence.cues.values()),
    )


def _numbers(moment: Moment) -> Floats:
    numbers = np.zeros(len(FEATURES), dtype=np.float32)
    numbers[PLACES[f"moment.{moment}"]] = 1.0
    return numbers


def _put(numbers: Floats, group: str, values: Sequence[float]) -> None:
    first = _AT[group]
    numbers[first : first + len(values)] = values


def _text_features(text: TextAnalysis, terms: TermStatistics) -> list[float]:
    telling = text.telling
    rarities = [terms.rarity(term) for term in telling]
    new = sum(not terms.holding(term) for term in telling)
    total = sum(rarities)
    return [
        min(text.tokens / 64, 4.0),
        min(text.length / 32, 4.0),
        min(len(text.names) / 4, 2.0),
        min(len(text.numbers) / 4, 2.0),
        new / max(1, len(telling)),
        min(new / 16, 2.0),
        total / max(1, len(telling)) / 8,
        min(total / 64, 4.0),
        min(text.text.count("?") / 2, 2.0),
        min(text.text.count("!") / 2, 2.0),
        *(min(count / 3, 2.0) for count in text.cues.values()),
    ]


def _before_features(text: TextAnalysis, before: TextAnalysis) -> list[float]:
    return [
        min(before.tokens / 64, 4.0),
        min(before.text.count("?") / 2, 2.0),
        float(text.vector @ before.vector),
        len(text.telling & before.telling) / max(1, len(text.telling)),
    ]


def _memory_features(memory: Memory) -> list[float]:
    fill = len(memory.index) / memory.capacity
    least = memory.index.least_important()
    return [fill, float(fill >= 1), least.entry.importance if least else 0.0]


def _relation(text: TextAnalysis, held: IndexedEntry, score: float) -> tuple[float, ...]:
    """How what arrived stands to an entry."""
    other = held.analysis
    shared = len(text.telling & other.telling)
    names = len(text.names & other.names)
    return (
        score,
        float(text.vector @ other.vector),
        shared / max(1, len(text.telling)),
        shared / max(1, len(other.telling)),
        min(names / 2, 1.0),
        float(bool(text.names) and bool(other.names) and not names),
        float(bool(text.numbers) and bool(other.numbers) and text.numbers != other.numbers),
        held.entry.importance,
    )


def _relevances(memory: Memory) -> Floats:
    context = memory.context
    if context.goal is None:
        return np.ones(len(context.items), dtype=np.float32)
    return relevance(context.goal, [item.analysis for item in context.items], memory.terms)


def _context_features(
    context: WorkingContext, items: Sequence[ContextItem], relevances: Floats
) -> list[float]:
    if not items:
        return [0.0] * len(_CONTEXT)
    tokens = np.array([item.tokens for item in items], dtype=np.float32)
    total = float(tokens.sum())
    memories = sum(item.tokens for item in items if item.kind is ContextKind.MEMORY)
    return [
        min(total / context.budget, 2.0),
        min(len(items) / 16, 2.0),
        float(total > context.budget),
        *(float(tokens[relevances < threshold].sum()) / total for threshold in THRESHOLDS),
        float(relevances.max()),
        float(relevances.mean()),
        float(relevances[-1]),
        memories / total,
    ]


def _question_features(
    question: TextAnalysis,
    ranked: Sequence[Scored],
    context: WorkingContext,
    round_: int,
    fetched: int,
) -> list[float]:
    named = [bool(question.names & held.analysis.names) for held, _ in ranked]
    scores = [score for _, score in ranked]
    tokens = [held.analysis.tokens for held, _ in ranked]
    room = max(1, context.free)
    return [
        *(scores[rank - 1] if rank <= len(scores) else 0.0 for rank in _RANKS),
        *(min(sum(tokens[:count]) / room, 4.0) for count in FETCHES),
        sum(named) / 8,
        # How far down the ranking the entries go on to be about who is asked for.
        (named.index(False) if False in named else len(named)) / 8,
        round_ / 4,
        min(fetched / 16, 2.0),
    ]


def _allowed(moment: Moment) -> NDArray[np.bool_]:
    return _ALLOWED_AT[moment].copy()


def _allow_context(
    allowed: NDArray[np.bool_],
    context: WorkingContext,
    span: Sequence[ContextItem],
    relevances: Floats,
) -> None:
    """Filtering must drop something, and a summary must be shorter than what it is made of."""
    tokens = sum(item.tokens for item in span)
    least = float(relevances.min()) if len(relevances) else 1.0
    for place, action in enumerate(ACTIONS):
        if action.operation is MemoryOperation.FILTER:
            allowed[place] &= least < action.argument
        elif action.operation is MemoryOperation.SUMMARY:
            allowed[place] &= tokens > action.argument * context.budget


def _allow_fetches(
    allowed: NDArray[np.bool_], ranked: Sequence[Scored], held: set[str], free: int
) -> None:
    """Fetching must bring something, and more than the next smaller bucket would."""
    smaller = 0
    for place, action in enumerate(ACTIONS):
        if action.operation is not MemoryOperation.RETRIEVE:
            continue
        count = int(action.argument)
        fits = any(
            entry.entry.entry_id not in held and entry.analysis.tokens <= free
            for entry, _ in ranked[:count]
        )
        allowed[place] &= fits and len(ranked) > smaller
        smaller = count


_ALLOWED_AT: Final = {
    moment: np.array(
        [
            action.operation is MemoryOperation.PASS or action.operation in operations
            for action in ACTIONS
        ]
    )
    for moment, operations in OPERATIONS_AT.items()
}
