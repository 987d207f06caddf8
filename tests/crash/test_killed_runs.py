"""kill -9 at random moments of whole runs: every accepted run is completed, nothing is done twice.

Three runs of about twenty tasks go on at once in a process that is killed at a random moment, and
again in the process that goes on with them, until all are completed; that is one scenario. It is
repeated until `ROUNDS` processes were killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import crash_world
import pytest
from crash_world import KINDS, Job
from rounds import ROUNDS, in_rounds

from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

# Forks of a process that has imported everything and has no thread and no open file.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["crash_preload"])
_HERE = Path(__file__).resolve().parent
_PATIENCE_S = 60.0
_SLACK_USD = 1e-9


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    """Start it; what it imports beforehand it looks for where the environment says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(_HERE), str(_HERE.parents[1])]))
        forkserver.ensure_running()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store on each database."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    crash_world.write_config(tmp_path / "config")
    return tmp_path


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario comes to when nobody is killed.

    Attributes:
        results: by kind of request.
        attempts: what follows the run's id in the idempotency keys of all attempts, by kind.
        seconds: from the moment that the process was ready to its end.
    """

    results: Mapping[str, dict[str, Any]]
    attempts: Mapping[str, set[str]]
    seconds: float


@in_rounds
async def test_killed_at_random_moments(place: str, folder: Path) -> None:
    rng = random.Random(5)
    scenario = Scenario(place, folder, "undisturbed")
    undisturbed = scenario.undisturbed()
    killed, number = 0, 0
    while killed < ROUNDS:
        number += 1
        scenario = Scenario(place, folder, f"scenario-{number}")
        killed += await scenario.run(rng, undisturbed)
        scenario.check(undisturbed)


async def test_killed_between_the_end_of_a_part_and_that_of_its_task(
    place: str, folder: Path
) -> None:
    undisturbed = Scenario(place, folder, "undisturbed").undisturbed()
    scenario = Scenario(place, folder, "between")
    # Then at its last task, when the journal tells of the part what the second process found.
    await scenario.run_dying(crash_world.WITNESS, "nested_end_agent")
    scenario.check(undisturbed)


class Scenario:
    """Runs that are to be completed, whatever happens to the processes."""

    def __init__(self, place: str, folder: Path, name: str) -> None:
        self._job = Job(place, str(folder), name, crash_world.requests(name))
        self._effects = folder / f"effects-{name}"
        self._results = folder / f"results-{name}"
        self._closed: dict[int, set[str]] = {}
        self._begun: list[tuple[str, float]] = []

    def undisturbed(self) -> Undisturbed:
        """Let the runs be."""
        process = _started(crash_world.work, self._job)
        begun = time.monotonic()
        process.end()
        seconds = time.monotonic() - begun
        results = {kind: _compared(self._told(kind)) for kind in KINDS}
        assert {result["state"] for result in results.values()} == {"completed"}
        # Rejected answers and a branch that is planned again are part of it.
        assert _outcomes(results["stubborn"]).count("rejected") == 4
        attempts = {kind: self._attempts(kind) for kind in KINDS}
        assert sum(map(len, attempts.values())) == len(self._deliveries)
        return Undisturbed(results, attempts, seconds)

    async def run(self, rng: random.Random, undisturbed: Undisturbed) -> int:
        """Kill the processes at random moments until the runs are completed; returns how many."""
        window, done = undisturbed.seconds, 0
        for generation in range(1000):
            process = _started(crash_world.work, replace(self._job, generation=generation))
            ended = process.ends_within(rng.uniform(0, window))
            if not ended:
                process.kill()
            journals = await self._journals()
            if ended:
                self._begun = [one for events in journals for one in crash_world.begun(events)]
                return generation
            closed = set[str]().union(*(crash_world.closed_keys(events) for events in journals))
            self._closed[generation + 1] = closed
            # What is left takes less than the whole; going on takes longer on a busy machine.
            delivered = {line["key"] for line in self._deliveries}
            left = 1 - len(closed & delivered) / sum(map(len, undisturbed.attempts.values()))
            window = 2 * window if len(closed) == done else max(0.1, left) * undisturbed.seconds
            done = len(closed)
        raise AssertionError("the runs are never completed")

    async def run_dying(self, *places: str) -> None:
        """Let one process after the other die at its place, and the last one go on to the end."""
        for generation, dies_at in enumerate(places):
            job = replace(self._job, generation=generation)
            assert _started(crash_world.work, job, dies_at).dies()
        process = _started(crash_world.work, replace(self._job, generation=len(places)))
        process.end()
        journals = await self._journals()
        self._begun = [one for events in journals for one in crash_world.begun(events)]

    def check(self, undisturbed: Undisturbed) -> None:
        """Nothing was lost, nothing done again that was known to be done, all as undisturbed."""
        for kind in KINDS:
            told = self._told(kind)
            assert _compared(told) == undisturbed.results[kind]
            # What was under way went out again as the same attempt.
            assert self._attempts(kind) == undisturbed.attempts[kind]
            # What was delivered is paid for, whoever lived to see its answer; at most what began.
            paid = sum(float(line["usd"]) for line in self._of(kind))
            begun = sum(usd for key, usd in self._begun if key.startswith(self._run_id(kind)))
            assert paid - _SLACK_USD <= told["cost_usd"] <= begun + _SLACK_USD
        for generation, closed in self._closed.items():
            later = {line["key"] for line in self._deliveries if line["generation"] >= generation}
            assert not later & closed

    async def _journals(self) -> list[Sequence[JsonObject]]:
        """The journals of the runs and of those one level down, as they are now."""
        memory = WorkflowMemory(Memori.open(self._job.place, tenant=self._job.tenant))
        journals: list[Sequence[JsonObject]] = []
        waiting = list(self._job.wanted)
        try:
            for run_id in waiting:
                journals.append(await memory.events(run_id))
                waiting += crash_world.runs_below(journals[-1], waiting)
        finally:
            await memory.aclose()
        return journals

    @property
    def _deliveries(self) -> list[dict[str, Any]]:
        return [line for line in crash_world.read_effects(self._effects) if "key" in line]

    def _run_id(self, kind: str) -> str:
        return f"{self._job.tenant}-{kind}"

    def _of(self, kind: str) -> list[dict[str, Any]]:
        run_id = self._run_id(kind)
        return [line for line in self._deliveries if line["key"].startswith(run_id)]

    def _attempts(self, kind: str) -> set[str]:
        return {line["key"].removeprefix(self._run_id(kind)) for line in self._of(kind)}

    def _told(self, kind: str) -> dict[str, Any]:
        told = self._results.read_text().replace(self._job.tenant, "*")
        return json.loads(told)[f"*-{kind}"]


async def test_of_two_processes_one_works_and_the_other_says_so(place: str, folder: Path) -> None:
    name = "both"
    run_id = f"{name}-nested"
    job = Job(place, str(folder), name, {run_id: crash_world.requests(name)[run_id]})
    may_end = _PROCESSES.Event()
    processes = [_started(crash_world.compete, replace(job, generation=n), may_end) for n in (1, 2)]
    for process in processes:
        process.say("resume")
    first = _first_to_tell(processes)
    busy = first.hear()
    assert busy.startswith("busy: ")
    assert run_id in busy
    may_end.set()
    (other,) = (process for process in processes if process is not first)
    assert other.hear() == "completed"
    for process in processes:
        process.end()
    deliveries = [e for e in crash_world.read_effects(folder / f"effects-{name}") if "key" in e]
    assert len({line["generation"] for line in deliveries}) == 1
    assert len({line["key"] for line in deliveries}) == len(deliveries)


class Process:
    """A process and the pipe to it."""

    def __init__(self, main: Callable[..., None], *args: object) -> None:
        self.pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(
            target=main, args=(args[0], theirs, *args[1:]), daemon=True
        )
        self._process.start()
        theirs.close()

    def hear(self) -> str:
        """What it tells next."""
        assert self.pipe.poll(_PATIENCE_S), "the process tells nothing"
        return str(self.pipe.recv())

    def say(self, word: str) -> None:
        self.pipe.send(word)

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends by itself, well, in so many seconds."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            return False
        self.end()
        return True

    def dies(self) -> bool:
        """Whether it is killed, and not by us."""
        self._process.join(_PATIENCE_S)
        self.pipe.close()
        return self._process.exitcode == -signal.SIGKILL

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def end(self) -> None:
        """Wait for it to end well."""
        self._process.join(_PATIENCE_S)
        assert self._process.exitcode == 0
        self.pipe.close()


def _started(main: Callable[..., None], *args: object) -> Process:
    """A process that is ready to begin."""
    process = Process(main, *args)
    assert process.hear() == "ready"
    return process


def _first_to_tell(processes: Sequence[Process]) -> Process:
    (pipe, *_) = wait([process.pipe for process in processes], _PATIENCE_S)
    return next(process for process in processes if process.pipe is pipe)


def _compared(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result must not depend on who was killed: not times, and not what was paid."""
    kept = {name: told[name] for name in ("state", "success", "errors", "output") if name in told}
    return {**kept, "tasks": {task["id"]: _compared_task(task) for task in told["tasks"]}}


def _compared_task(task: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: task[name] for name in ("status", "operation", "depends_on", "agent", "verdict")},
        "attempts": [(one["agent"], one["outcome"]) for one in task["attempts"]],
        "below": [(one["run_id"], _compared(one)) for one in task["sub_requests"]],
    }


def _outcomes(compared: Mapping[str, Any]) -> list[str]:
    return [outcome for task in compared["tasks"].values() for _, outcome in task["attempts"]]
