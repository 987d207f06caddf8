"""Callers that go on writing while whatever they write to fails and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from infrastructure.errors import StoreUnavailable


@dataclass
class SteadyWriters:
    """Writers, each with keys of its own, who repeat a write of which they know no outcome.

    As a context they work while it is open, with one reader beside them.

    Fields:
        write: stores one thing under a key.
        look: reads something.
        acknowledged: keys whose write returned.
        unknown: what was raised when the store could not be used.
    """

    write: Callable[[str], Awaitable[object]]
    look: Callable[[], Awaitable[object]]
    writers: int
    acknowledged: set[str] = field(default_factory=set[str])
    unknown: list[StoreUnavailable] = field(default_factory=list[StoreUnavailable])
    _ended: bool = False
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for writer in range(self.writers):
            self._group.create_task(self._work(writer))
        self._group.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ended = True
        await self._group.__aexit__(None, None, None)

    async def progress(self, writes: int) -> None:
        """Wait until as many more were acknowledged."""
        wanted = len(self.acknowledged) + writes
        while len(self.acknowledged) < wanted:
            self._more.clear()
            await self._more.wait()

    async def _work(self, writer: int) -> None:
        for number in count():
            if self._ended:
                return
            key = f"{writer}-{number}"
            while key not in self.acknowledged:
                try:
                    await self.write(key)
                    self.acknowledged.add(key)
                    self._more.set()
                except StoreUnavailable as error:
                    self.unknown.append(error)

    async def _read(self) -> None:
        """Read all the time, so that readers' connections are lost too."""
        while not self._ended:
            try:
                await self.look()
            except StoreUnavailable as error:
                self.unknown.append(error)
