"""Asks an agent over gRPC in TLS; a process of its own, since gRPC reads its roots once."""

from __future__ import annotations

import asyncio
import sys

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.types import Message, Part
from infrastructure.errors import AgentError


async def main(url: str) -> None:
    agent = await RemoteAgent.connect(url, token="s3cret", http_timeout_s=10)
    try:
        async for event in agent.send(Message("m", "user", (Part(text="hello"),))):
            sys.stdout.write(f"{type(event).__name__}\n")
    except AgentError as error:
        sys.stdout.write(f"{type(error).__name__}\n")
    await agent.aclose()


asyncio.run(main(sys.argv[1]))
