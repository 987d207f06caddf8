"""Operates a memory as a decider says: what to store, and what to have at hand for an answer.

Training plays its episodes through this class, so that a policy is used as it was trained.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.errors import GenesisError, InputError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.agemem.actions import ACTIONS, PASS, Action, MemoryOperation, Moment
from infrastructure.memory.agemem.context import ContextItem, ContextKind
from infrastructure.memory.agemem.decider import Choice, Decider, Decision
from infrastructure.memory.agemem.entries import RetrievedEntry
from infrastructure.memory.agemem.features import (
    Sight,
    named,
    see_arrival,
    see_context,
    see_question,
)
from infrastructure.memory.agemem.operations import AgeMem

ALL_OPERATIONS: Final = frozenset(MemoryOperation)
MOST_ROUNDS: Final = 4
_ABOUT: Final = 120
_ALTERNATIVES: Final = 3
_LEAST_LIKELY: Final = 0.005


@dataclass(frozen=True, slots=True)
class Effect:
    """What an operation did.

    Attributes:
        done: whether it had its effect.
        words: what that was, or why not.
        entry_id: of the entry that was added, changed or deleted.
        retrieved: what was fetched, the most relevant first; not all of it need fit.
        dropped: what left the context.
        input_tokens, output_tokens: of what was summarised, and of its summary.
        original_count: items that were filtered.
        latency_ms: of the operation alone.
    """

    done: bool
    words: str
    entry_id: str = ""
    retrieved: Sequence[RetrievedEntry] = ()
    dropped: Sequence[ContextItem] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    original_count: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """A decision that was taken: what was seen, chosen and done."""

    about: str
    sight: Sight
    choice: Choice
    effect: Effect

    def decision(self, decided_by: str) -> Decision:
        """As `explain` shows it."""
        probabilities = self.choice.probabilities
        alternatives: dict[str, float] = {}
        if probabilities is not None:
            order = sorted(range(len(ACTIONS)), key=lambda place: -float(probabilities[place]))
            others = [place for place in order if place != self.choice.place][:_ALTERNATIVES]
            alternatives = {
                str(ACTIONS[place]): float(probabilities[place])
                for place in others
                if probabilities[place] >= _LEAST_LIKELY
            }
        chosen = None if probabilities is None else float(probabilities[self.choice.place])
        return Decision(
            moment=self.sight.observation.moment,
            about=self.about[:_ABOUT],
            action=str(self.choice.action),
            decided_by=decided_by,
            reason=self.choice.reason,
            probability=chosen,
            alternatives=alternatives,
            features=named(self.sight.observation),
            done=self.effect.done,
            effect=self.effect.words,
        )


Listener = Callable[[Step], None]


class MemoryManager:
    """One memory in the hands of one decider.

    An operation that fails leaves everything as it was and says why in its effect; nothing raises
    but wrong arguments. Not for several tasks at once: the working context is one.

    Args:
        memory: what is operated.
        decider: says how.
        on_step: is told of every decision once it is carried out.
        operations: those that may be used; the others are never offered.
        max_rounds: decisions about one question, at most.

    Raises:
        InputError: max_rounds is below 1.
    """

    def __init__(
        self,
        memory: AgeMem,
        decider: Decider,
        *,
        on_step: Listener | None = None,
        operations: Collection[MemoryOperation] = ALL_OPERATIONS,
        max_rounds: int = MOST_ROUNDS,
    ) -> None:
        if max_rounds < 1:
            raise InputError(f"max_rounds is at least 1, not {max_rounds}")
        self.memory = memory
        self.decider = decider
        self._on_step = on_step
        self._barred = [
            place
            for place, action in enumerate(ACTIONS)
            if place != PASS and action.operation not in operations
        ]
        self._max_rounds = max_rounds

    async def learn(
        self,
        text: str,
        metadata: JsonObject | None = None,
        memory_type: str = "semantic",
        *,
        before: str | None = None,
    ) -> Step:
        """Decide what becomes of something that was said or found out, and do it.

        Args:
            text: what arrived.
            metadata, memory_type: of its entry, if it is stored.
            before: what was said just before it, if that is known.
        """
        await self.memory.ready()
        analyst = self.memory.analyst
        said_before = analyst.of(before) if before else None
        sight = see_arrival(self.memory, analyst.of(text), said_before)
        choice = self._choose(sight)
        return await self._take(text, sight, choice, self._keep(text, metadata, memory_type))

    async def attend(self, text: str) -> Step:
        """Take something into the working context, decide what becomes of it, and make it fit."""
        await self.memory.ready()
        context = self.memory.context
        arrived = context.append(self.memory.analyst.of(text))
        sight = see_context(self.memory, arrived)
        step = await self._take(text, sight, self._choose(sight), self._shape)
        context.fit()
        return step

    async def recall(self, question: str) -> list[Step]:
        """Bring into the working context what a question needs; it becomes the context's goal."""
        await self.memory.ready()
        asked = self.memory.analyst.of(question)
        self.memory.context.goal = asked
        steps: list[Step] = []
        fetched = 0
        while len(steps) < self._max_rounds:
            sight = see_question(self.memory, asked, len(steps), fetched)
            choice = self._choose(sight)
            steps.append(await self._take(question, sight, choice, self._shape))
            fetched += len(steps[-1].effect.retrieved)
            if choice.place == PASS:
                break
        self.memory.context.fit()
        return steps

    def _choose(self, sight: Sight) -> Choice:
        sight.observation.allowed[self._barred] = False
        return self.decider.decide(sight.observation)

    async def _take(self, about: str, sight: Sight, choice: Choice, do: _Doing) -> Step:
        if choice.place == PASS:
            effect = Effect(True, "nothing")
        else:
            try:
                effect = await do(sight, choice)
            except GenesisError as error:
                effect = Effect(False, f"{choice.action.operation} failed: {error}")
        step = Step(about, sight, choice, effect)
        if self._on_step is not None:
            self._on_step(step)
        return step

    def _keep(self, text: str, metadata: JsonObject | None, memory_type: str) -> _Doing:
        async def keep(sight: Sight, choice: Choice) -> Effect:
            action, began = choice.action, time.perf_counter()
            if action.operation is MemoryOperation.ADD:
                importance = action.argument if choice.importance is None else choice.importance
                entry_id = await self.memory.add(
                    text, metadata, memory_type, importance=importance, reason=choice.reason
                )
                words = (
                    f"stored as {entry_id} with importance {importance:.2f}"
                    if entry_id
                    else "not stored: memory is full of what is more important"
                )
                return Effect(bool(entry_id), words, entry_id, latency_ms=_since(began))
            entry = sight.ranked[int(action.argument)][0].entry
            if action.operation is MemoryOperation.UPDATE:
                done = await self.memory.update(
                    entry.entry_id, text, metadata, reason=choice.reason
                )
                words = f"replaced in {entry.entry_id}: {entry.content[:_ABOUT]!r}"
            else:
                done = await self.memory.delete(entry.entry_id, reason=choice.reason)
                words = f"dropped {entry.entry_id}: {entry.content[:_ABOUT]!r}"
            if not done:
                words = f"{entry.entry_id} is no longer there"
            return Effect(done, words, entry.entry_id, latency_ms=_since(began))

        return keep

    async def _shape(self, sight: Sight, choice: Choice) -> Effect:
        """Change the working context: fetch into it, filter it, or summarise it."""
        action = choice.action
        if action.operation is MemoryOperation.RETRIEVE:
            return await self._fetch(action)
        if action.operation is MemoryOperation.FILTER:
            return await self._filter(action)
        return await self._summarise(sight, action)

    async def _fetch(self, action: Action) -> Effect:
        context, began = self.memory.context, time.perf_counter()
        assert context.goal is not None, "what is asked is the goal"
        found = await self.memory.retrieve(context.goal.text, int(action.argument))
        latency_ms = _since(began)
        held = {item.entry_id for item in context.items}
        taken = 0
        for retrieved in found:
            analysis = self.memory.analyst.of(retrieved.entry.content)
            if retrieved.entry.entry_id not in held and analysis.tokens <= context.free:
                context.append(
                    analysis,
                    ContextKind.MEMORY,
                    entry_id=retrieved.entry.entry_id,
                    relevance=retrieved.score,
                )
                taken += 1
        words = f"fetched {len(found)}, of which {taken} are new and fit"
        return Effect(bool(found), words, retrieved=found, latency_ms=latency_ms)

    async def _filter(self, action: Action) -> Effect:
        context, began = self.memory.context, time.perf_counter()
        count = len(context.items)
        kept = await self.memory.filter(context.items, action.argument)
        latency_ms = _since(began)
        dropped = context.keep(kept)
        words = f"dropped {len(dropped)} of {count} items less relevant than {action.argument:g}"
        return Effect(
            bool(dropped), words, dropped=dropped, original_count=count, latency_ms=latency_ms
        )

    async def _summarise(self, sight: Sight, action: Action) -> Effect:
        context, began = self.memory.context, time.perf_counter()
        last = sight.observation.moment is Moment.CONTEXT
        span = context.items[:-1] if last else context.items
        given = sum(item.tokens for item in span)
        room = max(1, int(action.argument * context.budget))
        short = await self.memory.summary(span, max_tokens=room)
        latency_ms = _since(began)
        if not short:
            return Effect(False, f"no summary fits {room} tokens", latency_ms=latency_ms)
        summary = context.replace(span, self.memory.analyst.of(short))
        return Effect(
            True,
            f"{len(span)} items of {given} tokens became one of {summary.tokens}",
            dropped=span,
            input_tokens=given,
            output_tokens=summary.tokens,
            latency_ms=latency_ms,
        )


_Doing = Callable[[Sight, Choice], Awaitable[Effect]]


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
