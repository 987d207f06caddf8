"""Helpers of the data analyst's tests: real files, and assignments with their checks."""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from genesis.agents.assignment import Assignment
from genesis.agents.data_analyst.agent import CARD, CHECKS, CHECKS_OF_DATA, run
from genesis.tasks.checks import Submission
from genesis.tasks.task import Task, TaskOutput, Verdict
from infrastructure.jsonvalue import JsonObject, JsonValue


def vega(name: str) -> Path:
    """A data file of the installed vega_datasets package."""
    spec = importlib.util.find_spec("vega_datasets")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "_data" / name


@dataclass
class Room:
    """A workspace with one data file, in which the agent's skills run one after another."""

    workspace: Path
    dataset: Path
    request: str
    inputs: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def __post_init__(self) -> None:
        self.artifacts = self.workspace / "artifacts"
        self.artifacts.mkdir(exist_ok=True)
        self.inputs["dataset"] = str(self.dataset)

    def task(self, operation: str) -> Task:
        skill = next(skill for skill in CARD.skills if skill.id == operation)
        return Task("t", self.request, "data_analysis", operation, skill.requires, skill.produces)

    async def do(self, operation: str) -> TaskOutput:
        task = self.task(operation)
        output = await run(
            Assignment(task, self.request, dict(self.inputs), self.workspace, self.artifacts)
        )
        self.inputs.update(output.data)
        return output

    async def check(self, operation: str, output: TaskOutput) -> Verdict:
        task = self.task(operation)
        check = CHECKS[CHECKS_OF_DATA[task.produces[0]]]
        return await check(
            Submission(
                task, self.request, dict(self.inputs), output, {}, self.workspace, self.artifacts
            )
        )

    async def answers(self) -> JsonObject:
        """The answers, after the check has accepted them."""
        output = await self.do("answer_questions")
        verdict = await self.check("answer_questions", output)
        assert verdict.passed, verdict.reason
        return cast("JsonObject", output.data["data_answers"])


def room(folder: Path, source: Path, request: str) -> Room:
    """A room with a copy of a file."""
    return Room(folder, Path(shutil.copy(source, folder)), request)


def written(folder: Path, name: str, content: str | bytes, request: str) -> Room:
    """A room with a file of this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Room(folder, path, request)


def values(answers: JsonObject) -> list[Any]:
    """The value of each answer."""
    listed = cast("list[Mapping[str, Any]]", answers["answers"])
    return [item["value"] for item in listed]


def tabular(value: object) -> list[list[Any]]:
    """A value's rows without their headings."""
    rows = cast("list[dict[str, Any]]", value)
    return [list(row.values()) for row in rows]


def agrees(found: object, expected: object) -> bool:
    """Whether a value is what pandas gives: numbers to one part in a billion."""
    if isinstance(expected, list):
        items = cast("list[Any]", expected)
        rows: list[Any] = (
            tabular(cast("object", found))
            if isinstance(found, list) and found and isinstance(found[0], dict)
            else cast("list[Any]", found)
        )
        return len(rows) == len(items) and all(map(agrees, rows, items))
    if isinstance(expected, tuple):
        parts, cells = list(cast("tuple[Any, ...]", expected)), list(cast("list[Any]", found))
        return len(parts) == len(cells) and all(map(agrees, cells, parts))
    if isinstance(expected, float) or isinstance(found, float):
        return math.isclose(
            float(cast("float", found)), float(cast("float", expected)), rel_tol=1e-9
        )
    return found == expected


def assert_answered(answers: JsonObject, expected: Sequence[object]) -> None:
    """Every question was understood, and every value is the expected one, in order."""
    found = values(answers)
    assert answers["not_understood"] == []
    assert len(found) == len(expected), found
    for value, wanted in zip(found, expected, strict=True):
        assert agrees(value, wanted), (value, wanted)
