"""URLs of agents elsewhere whose cards were not read yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genesis.errors import AgentError, InputError
from genesis.tasks.types import TASK_TYPES
from infrastructure.a2a.agent import Agent

# A URL that fails slowly would hold up every request: it rests this many times as long as it took.
_REST = 10.0
_LONGEST_REST_S = 300.0


@dataclass(slots=True)
class _Waiting:
    name: str
    how: Mapping[str, Any]
    rests_until: float = 0.0
    problem: str = ""


class RemoteUrls:
    """Reads cards until they can be read.

    Args:
        now: seconds on a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._waiting: dict[str, _Waiting] = {}

    def add(self, url: str, name: str, how: Mapping[str, Any]) -> None:
        """Note a URL, with what `RemoteAgent.connect` is to be given.

        Raises:
            InputError: it is no URL, or waits already.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url!r} is not the URL of an A2A agent: use http:// or https://")
        if url in self._waiting:
            raise InputError(f"the agent at {url} is already registered")
        self._waiting[url] = _Waiting(name, how)

    async def connect(self, accept: Callable[[Agent], Awaitable[None]]) -> Mapping[str, str]:
        """Read the cards that were not read yet, all at once.

        Args:
            accept: takes the agent of a card; refuses it by an `InputError`.

        Returns:
            Why an agent is not there, by URL. It is tried again at a later call: one that took long
            to fail after a rest of ten times as long, at most five minutes.
        """
        waiting = list(self._waiting.items())
        problems = await asyncio.gather(*(self._try(url, one, accept) for url, one in waiting))
        return {url: said for (url, _), said in zip(waiting, problems, strict=True) if said}

    async def _try(
        self, url: str, one: _Waiting, accept: Callable[[Agent], Awaitable[None]]
    ) -> str:
        from infrastructure.a2a.remote import RemoteAgent  # imports the SDK: only when needed

        began = self._now()
        if began < one.rests_until:
            return one.problem
        agent: Agent | None = None
        try:
            agent = await RemoteAgent.connect(url, name=one.name, task_types=TASK_TYPES, **one.how)
            if self._waiting.get(url) is not one:  # another request was quicker
                await agent.aclose()
                return ""
            await accept(agent)
        except (AgentError, InputError) as error:
            if agent is not None:
                await agent.aclose()
            ended = self._now()
            one.rests_until = ended + min(_REST * (ended - began), _LONGEST_REST_S)
            one.problem = str(error)
            return one.problem
        del self._waiting[url]
        return ""
