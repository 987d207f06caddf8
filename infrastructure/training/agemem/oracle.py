"""The best that the operations can do: a decider that knows the truth and what will be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from infrastructure.memory.agemem.actions import PASS, MemoryOperation, Moment, place_of
from infrastructure.memory.agemem.decider import Choice, Observation
from infrastructure.memory.agemem.features import FETCHES, THRESHOLDS
from infrastructure.memory.agemem.relevance import TermStatistics, relevance
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.episodes import Episode, Question, TurnKind
from infrastructure.training.agemem.rollout import Position
from infrastructure.training.agemem.truth import Truth

_ADD: Final = place_of(MemoryOperation.ADD, 1.0)
_FILTERS: Final = {
    threshold: place_of(MemoryOperation.FILTER, threshold) for threshold in THRESHOLDS
}
_FETCHES: Final = {count: place_of(MemoryOperation.RETRIEVE, count) for count in FETCHES}


class Oracle:
    """Knows the truth and what will be asked; what it cannot do, the operations cannot.

    It stores of each fact that a question needs the turn that the question finds best, and never
    what will be gone. Of the context it keeps what will be needed, and of all ways to filter and
    fetch for a question it goes the one that answers it with the fewest tokens.
    """

    def __init__(self) -> None:
        self._position: Position | None = None
        self._truth: Truth | None = None
        self._stored: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """How tables call it."""
        return "oracle"

    def follow(self, position: Position) -> None:
        """The next decisions are about this."""
        self._position = position
        if position.truth is not self._truth:
            self._truth = position.truth
            self._stored = _worth_storing(position.truth, position.memory.analyst)

    def decide(self, observation: Observation) -> Choice:
        """The action that the truth makes the best.

        Raises:
            RuntimeError: it was not told what is played.
        """
        if self._position is None:
            raise RuntimeError("an oracle must be told what is played: call follow() first")
        allowed = frozenset(np.flatnonzero(observation.allowed).tolist())
        if observation.moment is Moment.ARRIVAL:
            stores = self._position.number in self._stored and _ADD in allowed
            return Choice(_ADD if stores else PASS, reason="a question will need it" * stores)
        if observation.moment is Moment.CONTEXT:
            return Choice(_tidying(self._position, allowed), reason="what will be needed stays")
        return Choice(_answering(self._position, allowed), reason="nearest to the answer")


def _worth_storing(truth: Truth, analyst: TextAnalyst) -> frozenset[int]:
    """The numbers of the turns to store: the best one for each fact, as many as there is room for.

    Where there is no room for all, the questions that take the fewest places more come first.
    """
    finds = _best_turns(truth.episode, analyst)
    chosen: set[str] = set()
    missing = [
        frozenset(need.fact_id for need in question.needs) & finds.keys()
        for question in truth.episode.questions
    ]
    while missing := [facts for facts in missing if facts - chosen]:
        cheapest = min(missing, key=lambda facts: len(facts - chosen))
        if len(chosen | cheapest) > truth.episode.capacity:
            break
        chosen |= cheapest
    return frozenset(finds[fact] for fact in chosen)


def _best_turns(episode: Episode, analyst: TextAnalyst) -> dict[str, int]:
    """Of each fact that is asked for, the turn that its questions find best."""
    statistics = TermStatistics()
    for turn in episode.turns:
        statistics.add(analyst.of(turn.text))
    best: dict[str, tuple[float, int]] = {}
    for number, turn in enumerate(episode.turns):
        if turn.kind in (TurnKind.CHATTER, TurnKind.RETRACTION):
            continue
        asking = [one for one in episode.questions if turn.fact_id in _facts(one)]
        if not asking:
            continue
        text = [analyst.of(turn.text)]
        found = sum(float(relevance(analyst.of(one.text), text, statistics)[0]) for one in asking)
        best[turn.fact_id] = max(best.get(turn.fact_id, (0.0, number)), (found, number))
    return {fact: number for fact, (_, number) in best.items()}


def _facts(question: Question) -> frozenset[str]:
    return frozenset(need.fact_id for need in question.needs)


@dataclass(frozen=True, slots=True)
class _Piece:
    """An item that is in the context, or could be fetched into it."""

    text: str
    tokens: int
    relevance: float
    entry_id: str


def _pieces(position: Position) -> tuple[_Piece, ...]:
    memory = position.memory
    items, goal = memory.context.items, memory.context.goal
    values = (
        np.ones(len(items))
        if goal is None
        else relevance(goal, [item.analysis for item in items], memory.terms)
    )
    return tuple(
        _Piece(item.text, item.tokens, float(value), item.entry_id)
        for item, value in zip(items, values, strict=True)
    )


def _tidying(position: Position, allowed: Set[int]) -> int:
    """What leaves of the context what questions will need, and little else."""
    pieces = _pieces(position)
    ways = {PASS: pieces} | {
        place: tuple(piece for piece in pieces if piece.relevance >= threshold)
        for threshold, place in _FILTERS.items()
        if place in allowed
    }

    def worth(place: int) -> tuple[int, int]:
        left = _fitted(ways[place], position.memory.context.budget)
        facts = frozenset[str]().union(*(position.truth.facts_in(piece.text) for piece in left))
        return len(facts & position.truth.awaited), -sum(piece.tokens for piece in left)

    return max(ways, key=worth)


def _fitted(pieces: Sequence[_Piece], budget: int) -> Sequence[_Piece]:
    """What is left when the oldest gave way."""
    tokens = sum(piece.tokens for piece in pieces)
    for first, piece in enumerate(pieces):
        if tokens <= budget:
            return pieces[first:]
        tokens -= piece.tokens
    return ()


def _answering(position: Position, allowed: Set[int]) -> int:
    """The first action of the best way to filter, fetch and filter again; nothing if done."""
    memory, question = position.memory, position.truth.episode.questions[position.number]
    goal = memory.context.goal
    assert goal is not None, "what is asked is the goal"
    found = [held for held, _ in memory.index.recall(goal, max(FETCHES))]
    values = relevance(goal, [held.analysis for held in found], memory.terms)
    ranked = tuple(
        _Piece(held.analysis.text, held.analysis.tokens, float(value), held.entry.entry_id)
        for held, value in zip(found, values, strict=True)
    )
    ways = _ways(_pieces(position), ranked, memory.context.budget)
    best: tuple[float, ...] | None = None
    first = PASS
    for actions, pieces in ways:
        place = actions[0] if actions else PASS
        if place not in allowed:
            continue
        worth = (*_worth(question, pieces), -len(actions))
        if best is None or worth > best:
            best, first = worth, place
    return first


def _ways(
    held: tuple[_Piece, ...], ranked: tuple[_Piece, ...], budget: int
) -> Iterator[tuple[tuple[int, ...], tuple[_Piece, ...]]]:
    """All ways to filter, fetch and filter, each step or none, with what the context then holds."""
    for before, filtered in _filtered(held):
        for fetched, filled in _filled(filtered, ranked, budget):
            for after, left in _filtered(filled):
                yield before + fetched + after, left


def _filtered(pieces: tuple[_Piece, ...]) -> Iterator[tuple[tuple[int, ...], tuple[_Piece, ...]]]:
    yield (), pieces
    for threshold, place in _FILTERS.items():
        left = tuple(piece for piece in pieces if piece.relevance >= threshold)
        if len(left) < len(pieces):
            yield (place,), left


def _filled(
    pieces: tuple[_Piece, ...], ranked: tuple[_Piece, ...], budget: int
) -> Iterator[tuple[tuple[int, ...], tuple[_Piece, ...]]]:
    yield (), pieces
    held = {piece.entry_id for piece in pieces}
    for count, place in _FETCHES.items():
        filled, tokens = list(pieces), sum(piece.tokens for piece in pieces)
        for piece in ranked[:count]:
            if piece.entry_id not in held and tokens + piece.tokens <= budget:
                filled.append(piece)
                tokens += piece.tokens
        if len(filled) > len(pieces):
            yield (place,), tuple(filled)


def _worth(question: Question, pieces: Sequence[_Piece]) -> tuple[float, ...]:
    """Whether pieces answer a question, how much of what it needs they have, what they take."""
    texts = [piece.text for piece in pieces]
    met = sum(
        any(carrier in text for carrier in need.carriers for text in texts)
        for need in question.needs
    )
    stale = any(sentence in text for sentence in question.stale for text in texts)
    complete = met == len(question.needs) and not stale
    return complete, met, -stale, -sum(piece.tokens for piece in pieces)
