"""What the conformance kit starts to test our client: lists a server's tools and calls each.

python mcp_kit_client.py URL
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, cast

from genesis.agents.mcp_connection import McpConnection
from genesis.agents.mcp_server import McpServer
from infrastructure.errors import AgentError

_SAMPLES = {"integer": 5, "number": 5, "string": "hello", "boolean": True}


def _arguments(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What the kit asks to call the tool with, or something of the right types."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    for call in context.get("toolCalls") or ():
        if call.get("name") == name:
            return cast("dict[str, Any]", call.get("arguments") or {})
    properties = cast("dict[str, dict[str, Any]]", schema.get("properties") or {})
    return {each: _SAMPLES.get(said.get("type", ""), "x") for each, said in properties.items()}


async def _main(url: str) -> None:
    connection = McpConnection(McpServer(url=url, allow_private=True))
    try:
        for tool in await connection.tools():
            try:
                answer = await connection.call(tool.name, _arguments(tool.name, tool.input_schema))
                print(tool.name, answer.text)  # noqa: T201
            except AgentError as error:
                print(tool.name, error)  # noqa: T201
    finally:
        await connection.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[-1]))
