"""A connection to an MCP server: opened when needed, kept, opened anew when it broke, closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import mcp_types as types
from mcp.shared.exceptions import MCPError

from genesis.agents.mcp_answer import ToolAnswer, answer_of
from genesis.agents.mcp_client import HeldClient
from genesis.agents.mcp_server import McpServer
from infrastructure.errors import AgentError, AgentUnavailable, GenesisError, TaskTimeout
from infrastructure.text import one_line

log = logging.getLogger("genesis.agents.mcp")

_MAX_TOOLS: Final = 500
_MAX_PAGES: Final = 50


class McpConnection:
    """A connection to one server, shared by calls at once.

    A task of its own holds the SDK's client, which must be left by the task that entered it.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._opening = asyncio.Lock()
        self._held: HeldClient | None = None

    async def tools(self) -> list[types.Tool]:
        """All tools of the server.

        Raises:
            AgentUnavailable: it cannot be started or reached.
            AgentError: it is refused, or does not keep to the protocol.
        """
        held = await self._live()
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            async with self._told(held):
                page = await held.client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) >= _MAX_TOOLS:
                break
        if len(found) > _MAX_TOOLS:
            log.warning("of the tools of %s the first %d are used", self.server, _MAX_TOOLS)
        return found[:_MAX_TOOLS]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool.

        Raises:
            TaskTimeout: it took longer than the server's `timeout_s`.
            AgentUnavailable: the connection broke; nobody knows what was done.
            AgentError: the server refused the call, or answered what cannot be used.
        """
        held = await self._live()
        async with self._told(held):
            result = await held.client.call_tool(
                tool, dict(arguments), read_timeout_seconds=self.server.timeout_s
            )
        return answer_of(result)

    async def aclose(self) -> None:
        """End the connection, and the process that was started for it."""
        held, self._held = self._held, None
        if held is not None:
            await held.close()

    async def _live(self) -> HeldClient:
        async with self._opening:
            held = self._held
            if held is None or not held.usable:
                self._held = None
                self._held = held = await HeldClient.open(self.server)
            return held

    @asynccontextmanager
    async def _told(self, held: HeldClient) -> AsyncGenerator[None]:
        """Errors of the SDK as ours; a broken connection is opened anew by the next call."""
        try:
            yield
        except MCPError as error:
            if error.code == types.REQUEST_TIMEOUT:
                raise TaskTimeout(
                    f"{self.server} did not answer in {self.server.timeout_s:g} s"
                ) from error
            refusal = held.take_refusal()
            if error.code == types.CONNECTION_CLOSED or refusal is not None:
                await self._drop(held)
                raise refusal or AgentUnavailable(
                    f"the MCP server {self.server} closed the connection"
                ) from error
            raise AgentError(f"{self.server}: {one_line(error.message, 500)}") from error
        except GenesisError:
            raise
        except (OSError, httpx2.HTTPError) as error:
            await self._drop(held)
            raise AgentUnavailable(f"the connection to {self.server} broke: {error}") from error
        except (ValueError, RuntimeError) as error:  # of the SDK: an answer against its own schema
            raise AgentError(
                f"{self.server} answered what cannot be used: {one_line(str(error), 500)}"
            ) from error

    async def _drop(self, held: HeldClient) -> None:
        if self._held is held:
            self._held = None
        await held.close()
