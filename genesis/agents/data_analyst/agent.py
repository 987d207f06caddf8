"""The data analyst: profiles a file, answers questions about it, and writes a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.agents.data_analyst.answers import answer, in_words
from genesis.agents.data_analyst.checks import check_answers, check_profile, check_report
from genesis.agents.data_analyst.ingest import Table, dataset_path, load
from genesis.agents.data_analyst.profile import profile, summary
from genesis.tasks.checks import Check
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError
from infrastructure.jsonvalue import JsonObject

CARD = AgentCard(
    name="data_analyst",
    description="Answers plain-English questions about any data file with executed SQL.",
    skills=(
        Skill(
            id="profile_data",
            description="Describe a data file: rows, columns, kinds, gaps, ranges, duplicates.",
            task_types=("data_analysis",),
            requires=("dataset",),
            produces=("data_profile",),
            seconds=1.0,
        ),
        Skill(
            id="answer_questions",
            description="Answer the request's questions about a data file, with the SQL of each.",
            task_types=("data_analysis",),
            requires=("dataset",),
            produces=("data_answers",),
            seconds=1.0,
        ),
        Skill(
            id="write_data_report",
            description="Write a Markdown report with a chart from a file's profile and answers.",
            task_types=("data_analysis", "documentation"),
            requires=("dataset", "data_profile", "data_answers"),
            produces=("data_report",),
            seconds=2.0,
        ),
    ),
)
CHECKS: Mapping[str, Check] = {
    "data_profile_matches_file": check_profile,
    "data_answers_match_file": check_answers,
    "data_report_complete": check_report,
}
CHECKS_OF_DATA: Mapping[str, str] = {
    "data_profile": "data_profile_matches_file",
    "data_answers": "data_answers_match_file",
    "data_report": "data_report_complete",
}


async def run(assignment: Assignment) -> TaskOutput:
    """Do one of the three skills.

    Raises:
        InputError: the file cannot be read as a table.
        AgentError: no question could be answered, or the task is none of this agent's.
    """
    task = assignment.task
    for skill in CARD.skills:
        if task.operation == skill.id or (
            not task.operation and task.produces and set(task.produces) <= set(skill.produces)
        ):
            try:
                return await asyncio.to_thread(_SKILLS[skill.id], assignment)
            except ImportError as error:
                install = "pip install 'genesis-orchestrator[agents]'"
                raise AgentError(f"the data analyst needs {error.name}: {install}") from error
    raise AgentError(
        f"the data analyst cannot do {task.operation or task.produces!r}; it can "
        + ", ".join(skill.id for skill in CARD.skills)
    )


def _open(assignment: Assignment) -> Table:
    folders = (assignment.workspace, assignment.artifacts_dir)
    return load(dataset_path(assignment.inputs.get("dataset"), *folders))


def _profile(assignment: Assignment) -> TaskOutput:
    table = _open(assignment)
    try:
        found = profile(table)
    finally:
        table.close()
    return TaskOutput(summary(found), {"data_profile": found})


def _answer(assignment: Assignment) -> TaskOutput:
    table = _open(assignment)
    try:
        found = answer(assignment.request or assignment.task.description, table)
    finally:
        table.close()
    return TaskOutput(in_words(found), {"data_answers": found})


def _report(assignment: Assignment) -> TaskOutput:
    from genesis.agents.data_analyst.chart import choose, draw
    from genesis.agents.data_analyst.report import markdown

    table = _open(assignment)
    try:
        profiled = _upstream(assignment, "data_profile", table.sha256)
        answered = _upstream(assignment, "data_answers", table.sha256)
        picture = choose(answered, table)
    finally:
        table.close()
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(table.facts.file).stem)
    chart = assignment.artifacts_dir / f"{stem}_chart.png"
    report = assignment.artifacts_dir / f"{stem}_report.md"
    draw(picture, chart)
    try:
        text = markdown(profiled, answered, chart.name)
    except (KeyError, TypeError) as error:
        raise AgentError(f"the profile or the answers lack {error}; make them again") from error
    report.write_text(text, encoding="utf-8")
    data: JsonObject = {
        "markdown_path": str(report),
        "chart_path": str(chart),
        "sha256": table.sha256,
        "summary": in_words(answered),
    }
    told = f"The report on {table.facts.file} is {report.name}, its chart {chart.name}."
    return TaskOutput(told, {"data_report": data}, (str(report), str(chart)))


def _upstream(assignment: Assignment, name: str, sha256: str) -> JsonObject:
    datum = assignment.inputs.get(name)
    if not isinstance(datum, Mapping):
        raise AgentError(f"the report needs {name!r}; run the task that makes it first")
    if datum.get("sha256") != sha256:
        raise AgentError(f"{name!r} was made from another version of the file; make it again")
    return datum


_SKILLS: Mapping[str, Callable[[Assignment], TaskOutput]] = {
    "profile_data": _profile,
    "answer_questions": _answer,
    "write_data_report": _report,
}
