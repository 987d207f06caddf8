"""The jobs of the overhead benchmark: DAGs of agent calls, and the plain asyncio schedule of them.

Only the standard library: frameworks in environments of their own import it too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

Ask = Callable[[str, Mapping[str, str]], Awaitable[str]]
"""Asks the agent of a task, given what the tasks before it answered; answers its text."""


@dataclass(frozen=True)
class Shape:
    """A DAG of agent calls.

    Attributes:
        name: of the shape.
        needs: the tasks in topological order, with those that each waits for.
        seconds: what each agent takes where agents take time.
    """

    name: str
    needs: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]

    @cached_property
    def critical_path(self) -> float:
        """Seconds of the longest path: nothing can be quicker."""
        ends: dict[str, float] = {}
        for task, needs in self.needs.items():
            ends[task] = max((ends[need] for need in needs), default=0.0) + self.seconds[task]
        return max(ends.values())

    @property
    def last(self) -> str:
        """The task that ends the job."""
        return list(self.needs)[-1]


_DIAMOND: dict[str, tuple[str, ...]] = {
    "gather": (),
    "left": ("gather",),
    "right": ("gather",),
    "left_check": ("left",),
    "right_check": ("right",),
    "join": ("left_check", "right_check"),
}
DIAMOND = Shape("diamond", _DIAMOND, dict.fromkeys(_DIAMOND, 0.05))

# One long task beside a chain of four: 1.0 s on the longest path, 1.6 s level by level.
SKEWED = Shape(
    "skewed",
    {
        "begin": (),
        "long": ("begin",),
        "first": ("begin",),
        "second": ("first",),
        "third": ("second",),
        "fourth": ("third",),
        "end": ("long", "fourth"),
    },
    {
        "begin": 0.1,
        "long": 0.8,
        "first": 0.2,
        "second": 0.2,
        "third": 0.2,
        "fourth": 0.2,
        "end": 0.1,
    },
)


class Job:
    """The agents of a shape: what each says, how long it takes, and how often any was asked."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.takes_time = False
        self.calls = 0
        self._counting = threading.Lock()

    async def agent(self, task: str) -> str:
        """Do a task."""
        self.calls += 1
        if self.takes_time:
            await asyncio.sleep(self.shape.seconds[task])
        return f"{task} is done"

    def agent_in_thread(self, task: str) -> str:
        """The same for a framework that asks its models in threads."""
        with self._counting:
            self.calls += 1
        if self.takes_time:
            time.sleep(self.shape.seconds[task])
        return f"{task} is done"


async def run_eagerly(shape: Shape, ask: Ask) -> dict[str, str]:
    """Every task as soon as what it needs is there: the least that asyncio can do it with."""
    running: dict[str, asyncio.Task[str]] = {}

    async def one(task: str) -> str:
        return await ask(task, {need: await running[need] for need in shape.needs[task]})

    async with asyncio.TaskGroup() as group:
        for task in shape.needs:
            running[task] = group.create_task(one(task))
    return {task: done.result() for task, done in running.items()}


def prompt_of(task: str, given: Mapping[str, str]) -> str:
    """What an agent of a peer is told: the task, and what those before it said."""
    return "\n".join([f"Do the task {task}.", *(f"{name}: {said}" for name, said in given.items())])
