"""Runs of twenty tasks in processes that can be killed, with agents that count their side effects.

Three kinds of request, each with operations of its own, so that none learns from another:

wide      twenty tasks, many of them at once
nested    two tasks and two requests within the request, of nine tasks each
stubborn  twenty tasks; the first answers to one are rejected, and a branch has to be planned again

What an agent makes depends on its task and its inputs alone, so a result that is equal to that of
an undisturbed run was made from equal parts. Every delivery of an attempt to an agent is a line in
a file, on the disk before the agent goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.errors import RunBusy
from genesis.tasks.checks import Check
from genesis.tasks.task import SUB_REQUEST, Usage, Verdict
from genesis.tasks.types import TASK_TYPES
from infrastructure.config import load_flags, load_settings
from infrastructure.jsonvalue import JsonObject, JsonValue

USD = 0.001
TASKS = 20
KINDS = ("wide", "nested", "stubborn")

Hold = Callable[[str], Awaitable[None]]
"""Told which agent has done its work, or `WITNESS`."""

WITNESS = "witness"


@dataclass(frozen=True)
class Step:
    """A declared task.

    Attributes:
        operation: its own name, unless it is said.
        needs: the tasks whose data it takes.
        wrong: agents of its operation whose answers are rejected, asked before the right one.
        never: no agent of its operation is ever right.
        witnessed: a check that always passes looks at what was made.
    """

    id: str
    needs: tuple[str, ...] = ()
    operation: str = ""
    wrong: int = 0
    never: bool = False
    witnessed: bool = False
    makes: str = ""

    @property
    def does(self) -> str:
        return self.operation or self.id

    @property
    def datum(self) -> str:
        return self.makes or f"{self.id}_made"


@dataclass(frozen=True)
class Template:
    """A declared plan."""

    name: str
    steps: tuple[Step, ...]
    data: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def asks(self) -> str:
        return self.steps[-1].datum


def _wide(prefix: str, count: int, seed: int) -> Iterator[Step]:
    """Tasks that each need up to three of those before; the last needs all that is left over."""
    rng = random.Random(seed)
    names: list[str] = []
    loose: set[str] = set()
    for number in range(count - 1):
        needs = tuple(rng.sample(names, k=min(len(names), rng.choice((0, 1, 1, 2, 3)))))
        name = f"{prefix}_{number:02}"
        names.append(name)
        loose = (loose - set(needs)) | {name}
        yield Step(name, needs)
    yield Step(f"{prefix}_end", tuple(sorted(loose)))


def _stubborn() -> tuple[Step, ...]:
    """A wide plan, two of whose answers are rejected at first, and one always."""
    changed = {"stubborn_03": 2, "stubborn_08": 1}
    steps = list(_wide("stubborn", TASKS, 3))
    for at, step in enumerate(steps):
        if step.id in changed:
            steps[at] = Step(step.id, step.needs, wrong=changed[step.id])
        if step.id == "stubborn_12":
            steps[at] = Step(step.id, step.needs, never=True)
    return tuple(steps)


def _nested() -> tuple[Step, ...]:
    parts = [Step(part, ("opening",), SUB_REQUEST, witnessed=True) for part in ("part_a", "part_b")]
    return (Step("opening"), *parts, Step("nested_end", ("part_a", "part_b")))


TEMPLATES = (
    Template("wide", tuple(_wide("wide", TASKS, 1))),
    Template("stubborn", _stubborn()),
    # What a branch that cannot be done is replaced with.
    Template(
        "detour",
        (Step("detour_look"), Step("detour", ("detour_look",), makes="stubborn_12_made")),
    ),
    Template("nested", _nested()),
    Template("part_a", (*_wide("a", 8, 5), Step("a_out", ("a_end",), makes="part_a_made"))),
    Template("part_b", (*_wide("b", 8, 6), Step("b_out", ("b_end",), makes="part_b_made"))),
)


def write_config(folder: Path) -> None:
    """Declare the plans in a configuration folder."""
    wanted = [template for template in TEMPLATES if template.name in KINDS]
    principal = ", ".join(template.asks for template in wanted)
    lines = ["given: {}", "deliverables:"]
    lines += [f"  {template.asks}: {{phrases: [{template.name}]}}" for template in wanted]
    lines += ["asked:"] + [f"  {one}: {{principal: [{principal}]}}" for one in TASK_TYPES]
    lines += ["templates:"]
    for template in TEMPLATES:
        lines += [f"  - name: {template.name}", f"    asks: [{template.asks}]", "    tasks:"]
        lines += [f"      - {json.dumps(_declared(step, template))}" for step in template.steps]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan_templates.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _declared(step: Step, template: Template) -> JsonObject:
    made = {one.id: one.datum for one in template.steps}
    task: dict[str, JsonValue] = {
        "id": step.id,
        "description": f"Do {step.id.replace('_', ' ')}.",
        "operation": step.does,
        "requires": [made[need] for need in step.needs],
        "produces": [step.datum],
    }
    if step.wrong or step.never:
        acceptance: list[JsonValue] = [{"check": "right"}]
        task["acceptance"] = acceptance
    if step.witnessed:
        witnessed: list[JsonValue] = [{"check": WITNESS}]
        task["acceptance"] = witnessed
    return task


def requests(scenario: str) -> dict[str, str]:
    """What is asked in a scenario, by run id."""
    return {f"{scenario}-{kind}": f"Please do all of the {kind} work" for kind in KINDS}


async def right(submission: Any) -> Verdict:
    """The acceptance check: an answer says of itself whether it is right."""
    made = next(iter(submission.output.data.values()))
    return Verdict(bool(made["right"]), "right", "what was made says so")


async def _at_once(who: str) -> None:
    """For agents that wait for nothing."""


class Effects:
    """What the agents did, a line for each delivery, durable before the agent goes on."""

    def __init__(self, path: Path, generation: int) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        self._generation = generation

    def add(self, **what: str) -> None:
        """Write a line."""
        line = json.dumps({"generation": self._generation, **what}) + "\n"
        os.write(self._file, line.encode())
        os.fsync(self._file)


def read_effects(path: Path) -> list[dict[str, Any]]:
    """All lines so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def open_world(
    place: str,
    folder: Path,
    tenant: str,
    effects: Effects,
    hold: Hold,
) -> GenesisOrchestrator:
    """An orchestrator on the store at `place`, with all agents, whose answers `hold` holds back.

    So it does with the check of what the parts of the nested request made.
    """
    os.environ["GENESIS_CONFIG_DIR"] = str(folder / "config")
    settings = load_settings(
        {},
        db_path=place,
        tenant=tenant,
        workspace=folder,
        data_dir=folder / "data",
        max_parallel_tasks=8,
        seconds_price_usd=0.0,
    )
    orchestrator = GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[])

    async def seen(submission: Any) -> Verdict:
        await hold(WITNESS)
        return Verdict(True, WITNESS, "it was seen")

    checks = {"stubborn_12_agent": {"right": right}, "opening_agent": {WITNESS: seen}}
    for template in TEMPLATES:
        for step in template.steps:
            if step.does != SUB_REQUEST:
                _register(orchestrator, step, template, effects, hold, checks)
    return orchestrator


def _register(
    orchestrator: GenesisOrchestrator,
    step: Step,
    template: Template,
    effects: Effects,
    hold: Hold,
    checks: Mapping[str, Mapping[str, Check]],
) -> None:
    made = {one.id: one.datum for one in template.steps}
    names = [*(f"{step.id}_wrong_{number}" for number in range(step.wrong)), f"{step.id}_agent"]
    for at, name in enumerate(names):
        correct = not step.never and at == len(names) - 1
        skill = Skill(
            step.does,
            f"Does {step.id}.",
            requires=tuple(made[need] for need in step.needs),
            produces=(step.datum,),
            # Those that are wrong declare less, so that they are asked first.
            cost_usd=USD * (1 + at) / len(names),
            seconds=0.01,
        )

        async def work(
            assignment: Assignment,
            name: str = name,
            correct: bool = correct,
            usd: float = skill.cost_usd,
        ) -> TaskOutput:
            effects.add(key=assignment.idempotency_key, agent=name, usd=str(usd))
            await asyncio.sleep(_seconds(name))
            await hold(name)
            inputs = json.dumps(assignment.inputs, sort_keys=True)
            value = hashlib.sha256(f"{name} {inputs}".encode()).hexdigest()
            (datum,) = assignment.task.produces
            data: JsonObject = {datum: {"value": value, "right": correct}}
            return TaskOutput(value[:12], data, usage=Usage(cost_usd=usd))

        orchestrator.register_agent(
            work,
            name=name,
            skills=[skill],
            checks=checks.get(name),
            max_concurrency=8,
        )


def _seconds(name: str) -> float:
    """What an agent takes, 2 to 12 ms, always the same."""
    return 0.002 + hashlib.sha256(name.encode()).digest()[0] / 25_500


@dataclass(frozen=True)
class Job:
    """What a process does: accept what is not yet accepted, and bring all to its end."""

    place: str
    folder: str
    tenant: str
    wanted: Mapping[str, str]
    generation: int = 0


def work(job: Job, ready: Connection, dies_at: str = "") -> None:
    """The main function of a process; the results of its runs are in the file `results-TENANT`.

    Args:
        job: what it does.
        ready: is told when a random moment is one of a run.
        dies_at: the agent at whose work the process kills itself, or `WITNESS`.
    """

    async def live_or_die(who: str) -> None:
        if who == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(_work(job, ready, live_or_die if dies_at else _at_once))


async def _work(job: Job, ready: Connection, hold: Hold) -> None:
    folder = Path(job.folder)
    effects = Effects(folder / f"effects-{job.tenant}", job.generation)
    async with open_world(job.place, folder, job.tenant, effects, hold) as orchestrator:
        # Classifier and store are ready then, so that a random moment is one of a run.
        await orchestrator.plan(next(iter(job.wanted.values())))
        told = read_effects(folder / f"effects-{job.tenant}")
        accepted = {line["accepted"] for line in told if "accepted" in line}
        ready.send("ready")
        left = set(await orchestrator.recover())
        for run_id in accepted - left:
            state = (await orchestrator.run(run_id)).state
            assert state == "completed", f"{run_id} is neither left nor completed, but {state}"
        for run_id, request in job.wanted.items():
            if run_id not in accepted:
                assert await orchestrator.accept(request, run_id=run_id) == run_id
                effects.add(accepted=run_id)
        results = await asyncio.gather(*(orchestrator.resume(run_id) for run_id in job.wanted))
    told = {result.run_id: result.model_dump(mode="json") for result in results}
    (folder / f"results-{job.tenant}").write_text(json.dumps(told), encoding="utf-8")


def compete(job: Job, pipe: Connection, may_end: Event) -> None:
    """The main function of one of two processes that resume the same run; tells how it went.

    Whoever works does not end before `may_end` is set.
    """
    pipe.send(asyncio.run(_compete(job, pipe, may_end)))


async def _compete(job: Job, pipe: Connection, may_end: Event) -> str:
    folder = Path(job.folder)
    effects = Effects(folder / f"effects-{job.tenant}", job.generation)
    ((run_id, request),) = job.wanted.items()

    async def until_it_may_end(who: str) -> None:
        await asyncio.to_thread(may_end.wait)

    async with open_world(job.place, folder, job.tenant, effects, until_it_may_end) as orchestrator:
        assert await orchestrator.accept(request, run_id=run_id) == run_id
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        try:
            return (await orchestrator.resume(run_id)).state
        except RunBusy as error:
            return f"busy: {error}"


def runs_below(events: Sequence[JsonObject], known: Sequence[str]) -> list[str]:
    """Ids of the runs one level down that a journal tells of, without those that are known."""
    told = [str(event["sub_run_id"]) for event in events if event["type"] == "SubRequestStarted"]
    return [run_id for run_id in dict.fromkeys(told) if run_id not in known]


def begun(events: Sequence[JsonObject]) -> Iterator[tuple[str, float]]:
    """Key and expected cost, US dollars, of every attempt that a journal tells the beginning of.

    Composite tasks cost what their parts cost, which those parts tell.
    """
    for event in events:
        if event["type"] == "AttemptStarted" and event["operation"] != SUB_REQUEST:
            usd: Any = event["reserved_usd"]
            yield str(event["idempotency_key"]), float(usd)


def closed_keys(events: Sequence[JsonObject]) -> set[str]:
    """Keys of the attempts that a journal tells the end of: they may never be made again."""
    keys: dict[tuple[object, object], str] = {}
    closed: set[str] = set()
    for event in events:
        task = event.get("task_id")
        if event["type"] == "AttemptStarted":
            keys[task, event["number"]] = str(event["idempotency_key"])
        elif event["type"] == "AttemptEnded":
            attempt: Any = event["attempt"]
            if attempt["outcome"] != "canceled":
                closed.add(keys[task, attempt["number"]])
        elif event["type"] == "TaskEnded":
            result: Any = event["result"]
            if result["status"] in ("completed", "failed"):
                closed |= {key for (one, _), key in keys.items() if one == task}
    return closed
