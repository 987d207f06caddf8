"""An agent of one's own: answers questions about a data file from its first 1,000 lines.

Quick and free, right for short files, wrong for long ones. The demo registers it beside the data
analyst that ships, to show how a result that fails its acceptance check is caught, handed to
another agent, and remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

from genesis import Assignment, Skill, TaskOutput
from genesis.agents.data_analyst import agent as data_analyst
from infrastructure.jsonvalue import JsonValue

LINES = 1_000

SKILLS = (
    Skill(
        id="answer_questions",
        description=f"Answer questions about a data file from its first {LINES} lines.",
        task_types=("data_analysis", "general"),
        requires=("dataset",),
        produces=("data_answers",),
        seconds=0.05,
    ),
)


async def quick_look(assignment: Assignment) -> TaskOutput:
    """Answer from the beginning of the file alone."""
    dataset = Path(str(assignment.inputs["dataset"]))
    head = assignment.artifacts_dir / dataset.name
    await asyncio.to_thread(_copy_head, dataset, head)
    answer = await data_analyst.run(replace(assignment, inputs={"dataset": str(head)}))
    found = cast("Mapping[str, JsonValue]", answer.data["data_answers"])
    digest = await asyncio.to_thread(lambda: hashlib.sha256(dataset.read_bytes()).hexdigest())
    return replace(answer, data={"data_answers": {**found, "sha256": digest}})


def _copy_head(source: Path, target: Path) -> None:
    with source.open("rb") as lines:
        target.write_bytes(b"".join(islice(lines, LINES)))
