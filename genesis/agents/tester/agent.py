"""The tester: runs a project's tests and reports counts, causes of failures and line coverage.

A report of failing tests is a finding, not a failure of the agent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.agents.files import Bounded, digest_of, resolve_input, source_files, time_limit_s
from genesis.agents.subprocesses import confinement_of
from genesis.agents.tester.checks import CHECKS, CHECKS_OF_DATA
from genesis.agents.tester.command import require_tools
from genesis.agents.tester.junit import read_junit
from genesis.agents.tester.measure import read_coverage, run_pytest
from genesis.agents.tester.report import TestReport
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError, WorkspaceError
from infrastructure.text import counted

__all__ = ["CARD", "CHECKS", "CHECKS_OF_DATA", "run"]

CARD = AgentCard(
    name="tester",
    description="Runs a project's tests with pytest and measures line coverage.",
    skills=(
        Skill(
            id="run_tests",
            description="Run pytest: counts, failures with their causes, line coverage per file.",
            task_types=("testing",),
            requires=("project",),
            produces=("test_report",),
            seconds=20.0,
        ),
    ),
)
DEFAULT_LIMIT_S = 300.0
_SHOWN = 20


async def run(assignment: Assignment) -> TaskOutput:
    """Run the tests of the input `project`.

    Raises:
        AgentError: no tests, no end in time, a configuration that pytest refuses, missing tools.
        InputError: the project cannot be used.
    """
    require_tools()
    project = project_folder(assignment)
    files = await asyncio.to_thread(source_files, project, configuration=True)
    digest = await asyncio.to_thread(digest_of, project, files)
    scratch = assignment.artifacts_dir
    limit_s = time_limit_s(assignment.task.timeout_s, DEFAULT_LIMIT_S)
    confined = confinement_of(assignment, scratch)
    measured = await run_pytest(project, scratch, limit_s, confined)
    outcomes = await asyncio.to_thread(read_junit, measured.junit, project)
    if not outcomes.by_test:
        raise AgentError(f"pytest ran no test in {project}; is every one deselected?")
    report = TestReport(
        project=str(project),
        digest=digest,
        passed=outcomes.count("passed"),
        failed=outcomes.count("failed"),
        errors=outcomes.count("error"),
        skipped=outcomes.count("skipped"),
        total=len(outcomes.by_test),
        failures=outcomes.failures,
        coverage=await read_coverage(project, scratch, confined),
        duration_s=measured.completed.duration_s,
        command=measured.command,
    )
    return TaskOutput(
        text=_text(report),
        data={"test_report": report.model_dump()},
        artifacts=(str(measured.junit),),
    )


def project_folder(given: Bounded) -> Path:
    """The folder named by the input `project`.

    Raises:
        WorkspaceError: as `resolve_input`, or it is no folder.
    """
    project = resolve_input(given, "project")
    if not project.is_dir():
        raise WorkspaceError(f"project {project} is not a folder; give the folder of the tests")
    return project


def _text(report: TestReport) -> str:
    bad = report.failed + report.errors
    verdict = "All tests pass" if report.passed else "No test ran to its end"
    if bad:
        verdict = f"{bad} of {report.total} tests fail"
    lines = [
        f"{verdict}: {report.passed} passed, {report.failed} failed,"
        f" {counted(report.errors, 'error')}, {report.skipped} skipped"
        f" in {report.duration_s:.1f} s.",
        *[
            f"- {item.test}: {item.exception or 'failed'}:"
            f" {(item.message.splitlines() or [''])[0]} ({item.file}:{item.line})"
            for item in report.failures[:_SHOWN]
        ],
    ]
    if bad > _SHOWN:
        lines.append(f"- and {bad - _SHOWN} more")
    coverage = report.coverage
    if not coverage.files:
        return "\n".join([*lines, "No source file outside the tests was measured."])
    lines.append(f"Line coverage {coverage.percent:g} % of {coverage.statements:,} statements:")
    by_percent = sorted(coverage.files, key=lambda file: (file.percent, file.path))
    lines += [
        f"- {file.path}: {file.percent:g} %, {counted(len(file.missing_lines), 'line')} missing"
        for file in by_percent[:_SHOWN]
    ]
    return "\n".join(lines)
