"""A serving process for tests, with one agent of its own.

The agent notes every call as a line in the folder's file `calls`, and waits for the file `go` when
its request says `slowly`. Importing this fits what reads requests, which costs more than the start
of a server: processes are forked from one that has it. It leaves no thread, as a fork lacks those.
"""

from __future__ import annotations

import asyncio
import os
from multiprocessing.connection import Connection
from pathlib import Path

from genesis import Assignment, Skill
from genesis.agents.adapters import FunctionAgent
from genesis.server.auth import Callers
from genesis.server.beside import BesideOptions
from genesis.server.process import ServeOptions, serve
from genesis.tasks.infer import TaskTypeInferrer
from infrastructure.a2a.agent import AgentCard
from infrastructure.clock import SystemClock
from infrastructure.config import load_settings
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.observability.logs import configure_logs

SKILL = Skill("tell", "Tells something.", ("general",), produces=("answer",), seconds=0.1)

TaskTypeInferrer(BuiltinEmbedder()).infer("Tell me something nice")


def teller(folder: Path) -> FunctionAgent:
    async def tell(assignment: Assignment) -> dict[str, str]:
        with (folder / "calls").open("a") as calls:
            calls.write(f"{assignment.idempotency_key}\n")
        while "slowly" in assignment.request and not (folder / "go").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return {"answer": f"told: {assignment.request}"}

    return FunctionAgent(AgentCard("teller", "Tells.", (SKILL,)), tell)


def serve_folder(folder: Path, grace_s: float, url: Connection) -> None:
    """Serve over a folder until told to end; where is sent, and the log is the folder's `log`."""
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 2)
    configure_logs(as_json=True)
    settings = load_settings(
        {},
        workspace=folder / "workspace",
        data_dir=folder / "data",
        db_path=str(folder / "memory.db"),
    )
    callers = Callers.of_environment(SystemClock(), folder / "tokens.yaml", "team", {})
    beside = BesideOptions(a2a=False, mcp=False)
    options = ServeOptions(port=0, grace_s=grace_s, beside=beside)
    asyncio.run(serve(settings, callers, options, url.send, [teller(folder)]))
