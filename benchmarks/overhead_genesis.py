"""The jobs through the orchestrator with everything on, over a store that holds a past."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from langgraph.store.base import PutOp
from overhead_timing import AT_ONCE, Way
from overhead_work import DIAMOND, Job, Shape
from store_data import Texts

from genesis import GenesisOrchestrator, Skill
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from genesis.tasks.types import TASK_TYPES
from infrastructure.config import load_settings
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.finished_run import FinishedRun
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.workflow_memory import WorkflowMemory

DATABASE = "runs.db"
OWN_WORKFLOWS = 250
OTHER_WORKFLOWS = 750
OTHER_PLANS = 150
MEMORIES = 1000

_FILLED = 10_000_000  # numbers of the runs that the store is filled with
_BATCH = 250

_CONFIG = """
given: {{}}
deliverables:
  {last}_made: {{phrases: [{name}]}}
asked:
{asked}
templates:
  - name: {name}
    asks: [{last}_made]
    tasks:
{tasks}
"""


@asynccontextmanager
async def opened(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """The orchestrator on the store in `folder`, with the shape's agents and its declared plan."""
    database = folder / DATABASE
    async with _orchestrator(job, folder) as orchestrator:

        async def run(number: int) -> None:
            result = await orchestrator.execute_orchestrated_request(
                f"Please take all the steps of the {job.shape.name}, number {number}", context={}
            )
            if not result.success or not result.recorded:
                raise RuntimeError(f"the run failed: {result.errors}")

        async def compact() -> None:
            await orchestrator.drain()
            await orchestrator.compaction.maintain()

        yield Way(run, orchestrator.drain, compact, lambda: _folded(database))


def _orchestrator(job: Job, folder: Path) -> GenesisOrchestrator:
    os.environ["GENESIS_CONFIG_DIR"] = str(_declared(job.shape, folder))
    settings = load_settings(
        db_path=str(folder / DATABASE),
        data_dir=folder / "data",
        workspace=folder,
        max_concurrent_runs=AT_ONCE,
    )
    orchestrator = GenesisOrchestrator(agents=[], settings=settings)
    for name, needs in job.shape.needs.items():

        async def answer(assignment: Any, name: str = name) -> dict[str, str]:
            return {f"{name}_made": await job.agent(name)}

        skill = Skill(
            id=name,
            description=name,
            requires=tuple(f"{need}_made" for need in needs),
            produces=(f"{name}_made",),
            seconds=job.shape.seconds[name],
        )
        orchestrator.register_agent(
            answer, name=f"{name}_agent", skills=[skill], max_concurrency=AT_ONCE
        )
    return orchestrator


def _declared(shape: Shape, folder: Path) -> Path:
    """A configuration folder whose only plan is the shape."""
    tasks = "\n".join(
        f"      - {{id: {name}, operation: {name}, produces: [{name}_made], "
        f"requires: [{', '.join(f'{need}_made' for need in needs)}], "
        f"description: {name.replace('_', ' ')}}}"
        for name, needs in shape.needs.items()
    )
    asked = "\n".join(f"  {name}: {{principal: [{shape.last}_made]}}" for name in TASK_TYPES)
    config = folder / f"config-{shape.name}"
    config.mkdir(exist_ok=True)
    (config / "plan_templates.yaml").write_text(
        _CONFIG.format(last=shape.last, name=shape.name, asked=asked, tasks=tasks),
        encoding="utf-8",
    )
    return config


def _folded(database: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        count, size = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM run_journals"
        ).fetchone()
    return int(count), int(size)


async def fill(folder: Path, seed: int) -> None:
    """Give the store in `folder` a past: 1,000 workflows, and 1,000 memories an agent.

    A quarter of the workflows are runs of the diamond through the orchestrator itself; the others
    follow 150 plans of other shapes by other agents, nine tenths of them with success. Memories are
    texts with vectors, indexed.
    """
    job = Job(DIAMOND)
    async with opened(job, folder) as way:
        for number in range(OWN_WORKFLOWS):
            await way.run(_FILLED + number)
        await way.settle()
    memori = Memori.open(folder / DATABASE)
    try:
        await _other_workflows(WorkflowMemory(memori), random.Random(seed))
        await _memories(memori, seed)
    finally:
        await memori.aclose()
    async with opened(job, folder) as way:
        await way.compact()


async def _other_workflows(memory: WorkflowMemory, rng: random.Random) -> None:
    embedder = BuiltinEmbedder()
    requests = [
        f"Make the {_plan_name(n % OTHER_PLANS)} report {n}" for n in range(OTHER_WORKFLOWS)
    ]
    vectors = embedder.embed(requests)
    plans = [_plan(number, rng) for number in range(OTHER_PLANS)]
    for number, request in enumerate(requests):
        dag = plans[number % OTHER_PLANS]
        success, plan = rng.random() < 0.9, dag.to_json()
        await memory.finish(
            FinishedRun(
                run_id=f"past-{number:05}",
                session_id=f"past-session-{number // 12}",
                request=request,
                task_type=TASK_TYPES[number % len(TASK_TYPES)],
                success=success,
                steps=tuple(f"{task.task_type}:{task.operation}_agent:" for task in dag),
                duration_s=rng.uniform(0.5, 60),
                cost_usd=rng.uniform(0, 0.2),
                metadata={"plan": plan},
                plan=plan,
                vector=vectors[number],
                outcomes=tuple(_outcome(task, success, rng) for task in dag),
            )
        )


def _plan_name(number: int) -> str:
    return f"kind-{number}"


def _plan(number: int, rng: random.Random) -> TaskDAG:
    """Two to eight tasks, each after some of those before it."""
    tasks: list[Task] = []
    for at in range(rng.randint(2, 8)):
        before = rng.sample([task.id for task in tasks], k=min(at, rng.randint(0, 2)))
        tasks.append(
            Task(
                id=f"task_{at}",
                description=f"Step {at} of {_plan_name(number)}.",
                task_type=rng.choice(TASK_TYPES),
                operation=f"operation_{rng.randrange(40)}",
                requires=tuple(f"{need}_of_{number}" for need in before),
                produces=(f"task_{at}_of_{number}",),
                depends_on=tuple(before),
            )
        )
    return TaskDAG(tasks)


def _outcome(task: Task, success: bool, rng: random.Random) -> OutcomeRecord:
    return OutcomeRecord(
        task_type=task.task_type,
        operation=task.operation,
        agent=f"{task.operation}_agent",
        model="",
        effort="",
        success=success,
        seconds=rng.uniform(0.1, 10),
        usd=rng.uniform(0, 0.05),
        task_id=task.id,
    )


async def _memories(memori: Memori, seed: int) -> None:
    store = MemoriStore(memori, embedder=BuiltinEmbedder())
    agents = [f"{task}_agent" for task in DIAMOND.needs]
    texts = [note for notes in Texts(seed).notes(MEMORIES * len(agents)) for note in notes]
    puts = [
        PutOp(("agents", agents[number % len(agents)], "memories"), note.key, dict(note.value))
        for number, note in enumerate(texts)
    ]
    for start in range(0, len(puts), _BATCH):
        await store.abatch(puts[start : start + _BATCH])
    # A search waits until all that was written is in the index.
    if not await store.asearch(("agents", agents[0]), query="read a file", limit=1):
        raise RuntimeError("the memories that were written are not found")
