"""The world of the golden journals, and the script that records them.

    python tests/golden_world.py FOLDER [NAME ...]

writes one file a run, so that later versions can be shown to read what this one wrote. Journals
that were recorded once are never recorded anew: a version that changes its events adds some.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.tasks.task import Usage
from genesis.testing import Fail, FakeAgent, Hang
from infrastructure.config import load_flags, load_settings

REQUEST = "Tell me something nice"
RUN = "golden"
CONFIG = Path(__file__).parent.parent / "config"
DIAMOND = """
  - name: diamond
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: general, produces: [facts]}
      - {id: left, description: Left., operation: left, task_type: documentation,
         requires: [facts], produces: [one]}
      - {id: right, description: Right., operation: right, task_type: general, requires: [facts],
         produces: [two]}
      - {id: join, description: Join., operation: join, task_type: general, requires: [one, two],
         produces: [answer]}
"""
DETOUR = """
  - name: detour
    asks: [two]
    tasks:
      - {id: look, description: Look., operation: look, task_type: general, produces: [seen]}
      - {id: around, description: Around., operation: around, task_type: general,
         requires: [seen], produces: [two]}
"""
NESTED = """
  - name: nested
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: part, description: Make a part of it., operation: sub_request, produces: [one]}
      - {id: other, description: Other., operation: right, task_type: general, requires: [one],
         produces: [two]}
      - {id: join, description: Join., operation: join, task_type: general, requires: [one, two],
         produces: [answer]}
  - name: part
    asks: [one]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: general, produces: [facts]}
      - {id: left, description: Left., operation: left, task_type: documentation,
         requires: [facts], produces: [one]}
"""
HEAD = "deliverables: {}\nasked: {general: {always: [answer]}}\ntemplates:\n"
PLANS = {"diamond": DIAMOND, "replanned": DIAMOND + DETOUR, "composite": NESTED}
MAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "fetch": ((), "facts"),
    "left": (("facts",), "one"),
    "right": (("facts",), "two"),
    "join": (("one", "two"), "answer"),
    "look": ((), "seen"),
    "around": (("seen",), "two"),
}


def world(orchestrator: GenesisOrchestrator, plan: str, **scripts: Any) -> dict[str, FakeAgent]:
    """An agent per operation, $0.125 a call, and one that is asked before `right`."""
    agents: dict[str, FakeAgent] = {}
    for name, (requires, makes) in MAKES.items():
        if plan == "composite" and name == "right":
            requires = ("one",)
        done = TaskOutput(f"by {name}", {makes: f"by {name}"}, usage=Usage(cost_usd=0.125))
        skill = Skill(name, name, (), requires, (makes,), 0.125, seconds=0.1)
        agents[name] = FakeAgent(name, scripts.get(name, done), skills=[skill])
    if "first" in scripts:
        skill = Skill("right", "right", (), ("facts",), ("two",), 0.05, seconds=0.05)
        agents["first"] = FakeAgent("first", *scripts["first"], skills=[skill])
    for agent in agents.values():
        orchestrator.register_agent(agent)
    return agents


def open_world(folder: Path, plan: str, **settings: Any) -> GenesisOrchestrator:
    """An orchestrator whose plans are those of one name."""
    config = folder / f"config-{plan}"
    if not config.exists():
        shutil.copytree(CONFIG, config)
        (config / "plan_templates.yaml").write_text(HEAD + PLANS[plan])
    os.environ["GENESIS_CONFIG_DIR"] = str(config)
    (folder / "workspace").mkdir(exist_ok=True)
    chosen = load_settings(
        {}, workspace=folder / "workspace", data_dir=folder / "data", db_path=":memory:", **settings
    )
    return GenesisOrchestrator(settings=chosen, flags=load_flags({}), agents=[])


async def _straight(folder: Path) -> tuple[GenesisOrchestrator, str]:
    orchestrator = open_world(folder, "diamond")
    world(orchestrator, "diamond")
    return orchestrator, (await orchestrator.execute_orchestrated_request(REQUEST, "s")).run_id


async def _escalated(folder: Path) -> tuple[GenesisOrchestrator, str]:
    orchestrator = open_world(folder, "diamond")
    world(orchestrator, "diamond", first=[Fail("not today")])
    return orchestrator, (await orchestrator.execute_orchestrated_request(REQUEST, "s")).run_id


async def _replanned(folder: Path) -> tuple[GenesisOrchestrator, str]:
    orchestrator = open_world(folder, "replanned")
    world(orchestrator, "replanned", right=Fail("never"))
    return orchestrator, (await orchestrator.execute_orchestrated_request(REQUEST, "s")).run_id


async def _composite(folder: Path) -> tuple[GenesisOrchestrator, str]:
    orchestrator = open_world(folder, "composite")
    world(orchestrator, "composite")
    return orchestrator, (await orchestrator.execute_orchestrated_request(REQUEST, "s")).run_id


async def _approved(folder: Path) -> tuple[GenesisOrchestrator, str]:
    """A plan, money, a task, and an agent's question."""
    from genesis.testing import Ask

    orchestrator = open_world(folder, "diamond", max_parallel_tasks=1)
    made = TaskOutput("by first", {"two": "by first"}, usage=Usage(cost_usd=0.05))
    world(orchestrator, "diamond", first=[Ask("which?"), made])
    result = await orchestrator.execute_orchestrated_request(
        REQUEST, "s", approve=["plan", "cost:0.3", "task:documentation"]
    )
    while result.state == "waiting":
        await decide(orchestrator, result)
        result = await orchestrator.resume(result.run_id)
    return orchestrator, result.run_id


async def _interrupted(folder: Path) -> tuple[GenesisOrchestrator, str]:
    orchestrator = open_world(folder, "diamond")
    agents = world(orchestrator, "diamond", left=Hang())
    running = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST, "s"))
    await agents["left"].started.wait()
    await agents["right"].ended.wait()
    await orchestrator.shutdown(0)
    return orchestrator, (await running).run_id


RECORDED: Mapping[str, Callable[[Path], Coroutine[Any, Any, tuple[GenesisOrchestrator, str]]]] = {
    "straight": _straight,
    "escalated": _escalated,
    "replanned": _replanned,
    "composite": _composite,
    "approved": _approved,
    "interrupted": _interrupted,
}


async def decide(orchestrator: GenesisOrchestrator, result: Any) -> None:
    """Decide the first question that a run waits for."""
    asked = result.approvals[0]
    edits: dict[str, Any] = {"input": "this one", "cost": 2.0}
    edit = edits.get(asked.kind)
    verb: Any = "edit" if edit else "approve"
    await orchestrator.approve(
        asked.run_id, verb, approval_id=asked.id, edit=edit, comment="go", by="ada"
    )


async def _record(name: str, into: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        orchestrator, run_id = await RECORDED[name](Path(folder))
        memory = orchestrator.services.memory
        for part in (run_id, *await _parts(orchestrator, run_id)):
            events = [json.dumps(event) for event in await memory.events(part)]
            lines = [line.replace(run_id, RUN).replace(folder, "FOLDER") for line in events]
            file = into / f"{name}{part.removeprefix(run_id)}.jsonl"
            file.write_text("\n".join(lines) + "\n")
        await orchestrator.aclose()


async def _parts(orchestrator: GenesisOrchestrator, run_id: str) -> list[str]:
    memory = orchestrator.services.memory
    events = await memory.events(run_id)
    below = [str(e["sub_run_id"]) for e in events if e["type"] == "SubRequestStarted"]
    return [part for one in below for part in (one, *await _parts(orchestrator, one))]


if __name__ == "__main__":
    for _name in sys.argv[2:] or RECORDED:
        asyncio.run(_record(_name, Path(sys.argv[1])))
