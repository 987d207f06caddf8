"""Acceptance checks by name: what makes a success verified.

A check recomputes or re-reads what an agent claims by another path than the agent's own. It is
attached to the task, not to the agent, so whoever does the task is held to the same proof.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from genesis.tasks.task import Acceptance, Task, TaskOutput, Verdict
from infrastructure.jsonvalue import JsonObject


@dataclass(frozen=True, slots=True)
class Submission:
    """What a check looks at.

    Attributes:
        task: the task that was asked for.
        request: the user's whole request.
        inputs: the named data that the task was given.
        output: what the agent handed in.
        params: the parameters of this acceptance.
        workspace: the folder that bounds every path of the request.
        artifacts_dir: the folder of the run in which agents write files.
        sandboxed: whether code that the check runs must be confined.
    """

    task: Task
    request: str
    inputs: JsonObject
    output: TaskOutput
    params: JsonObject
    workspace: Path
    artifacts_dir: Path
    sandboxed: bool = False


Check: TypeAlias = Callable[[Submission], Awaitable[Verdict]]

PRODUCED = "produced"


async def check_produced(submission: Submission) -> Verdict:
    """Everything the task must produce is there and not empty, and its files exist."""
    output = submission.output
    for name in submission.task.produces:
        if output.data.get(name) in (None, "", [], {}):
            return Verdict(False, PRODUCED, f"{name!r} is missing or empty in the result")
    for path in output.artifacts:
        file = Path(path)
        if not file.is_file() or file.stat().st_size == 0:
            return Verdict(False, PRODUCED, f"the artifact {file.name!r} is missing or empty")
    if not submission.task.produces and not output.text.strip():
        return Verdict(False, PRODUCED, "the answer is empty")
    return Verdict(True, PRODUCED, "everything that was asked for is there")


def checks_for(task: Task, checks_of_data: Mapping[str, str]) -> tuple[Acceptance, ...]:
    """The task's own acceptance, or the checks declared for what it produces, or `produced`.

    What a composite task produces was checked where it was made, with the data it was made from.
    """
    if task.acceptance:
        return task.acceptance
    if task.composite:
        return (Acceptance(PRODUCED),)
    names = [checks_of_data[name] for name in task.produces if name in checks_of_data]
    return tuple(Acceptance(name) for name in dict.fromkeys(names)) or (Acceptance(PRODUCED),)
