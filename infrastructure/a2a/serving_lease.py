"""Which server works on a task, and whether it still lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.processes import is_dead, this_process

log = logging.getLogger("genesis.a2a")

_SERVERS: Final = ("a2a", "servers")
_LEASE_S: Final = 60.0


class Lease:
    """This server's sign of life in the store, renewed while it runs.

    A server of the same machine whose process is gone is dead at once; any other when its lease
    has run out.
    """

    def __init__(self, store: MemoriStore) -> None:
        self._store = store
        self.server_id = this_process(secrets.token_hex(4))
        self._renewing: asyncio.Task[None] | None = None
        self._known_dead: set[str] = set()

    async def start(self) -> None:
        """Take the lease and keep it."""
        await self._renew()
        self._renewing = asyncio.create_task(self._keep(), name="a2a lease")

    async def aclose(self) -> None:
        """Give it back: what this server leaves is open to others at once."""
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
            self._renewing = None
            await self._store.adelete(_SERVERS, self.server_id)

    async def is_dead(self, server_id: str) -> bool:
        """Whether the server that an id names will never come back to its tasks."""
        if server_id == self.server_id:
            return False
        if server_id not in self._known_dead:
            if not is_dead(server_id):
                item = await self._store.aget(_SERVERS, server_id)
                now = self._store.memori.clock.now()
                if item is not None and float(item.value["until"]) > now:
                    return False
            self._known_dead.add(server_id)
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_S / 3)
            try:
                await self._renew()
            except StoreError as error:
                log.warning("the lease of this A2A server could not be renewed: %s", error)

    async def _renew(self) -> None:
        until = self._store.memori.clock.now() + _LEASE_S
        minutes = 2 * _LEASE_S / 60
        await self._store.aput(_SERVERS, self.server_id, {"until": until}, False, ttl=minutes)
