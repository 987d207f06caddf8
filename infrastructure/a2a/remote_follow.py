"""One task at an agent elsewhere, from its first event to its last, over any number of streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError

from infrastructure.a2a.convert import events_from_wire, message_to_wire, task_events
from infrastructure.a2a.remote_errors import as_ours
from infrastructure.a2a.remote_files import FileFetcher
from infrastructure.a2a.remote_link import Link, Responses, Target
from infrastructure.a2a.types import (
    AgentEvent,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.errors import AgentMisbehaved, AgentUnavailable, GenesisError
from infrastructure.text import one_line

log = logging.getLogger("genesis.a2a")

_MAX_ID = 256
_FIRST_POLL_S = 0.1
_LONGEST_POLL_S = 5.0
# A connection that is lost and cannot be made again within these pauses is an agent that is gone.
_REDIAL_S = (0.1, 0.2, 0.4)
# For the rest of a stream whose task has ended: read to its end, its connection serves again.
_REST_S = 0.05


class Following:
    """One task, followed.

    A lost stream is subscribed again; where that brings nothing, the task is polled. The caller
    bounds the time.

    Args:
        link: the way to the agent.
        target: where it is.
        files: fetches what it names by URL.
        message: what it is sent; with a task id, it continues that task.
    """

    def __init__(self, link: Link, target: Target, files: FileFetcher, message: Message) -> None:
        self._link = link
        self._url = target.url
        self._files = files
        self._message = message
        self._most_bytes = target.limits.response_bytes
        self._most_events = target.max_events
        self._bytes = 0
        self._events = 0
        self._heard = 0
        self._last_poll: StatusUpdate | None = None
        self.task_id: str = ""
        self.over = False
        self.waits = False

    async def events(self) -> AsyncGenerator[AgentEvent]:
        """Send the message and yield what follows, to the task's end or a question.

        Raises:
            AgentUnavailable: the agent cannot be reached, or has forgotten the task.
            AgentMisbehaved: what it sends is not A2A, or has no end.
            AgentError: it refuses.
        """
        try:
            wire = message_to_wire(self._message)
            try:
                async for event in self._read(self._link.send(wire)):
                    yield event
            except Exception as error:  # noqa: BLE001 - raised again, unless a stream was lost
                self._require_lost(self._ours(error), error)
            async for event in self._reattached():
                yield event
        except Exception as error:
            # Whatever a stranger's bytes break on the way here is the stranger's failure.
            ours = self._ours(error)
            if ours is error:
                raise
            raise ours from error

    async def _reattached(self) -> AsyncGenerator[AgentEvent]:
        """Go on with a task whose stream has ended before it did."""
        if not self.over and not self.task_id:
            raise AgentMisbehaved(f"the agent at {self._url} answered nothing")
        failures, subscribing = 0, self._link.streams
        while not self.over:
            before = self._heard
            try:
                async for event in self._subscribed() if subscribing else self._polled():
                    yield event
                # A stream that told nothing but how things stand is no better than a poll.
                subscribing = self._heard > before + 1
            except Exception as error:
                ours = self._ours(error)
                if subscribing and _declined(ours):
                    subscribing = False
                    continue
                self._require_lost(ours, error)
                failures = failures + 1 if self._heard == before else 1
                if failures > len(_REDIAL_S):
                    raise
                subscribing = self._link.streams
                await asyncio.sleep(_REDIAL_S[failures - 1])

    async def _subscribed(self) -> AsyncGenerator[AgentEvent]:
        responses = self._link.subscribe(self.task_id)
        async for event in self._read(responses, whole_first=True):
            yield event

    async def _polled(self) -> AsyncGenerator[AgentEvent]:
        pause = _FIRST_POLL_S
        while not self.over:
            found = task_events(await self._link.task(self.task_id))
            self._heard += 1
            for event in self._news(found):
                async for given in self._given(event):
                    yield given
            if not self.over:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_POLL_S)

    def _news(self, events: list[AgentEvent]) -> list[AgentEvent]:
        """What a poll says that the one before did not: its results only once they are whole."""
        last = events[-1]
        assert isinstance(last, StatusUpdate)
        if last.state.terminal or last.state in _WAITING:
            return events
        known, self._last_poll = self._last_poll, last
        same = known is not None and (known.state, known.message) == (last.state, last.message)
        return [] if same else [last]

    async def _read(
        self, responses: Responses, *, whole_first: bool = False
    ) -> AsyncGenerator[AgentEvent]:
        async with aclosing(responses):
            while not self.over:
                async with asyncio.timeout(self._link.silence_s):
                    response = await anext(responses, None)
                if response is None:
                    return
                if whole_first and not response.HasField("task"):
                    return  # what came before is missing; a poll has all of it
                whole_first = False
                self._heard += 1
                if self._heard == 1 and self._stood_before(response):
                    continue
                self._bytes += response.ByteSize()
                if self._bytes > self._most_bytes:
                    raise AgentMisbehaved(
                        f"the answer was cut off: it is larger than {self._most_bytes} bytes"
                    )
                for event in events_from_wire(response):
                    async for given in self._given(event):
                        yield given
            await _drained(responses)

    async def _given(self, event: AgentEvent) -> AsyncGenerator[AgentEvent]:
        """An event that keeps to the protocol, with its files."""
        if self.over:  # a task says nothing after its end
            return
        self._note(event)
        refused: list[str] = []
        if isinstance(event, Message):
            got = await self._files.fetch(event.parts)
            event, refused = replace(event, parts=got.parts), got.refused
        elif isinstance(event, ArtifactUpdate):
            artifact, refused = await self._files.fetch_artifact(event.artifact)
            event = replace(event, artifact=artifact)
        if refused and not isinstance(event, Message):
            said = Message("", "agent", (Part(text="; ".join(refused)),))
            yield StatusUpdate(self.task_id, event.context_id, TaskState.WORKING, said)
        for reason in refused:
            log.warning("the agent at %s: %s", self._url, reason)
        yield event

    def _stood_before(self, response: pb.StreamResponse) -> bool:
        """Whether this is how the task stood when it was answered: it waited."""
        if not self._message.task_id or not response.HasField("task"):
            return False
        last = task_events(response.task)[-1]
        assert isinstance(last, StatusUpdate)
        if last.state not in _WAITING:
            return False
        self._note(replace(last, state=TaskState.WORKING))
        return True

    def _note(self, event: AgentEvent) -> None:
        self._events += 1
        if self._events > self._most_events:
            raise AgentMisbehaved(
                f"the agent at {self._url} sent more than {self._most_events} events for one task"
            )
        if isinstance(event, Message):
            self.over = True
            return
        expected = self.task_id or self._message.task_id
        if event.task_id:
            if expected and event.task_id != expected:
                other = one_line(event.task_id, 100)
                raise AgentMisbehaved(
                    f"the agent at {self._url} sent an event of another task ({other!r})"
                )
            if len(event.task_id) > _MAX_ID or not event.task_id.isprintable():
                raise AgentMisbehaved(f"the agent at {self._url} sent a task id that is none")
            self.task_id = event.task_id
        if isinstance(event, StatusUpdate):
            self.waits = event.state in _WAITING
            self.over = event.state.terminal or self.waits

    def _require_lost(self, ours: GenesisError, error: Exception) -> None:
        """Raise what is no lost stream of a task that the agent has named."""
        lost = isinstance(ours, AgentUnavailable) and not isinstance(ours, AgentMisbehaved)
        if not (lost and self.task_id) or isinstance(error, TaskNotFoundError):
            raise error
        log.info("the stream of task %s at %s was lost: %s", self.task_id, self._url, error)

    def _ours(self, error: Exception) -> GenesisError:
        if isinstance(error, TaskNotFoundError) and self.task_id:
            self.over = True
            return AgentUnavailable(f"the agent at {self._url} has forgotten task {self.task_id!r}")
        return as_ours(error, self._url)


_WAITING = frozenset({TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED})


def _declined(error: GenesisError) -> bool:
    """Whether the agent answered, and its answer was that it does not do that."""
    return not isinstance(error, AgentUnavailable)


async def _drained(responses: Responses) -> None:
    try:
        async with asyncio.timeout(_REST_S):
            while await anext(responses, None) is not None:
                pass
    except Exception as error:  # noqa: BLE001 - the task has ended: how its stream does, matters no more
        log.debug("the rest of a stream was not read: %s", error)
