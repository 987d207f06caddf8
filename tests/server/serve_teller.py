"""A serving process for tests: `python serve_teller.py FOLDER GRACE_S`, with one agent of its own.

The agent notes every call as a line in FOLDER/calls, and waits for the file FOLDER/go when its
request says `slowly`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from genesis import Assignment, Skill
from genesis.agents.adapters import FunctionAgent
from genesis.server.auth import Callers
from genesis.server.beside import BesideOptions
from genesis.server.process import ServeOptions, serve
from infrastructure.a2a.agent import AgentCard
from infrastructure.clock import SystemClock
from infrastructure.config import load_settings
from infrastructure.observability.logs import configure_logs

FOLDER = Path(sys.argv[1])
SKILL = Skill("tell", "Tells something.", ("general",), produces=("answer",), seconds=0.1)


async def tell(assignment: Assignment) -> dict[str, str]:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{assignment.idempotency_key}\n")
    while "slowly" in assignment.request and not (FOLDER / "go").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return {"answer": f"told: {assignment.request}"}


def say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


async def main() -> None:
    settings = load_settings(
        {},
        workspace=FOLDER / "workspace",
        data_dir=FOLDER / "data",
        db_path=str(FOLDER / "memory.db"),
    )
    callers = Callers.of_environment(SystemClock(), FOLDER / "tokens.yaml", "team", os.environ)
    beside = BesideOptions(a2a=False, mcp=False)
    options = ServeOptions(port=0, grace_s=float(sys.argv[2]), beside=beside)
    agents = [FunctionAgent(AgentCard("teller", "Tells.", (SKILL,)), tell)]
    await serve(settings, callers, options, say, agents)


if __name__ == "__main__":
    configure_logs(as_json=True)
    asyncio.run(main())
