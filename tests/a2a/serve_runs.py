"""A serving process for tests: `python serve_runs.py FOLDER`, A2A over one slow agent.

The agent notes every call in FOLDER/calls, and waits for the file FOLDER/go.
"""

from __future__ import annotations

import asyncio
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

FOLDER = Path(sys.argv[1])
SKILL = Skill("tell", "Tells something.", ("general",), produces=("answer",), seconds=0.1)


async def tell(assignment: Assignment) -> dict[str, str]:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{assignment.idempotency_key}\n")
    while not (FOLDER / "go").exists():  # noqa: ASYNC110 - the file is another process's
        await asyncio.sleep(0.02)
    return {"answer": "told"}


def say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


async def main() -> None:
    (FOLDER / "workspace").mkdir(exist_ok=True)
    settings = load_settings(
        {},
        workspace=FOLDER / "workspace",
        data_dir=FOLDER / "data",
        db_path=str(FOLDER / "memory.db"),
    )
    options = ServeOptions(port=0, grace_s=0.2, beside=BesideOptions(mcp=False))
    agents = [FunctionAgent(AgentCard("teller", "Tells.", (SKILL,)), tell)]
    await serve(settings, Callers(SystemClock()), options, say, agents)


if __name__ == "__main__":
    asyncio.run(main())
