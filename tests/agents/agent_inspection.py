"""What the tests of the inspecting agents share: assignments, submissions, corrupted results."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genesis.agents.assignment import Assignment
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import Task, TaskOutput, Verdict
from infrastructure.jsonvalue import JsonObject, JsonValue

Data = dict[str, Any]
GARBAGE: tuple[JsonValue, ...] = (
    None, "", "text", 0, 7, True, -1.5, [], [1], [[]], {}, {"x": 1}, [{"script": None}],
)  # fmt: skip


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Children can be interrupted even where this process was started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def assignment(
    workspace: Path,
    inputs: JsonObject,
    produces: str,
    artifacts: Path | None = None,
    timeout_s: float | None = None,
) -> Assignment:
    """An assignment with an artifacts folder beside the workspace."""
    folder = artifacts or workspace.parent / f"{workspace.name}-artifacts"
    folder.mkdir(exist_ok=True)
    task = Task(
        id="t",
        description="d",
        task_type="general",
        requires=tuple(inputs),
        produces=(produces,),
        timeout_s=timeout_s,
    )
    return Assignment(task, "request", inputs, workspace, folder)


async def verdict_of(check: Check, given: Assignment, output: TaskOutput) -> Verdict:
    return await check(
        Submission(
            given.task,
            given.request,
            given.inputs,
            output,
            {},
            given.workspace,
            given.artifacts_dir,
        )
    )


def corrupted(output: TaskOutput, name: str, change: Callable[[Data], None]) -> TaskOutput:
    """A copy of the output in which one datum was changed."""
    data = datum(output, name)
    change(data)
    return TaskOutput(output.text, {name: data}, output.artifacts, output.usage)


def datum(output: TaskOutput, name: str) -> Data:
    value = output.data[name]
    assert isinstance(value, Mapping)
    return copy.deepcopy(dict(value))


async def assert_garbage_is_rejected(
    check: Check, given: Assignment, output: TaskOutput, name: str
) -> None:
    """No shape of data crashes a check, not even in the place of any single field."""
    honest = datum(output, name)
    shapes: list[JsonValue] = list(GARBAGE)
    for key in honest:
        shapes.append({k: v for k, v in honest.items() if k != key})
        shapes.append(honest | {key: {"\0": [None]}})
    for shape in shapes:
        verdict = await verdict_of(check, given, TaskOutput("t", {name: shape}))
        assert not verdict.passed, shape
        assert verdict.reason
    assert not (await verdict_of(check, given, TaskOutput("t"))).passed
