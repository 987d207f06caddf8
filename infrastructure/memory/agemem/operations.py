"""AgeMem: long-term memory in any LangGraph store and the working context, by six operations.

memory = AgeMem(store, capacity=500, context_tokens=2048)
entry_id = await memory.add("Ada moved to Oslo", importance=0.8)
found = await memory.retrieve("where does Ada live?", top_k=3)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from infrastructure.clock import Clock, SystemClock
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import ModelError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.agemem import checks, summarizer
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.memory.agemem.analysing import analysed
from infrastructure.memory.agemem.context import MOST_TOKENS, WorkingContext
from infrastructure.memory.agemem.context_filter import Criteria, chosen, relevances
from infrastructure.memory.agemem.context_items import items_of, texts_of
from infrastructure.memory.agemem.entries import (
    Change,
    MemoryEntry,
    MemorySnapshot,
    RetrievedEntry,
)
from infrastructure.memory.agemem.entry_store import EntryStore
from infrastructure.memory.agemem.ids import CountedClock, CountedIds, SortableIds
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.likeness import Likeness, LikenessKind, compare
from infrastructure.memory.agemem.long_term import Draft, LongTerm
from infrastructure.memory.agemem.relevance import TermStatistics
from infrastructure.memory.agemem.tally import AgeMemStatistics, Tally, read_only
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst
from infrastructure.memory.memori.filter_match import matches
from infrastructure.memory.memori.filters import parse
from infrastructure.models.usage import estimate_tokens

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

    from infrastructure.models.chat import ChatModel

T = TypeVar("T")
Item = TypeVar("Item")

_logger = logging.getLogger(__name__)

_JOURNAL = 10_000
_COMPARED = 16
_FIRST = (LikenessKind.CONTRADICTION, LikenessKind.DUPLICATE, LikenessKind.RELATED)
_CHOSEN_AT_ONCE = 200
_MOST_RETRIEVED = 10_000
_MOST_LISTED = 10_000


class AgeMem:
    """One memory: long-term entries in a store, and a working context.

    Several coroutines of one event loop may use it at once. Other processes may write the same
    namespace: what `retrieve`, `update` and `delete` touch is read from the store; entries that
    others added are found after `refresh`.

    Args:
        store: any LangGraph BaseStore; whoever opened it closes it.
        namespace: entries are under (*namespace, "entries"), changes under (*namespace, "changes").
        capacity: entries at most. When they are as many, the least important goes, of equal ones
            the oldest; what is less important than all of them is not stored.
        context_tokens: the budget of the working context.
        analyst: analyses texts; None for one with the built-in embedder.
        model: writes summaries; None chooses sentences.
        source: who writes, in entries and changes.
        clock: the time written.
        new_id: gives ids that sort by creation. With CountedIds, and a CountedClock, what follows
            a `restore` is the same each time.
        journal: changes kept for `changes` and `undo`, the newest; 0 for none.

    Raises:
        InputError: an argument is of no use.
    """

    def __init__(
        self,
        store: BaseStore,
        *,
        namespace: tuple[str, ...] = ("agemem",),
        capacity: int = 1000,
        context_tokens: int = 4096,
        analyst: TextAnalyst | None = None,
        model: ChatModel | None = None,
        source: str = "agemem",
        clock: Clock | None = None,
        new_id: Callable[[], str] | None = None,
        journal: int = _JOURNAL,
    ) -> None:
        self.namespace = checks.namespace(namespace)
        self.capacity = checks.count(capacity, "capacity")
        self.context = WorkingContext(
            checks.count(context_tokens, "context_tokens", most=MOST_TOKENS)
        )
        self.analyst = analyst or TextAnalyst(BuiltinEmbedder())
        self.terms = TermStatistics()
        self.index = EntryIndex(self.terms)
        self._model = checks.model(model)
        self._clock = clock or SystemClock()
        self._new_id = new_id or SortableIds(self._clock)
        self._tally = Tally()
        kept = checks.count(journal, "journal", least=0)
        self._entries = EntryStore(store, self.namespace, kept)
        self._memory = LongTerm(
            self._entries,
            self.index,
            self.analyst,
            capacity=self.capacity,
            clock=self._clock,
            new_id=self._new_id,
            source=checks.text(source, "source", most=checks.MOST_WORDS),
        )

    def with_context(self, tokens: int) -> AgeMem:
        """The same long-term memory beside another working context, for a second conversation.

        Args:
            tokens: the budget of the new context, which holds nothing yet.

        Raises:
            InputError: as `WorkingContext`.
        """
        other = copy(self)
        other.context = WorkingContext(tokens)
        return other

    async def ready(self) -> None:
        """Load the working set, once: at most the capacity, the most important first.

        Raises:
            StoreError: the store failed.
        """
        await self._memory.ready()

    async def refresh(self) -> None:
        """Load the working set again, as other processes may have changed it; raises as `ready`."""
        await self._memory.refresh()

    async def add(
        self,
        content: str,
        metadata: JsonObject | None = None,
        memory_type: str = "semantic",
        *,
        importance: float = 0.5,
        reason: str = "",
    ) -> str:
        """Remember something.

        Args:
            content: 1 to 100,000 characters.
            metadata: plain JSON, for `retrieve` to filter by.
            memory_type: one of entries.MEMORY_TYPES, or another word.
            importance: 0 to 1.
            reason: why, for the journal.

        Returns:
            The new entry's id; "" when it was not stored because memory is full of what is more
            important.

        Raises:
            InputError: an argument is of no use.
            StoreError: the store failed.
        """
        return await self._counted(
            MemoryOperation.ADD,
            lambda: self._memory.add(_draft(content, metadata, memory_type, importance, reason)),
        )

    async def update(
        self,
        entry_id: str,
        content: str,
        metadata: JsonObject | None = None,
        *,
        importance: float | None = None,
        reason: str = "",
    ) -> bool:
        """Change what an entry says; metadata and importance stay unless given.

        Returns:
            False if there is no entry of that id.

        Raises:
            InputError, StoreError: as `add`.
        """
        return await self._counted(
            MemoryOperation.UPDATE,
            lambda: self._memory.update(
                checks.entry_id(entry_id),
                _draft(content, metadata, "semantic", importance, reason),
            ),
        )

    async def delete(self, entry_id: str, *, reason: str = "") -> bool:
        """Forget an entry; False if there is none of that id. Raises as `add`."""
        return await self._counted(
            MemoryOperation.DELETE,
            lambda: self._memory.delete(checks.entry_id(entry_id), _reason(reason)),
        )

    async def retrieve(
        self,
        query: str,
        top_k: int = 5,
        metadata_filter: Mapping[str, Any] | None = None,
    ) -> list[RetrievedEntry]:
        """The entries that are most relevant to a query, the best first.

        Args:
            query: what is looked for, in words.
            top_k: entries at most.
            metadata_filter: only entries whose metadata matches, as filters of LangGraph's stores
                do: {"topic": "travel", "year": {"$gte": 2026}}.

        Raises:
            InputError, StoreError: as `add`.
        """
        return await self._counted(
            MemoryOperation.RETRIEVE, lambda: self._retrieve(query, top_k, metadata_filter)
        )

    async def summary(
        self,
        context: object,
        *,
        max_tokens: int | None = None,
        goal: str | None = None,
    ) -> str:
        """Shorten a text, or the texts of items, to what matters.

        The chat model writes it, if there is one and the text does not fit anyway; if that fails,
        or there is none, sentences are chosen: relevant to the goal, new, and statements rather
        than courtesies; verbatim and in their order.

        Args:
            context: a str, or a sequence of strs, items of a context, messages or entries.
            max_tokens: of the summary; None for half of what is given.
            goal: what it is needed for; None for the context's goal.

        Returns:
            "" only if nothing was given. If not even one sentence fits, the beginning of the best.

        Raises:
            InputError: an argument is of no use.
        """
        return await self._counted(
            MemoryOperation.SUMMARY, lambda: self._summary(context, max_tokens, goal)
        )

    async def filter(
        self,
        context: Sequence[Item],
        relevance_threshold: float = 0.5,
        *,
        goal: str | None = None,
        criteria: Criteria | None = None,
    ) -> list[Item]:
        """The items that are relevant enough and meet the criteria, in their order.

        Nothing is changed: `memory.context.keep(kept)` drops the others from the working context.

        Args:
            context: strs, items of a context, messages, entries or dicts with a text.
            relevance_threshold: the least relevance that stays, 0 to 1.
            goal: what they are judged by; None for the context's goal. Without either, an item is
                judged by the relevance that it was found with, and stays if it has none.
            criteria: a function of an item, or a filter of its metadata as `retrieve` takes.

        Raises:
            InputError: an argument is of no use.
        """
        return await self._counted(
            MemoryOperation.FILTER,
            lambda: self._filter(context, relevance_threshold, goal, criteria),
        )

    async def likeness(self, content: str) -> list[Likeness]:
        """The entries that a text repeats, contradicts or is related to, the likest first.

        Contradictions come first, then near duplicates: they are what an `update` is due for.

        Raises:
            InputError, StoreError: as `add`.
        """
        (analysis,) = await analysed(self.analyst, [checks.text(content, "the content")])
        await self._memory.ready()
        found: list[Likeness] = []
        for held, score in self.index.likest(analysis, _COMPARED):
            stands = compare(analysis, held.analysis)
            if stands is not None:
                found.append(Likeness(held.entry, stands[0], score, stands[1]))
        return sorted(found, key=lambda each: _FIRST.index(each.kind))

    async def changes(self, entry_id: str | None = None, limit: int = 100) -> list[Change]:
        """The newest changes, of one entry or of all, the newest first. Raises as `add`."""
        known = None if entry_id is None else checks.entry_id(entry_id)
        return await self._memory.changes(known, checks.count(limit, "limit", most=_MOST_LISTED))

    async def undo(self, change_id: str, *, reason: str = "") -> Change:
        """Make an entry exactly what it was before a change; returns this, itself a change.

        Raises:
            InputError: no such change is kept, or memory is full of what is more important.
            VersionConflict: the entry was changed since; undo the later changes first.
            StoreError: the store failed.
        """
        done = await self._memory.undo(checks.entry_id(change_id, "a change's id"), _reason(reason))
        self._tally.undone += 1
        return done

    async def snapshot(self) -> MemorySnapshot:
        """What memory and context hold now, to `restore` exactly. Raises as `ready`."""
        await self._memory.ready()
        held = list(self.index)
        return MemorySnapshot(
            entries=tuple(each.entry for each in held),
            context=self.context.snapshot(),
            analyses=tuple(each.analysis for each in held),
            ids_given=self._new_id.count if isinstance(self._new_id, CountedIds) else None,
            times_asked=self._clock.count if isinstance(self._clock, CountedClock) else None,
        )

    async def restore(self, snapshot: MemorySnapshot, *, reason: str | None = None) -> None:
        """Hold exactly what a snapshot holds, in this namespace's part of the store, too.

        Args:
            snapshot: of this memory or another one with vectors of the same embedder.
            reason: notes each difference in the journal; None notes nothing.

        Raises:
            InputError: it has more entries than this memory's capacity.
            StoreError: the store failed.
        """
        given = None if reason is None else _reason(reason)
        pairs = list(zip(snapshot.entries, snapshot.analyses, strict=True))
        await self._memory.become(pairs, given)
        self.context.restore(snapshot.context)
        if snapshot.ids_given is not None and isinstance(self._new_id, CountedIds):
            self._new_id.count = snapshot.ids_given
        if snapshot.times_asked is not None and isinstance(self._clock, CountedClock):
            self._clock.count = snapshot.times_asked

    def statistics(self) -> AgeMemStatistics:
        """What it holds, and what it has done since it was opened."""
        tally = self._tally
        return AgeMemStatistics(
            entries=len(self.index),
            capacity=self.capacity,
            beyond_capacity=self._memory.beyond,
            unreadable=self._entries.unreadable,
            tokens=sum(held.analysis.tokens for held in self.index),
            context_tokens=self.context.tokens,
            context_budget=self.context.budget,
            operations=read_only(tally.operations),
            failures=read_only(tally.failures),
            refusals=self._memory.refusals,
            evictions=self._memory.evictions,
            retrieved=tally.retrieved,
            summarised_tokens=tally.summarised_tokens,
            summary_tokens=tally.summary_tokens,
            model_summaries=tally.model_summaries,
            model_failures=tally.model_failures,
            filtered_items=tally.filtered_items,
            dropped_items=tally.dropped_items,
            undone=tally.undone,
        )

    async def _retrieve(
        self, query: str, top_k: int, metadata_filter: Mapping[str, Any] | None
    ) -> list[RetrievedEntry]:
        asked = checks.text(query, "the query")
        most = checks.count(top_k, "top_k", most=_MOST_RETRIEVED)
        fits = _fitting(metadata_filter)
        (analysis,) = await analysed(self.analyst, [asked])
        found = await self._memory.retrieve(analysis, most, fits)
        self._tally.retrieved += len(found)
        return found

    async def _summary(self, context: object, max_tokens: int | None, goal: str | None) -> str:
        texts = texts_of(context)
        parts = summarizer.split(texts)
        if max_tokens is not None:
            checks.count(max_tokens, "max_tokens")
        aim = await self._goal(goal)
        if not parts:
            return ""
        given = estimate_tokens("\n".join(texts))
        room = max(1, given // 2) if max_tokens is None else max_tokens
        short = ""
        if self._model is not None and given > room:
            if given > summarizer.MOST_ASKED:
                texts = [await self._extracted(parts, summarizer.MOST_ASKED, aim)]
            short = await self._asked(self._model, texts, room, aim)
        if not short:
            short = await self._extracted(parts, room, aim)
        self._tally.summarised_tokens += given
        self._tally.summary_tokens += estimate_tokens(short)
        return short

    async def _asked(
        self, model: ChatModel, texts: Sequence[str], room: int, goal: TextAnalysis | None
    ) -> str:
        """The chat model's summary; "" if it failed."""
        try:
            short = await summarizer.ask(model, texts, room, goal.text if goal else "")
        except ModelError as error:
            self._tally.model_failures += 1
            _logger.warning("the chat model gave no summary, so sentences are chosen: %s", error)
            return ""
        self._tally.model_summaries += 1
        return short

    async def _extracted(
        self, parts: Sequence[summarizer.Sentence], room: int, goal: TextAnalysis | None
    ) -> str:
        await self._memory.ready()
        analyses = await analysed(self.analyst, [part.text for part in parts])
        given = parts, analyses, room, goal, self.terms
        if len(parts) <= _CHOSEN_AT_ONCE:
            return summarizer.extract(*given)
        return await asyncio.to_thread(summarizer.extract, *given)

    async def _filter(
        self,
        context: Sequence[Item],
        threshold: float,
        goal: str | None,
        criteria: Criteria | None,
    ) -> list[Item]:
        least = checks.share(threshold, "relevance_threshold")
        meets = chosen(criteria)
        items: Sequence[Item] = items_of(context)
        texts = texts_of(items)
        aim = await self._goal(goal)
        await self._memory.ready()
        scores = await relevances(items, texts, aim, self.analyst, self.terms)
        kept = [
            item
            for item, score in zip(items, scores, strict=True)
            if score >= least and meets(item)
        ]
        self._tally.filtered_items += len(items)
        self._tally.dropped_items += len(items) - len(kept)
        return kept

    async def _goal(self, goal: str | None) -> TextAnalysis | None:
        if goal is None:
            return self.context.goal
        (analysis,) = await analysed(self.analyst, [checks.text(goal, "the goal")])
        return analysis

    async def _counted(self, operation: MemoryOperation, do: Callable[[], Awaitable[T]]) -> T:
        self._tally.operations[operation] += 1
        try:
            return await do()
        except BaseException:
            self._tally.failures[operation] += 1
            raise


def _draft(
    content: str,
    metadata: JsonObject | None,
    memory_type: str,
    importance: float | None,
    reason: str,
) -> Draft:
    return Draft(
        content=checks.text(content, "the content"),
        metadata=None if metadata is None else checks.metadata(metadata),
        memory_type=checks.text(memory_type, "memory_type", most=checks.MOST_WORDS),
        importance=None if importance is None else checks.share(importance, "importance"),
        reason=_reason(reason),
    )


def _reason(reason: str) -> str:
    return checks.text(reason, "the reason", most=checks.MOST_WORDS, empty=True)


def _fitting(metadata_filter: Mapping[str, Any] | None) -> Callable[[MemoryEntry], bool] | None:
    if metadata_filter is None:
        return None
    condition = parse(metadata_filter)
    return lambda entry: matches(condition, entry.metadata)
