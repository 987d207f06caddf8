"""What a request is told of earlier ones, and what it teaches: AgeMem in the hands of a policy.

A tenant has one memory that all its requests share; only runs whose tasks were all verified write
to it. What other runs teach stays in a memory of their session. What is recalled is data: it is
shown to planners and agents, and decides nothing by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from infrastructure.clock import Clock
from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import StoreError
from infrastructure.memory.agemem.context import ContextItem
from infrastructure.memory.agemem.decider import Decider, Decision
from infrastructure.memory.agemem.manager import MemoryManager
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst
from infrastructure.memory.memori.forgetting import AGEMEM
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.origin import writing_as
from infrastructure.redaction import hide_secrets
from infrastructure.text import cut, one_line, strip_control

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

CONTEXT_TOKENS: Final = 320
"""What is recalled for a request, at most: about what a note to an agent may hold."""

_CAPACITY: Final = 1_000
_SESSION_CAPACITY: Final = 100
_SESSIONS: Final = 64
_ASKED_CHARS: Final = 2_000
_OUTCOME_CHARS: Final = 200
_ITEM_CHARS: Final = 600
_FRESH_S: Final = 60.0
_RECALL_S: Final = 2.0
_LEARN_S: Final = 5.0
_LABEL: Final = "Said in earlier requests, or what came of them; it may be out of date:"

OpenStore = Callable[[], "tuple[BaseStore, tuple[str, ...]]"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A run that ended, as it is remembered.

    Attributes:
        run_id, session_id: which run.
        request: what was asked.
        verified: whether every task was verified.
        agents: who took part, in order.
        outcome: the verified answer, or why there is none.
    """

    run_id: str
    session_id: str
    request: str
    verified: bool
    agents: tuple[str, ...]
    outcome: str

    @property
    def text(self) -> str:
        """What was said, and what came of it.

        One text, and not two: what is said anew about the same thing replaces both.
        """
        said = _asked(self.request)
        who = f" by {', '.join(self.agents)}" if self.agents else ""
        how = f"done{who}, verified" if self.verified else "failed"
        outcome = one_line(hide_secrets(self.outcome), _OUTCOME_CHARS)
        return f"{said}\n({how}: {outcome})" if outcome else f"{said}\n({how})"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was decided, and for a request what it is told.

    Attributes:
        decisions: in order.
        text: what is recalled, labelled; empty for nothing.
        note: who decided, or why nothing was decided.
    """

    decisions: tuple[Decision, ...] = ()
    text: str = ""
    note: str = ""


class Remembering:
    """The memories of one tenant, opened when first used.

    Args:
        open_store: the store, and the tenant's own namespace in it.
        choose: who decides, and why in words.
        embedder: makes the vectors.
        clock: the time written.
    """

    def __init__(
        self,
        open_store: OpenStore,
        choose: Callable[[], tuple[Decider, str]],
        embedder: Embedder,
        clock: Clock,
    ) -> None:
        self._open_store = open_store
        self._choose = choose
        self._analyst = TextAnalyst(embedder)
        self._clock = clock
        self._decider: tuple[Decider, str] | None = None
        self._store: tuple[BaseStore, tuple[str, ...]] | None = None
        self._shared: AgeMem | None = None
        self._sessions: OrderedDict[str, AgeMem] = OrderedDict()
        self._looked: WeakKeyDictionary[AgeMem, float] = WeakKeyDictionary()

    @property
    def decider(self) -> tuple[Decider, str]:
        """Who decides, and why in words."""
        if self._decider is None:
            self._decider = self._choose()
        return self._decider

    @property
    def shared(self) -> AgeMem:
        """The memory that all requests of the tenant share."""
        if self._shared is None:
            self._shared = self._memory(("shared",), _CAPACITY)
        return self._shared

    def of_session(self, session_id: str) -> AgeMem:
        """The memory that only requests of a session share."""
        memory = self._sessions.pop(session_id, None)
        if memory is None:
            # A label of a namespace may not hold all that the name of a session may.
            label = hashlib.sha256(session_id.encode()).hexdigest()[:32]
            memory = self._memory(("sessions", label), _SESSION_CAPACITY)
        self._sessions[session_id] = memory
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return memory

    async def before(
        self, request: str, vector: NDArray[np.float32], session_id: str | None
    ) -> Remembered:
        """Bring together what a request is to be told.

        Args:
            request: what is asked.
            vector: of its text by the same embedder, float32[d].
            session_id: None for a session that is new with this request.

        Raises:
            StoreError: the store failed, or took too long.
        """
        asked = _asked(request)
        if asked == request:
            self._analyst.keep(TextAnalysis(asked, vector))
        decider, why = self.decider
        decisions: list[Decision] = []
        lines: list[str] = []
        room = CONTEXT_TOKENS
        try:
            async with asyncio.timeout(_RECALL_S):
                for memory in self._read_for(session_id):
                    await self._look(memory)
                    if not len(memory.index) or room < 1:
                        continue
                    view = memory.with_context(room)
                    steps = await MemoryManager(view, decider).recall(asked)
                    decisions += [_shortened(step.decision(decider.name)) for step in steps]
                    lines += _lines(view.context.items)
                    room -= view.context.tokens
        except TimeoutError as error:
            raise StoreError(f"memory did not answer within {_RECALL_S:g} s") from error
        text = "\n".join((_LABEL, *lines)) if lines else ""
        return Remembered(tuple(decisions), text, why if decisions else "nothing is remembered yet")

    async def after(self, lesson: Lesson, *, again: bool = False) -> Remembered:
        """Decide what a run teaches, and remember it durably.

        Args:
            lesson: the run.
            again: it may have been learnt from before its process ended; what was is left alone.

        Raises:
            StoreError: the store failed, or took too long; some of it may be remembered.
        """
        decider, why = self.decider
        memory = self.shared if lesson.verified else self.of_session(lesson.session_id)
        origin = Provenance(run_id=lesson.run_id, verified=lesson.verified)
        try:
            async with asyncio.timeout(_LEARN_S):
                await self._look(memory)
                if again and _knows(memory, lesson.run_id):
                    return Remembered(note="it was learnt from before its process ended")
                with writing_as(origin):
                    step = await MemoryManager(memory, decider).learn(
                        lesson.text, {"run": lesson.run_id}, "episodic"
                    )
        except TimeoutError as error:
            raise StoreError(f"memory did not take it within {_LEARN_S:g} s") from error
        return Remembered((_shortened(step.decision(decider.name)),), note=why)

    async def withdraw(self, run_id: str) -> None:
        """Take back what a run taught everybody: it was found to have gone wrong.

        Raises:
            StoreError: the store failed; some of it may be left.
        """
        await self._look(self.shared)
        for held in list(self.shared.index):
            if held.entry.metadata.get("run") == run_id:
                await self.shared.delete(
                    held.entry.entry_id, reason="feedback says that its run went wrong"
                )

    async def _look(self, memory: AgeMem) -> None:
        """See what the store holds; what other processes have added is seen after a while."""
        now = self._clock.monotonic()
        if now - self._looked.setdefault(memory, now) > _FRESH_S:
            self._looked[memory] = now
            await memory.refresh()
        else:
            await memory.ready()

    def _read_for(self, session_id: str | None) -> Sequence[AgeMem]:
        return (self.shared,) if session_id is None else (self.of_session(session_id), self.shared)

    def _memory(self, under: tuple[str, ...], capacity: int) -> AgeMem:
        if self._store is None:
            from infrastructure.memory.sourced_store import SourcedStore  # it imports LangGraph

            store, own = self._open_store()
            self._store = SourcedStore(store), own
        store, own = self._store
        return AgeMem(
            store,
            namespace=(*own, *AGEMEM, *under),
            capacity=capacity,
            context_tokens=CONTEXT_TOKENS,
            analyst=self._analyst,
            source="genesis",
            clock=self._clock,
        )


def _asked(request: str) -> str:
    return hide_secrets(strip_control(cut(request, _ASKED_CHARS))).strip()


def _lines(items: Sequence[ContextItem]) -> list[str]:
    return [f"- {one_line(item.text, _ITEM_CHARS)}" for item in items]


def _shortened(decision: Decision) -> Decision:
    """With numbers as exact as anybody reads them: it is kept in the journal of a run."""
    return replace(
        decision,
        probability=None if decision.probability is None else round(decision.probability, 4),
        alternatives={name: round(value, 4) for name, value in decision.alternatives.items()},
        features={name: round(value, 4) for name, value in decision.features.items()},
    )


def _knows(memory: AgeMem, run_id: str) -> bool:
    return any(held.entry.metadata.get("run") == run_id for held in memory.index)
