"""Runs pytest under coverage and reads both of their files."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ValidationError

from genesis.agents.files import source_files
from genesis.agents.subprocesses import Completed, Confinement, run_bounded
from genesis.agents.tester.command import is_measured, pytest_environment, pytest_options
from genesis.agents.tester.report import Coverage, FileCoverage, percent_of
from infrastructure.errors import AgentError

_INTERRUPT_S = 3.0
_REPORT_S = 120.0
_NO_TESTS, _USAGE, _INTERNAL = 5, 4, 3
_RUNNING = re.compile(r"^(?P<test>\S+::\S.*?)\s*(?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)?\s*"
                      r"(?:\[\s*\d+%\])?$", re.MULTILINE)  # fmt: skip
# Only the pragma that authors write by hand excludes a line, so that any reader can recount.
_CONFIGURATION = """\
[run]
source = .
relative_files = true
disable_warnings = no-data-collected,module-not-measured,module-not-imported,no-ctracer
[report]
exclude_lines = #\\s*pragma: no cover
ignore_errors = true
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished run: its process, its JUnit file, and the command without our own paths."""

    completed: Completed
    junit: Path
    command: str


async def run_pytest(
    project: Path, scratch: Path, limit_s: float, confined: Confinement | None
) -> Measured:
    """Run the project's tests; everything written goes to `scratch`.

    Raises:
        AgentError: there are no tests, they do not end in time, or pytest cannot run them.
    """
    settings, data, junit = (scratch / name for name in ("coveragerc", ".coverage", "junit.xml"))
    settings.write_text(_CONFIGURATION, encoding="utf-8")
    junit.unlink(missing_ok=True)
    options = [*pytest_options(), "-o", "junit_family=xunit1", f"--junitxml={junit}"]
    coverage = ["-m", "coverage", "run", f"--rcfile={settings}", f"--data-file={data}"]
    completed = await run_bounded(
        [sys.executable, *coverage, "-m", "pytest", *options],
        cwd=project,
        timeout_s=limit_s,
        interrupt_s=_INTERRUPT_S,
        environment=pytest_environment(project, scratch),
        confined=confined,
    )
    _refuse_unfinished(project, completed, limit_s)
    if not junit.is_file():
        raise AgentError(f"pytest left no report: {_last_words(completed)}")
    command = " ".join(["python", "-m", "pytest", *pytest_options()])
    return Measured(completed, junit, command)


def _refuse_unfinished(project: Path, completed: Completed, limit_s: float) -> None:
    code = completed.returncode
    if completed.timed_out:
        raise AgentError(
            f"the tests of {project.name} did not end within {limit_s:g} s;"
            f" running then: {_running(completed)}"
        )
    if code < 0:
        raise AgentError(f"pytest was ended by signal {-code}; running then: {_running(completed)}")
    if code == _NO_TESTS:
        raise AgentError(
            f"no tests found in {project}: pytest looks for functions test_* in files test_*.py"
        )
    if code == _USAGE:
        raise AgentError(
            f"pytest refuses the configuration of {project.name}: {_last_words(completed)}"
        )
    if code == _INTERNAL:
        raise AgentError(f"pytest failed in itself: {_last_words(completed)}")


def _running(completed: Completed) -> str:
    """The test that the output stopped at; pytest names each before it starts."""
    named = [match["test"] for match in _RUNNING.finditer(completed.stdout)]
    return named[-1] if named else "nothing yet (collecting)"


def _last_words(completed: Completed) -> str:
    text = completed.stderr.strip() or completed.stdout.strip()
    words = [line.strip() for line in text.splitlines() if "Deprecat" not in line and line.strip()]
    return " | ".join(words[-6:])[-800:] or f"exit code {completed.returncode}"


class _Summary(BaseModel):
    num_statements: int


class _File(BaseModel):
    summary: _Summary
    missing_lines: list[int]


class _Report(BaseModel):
    files: dict[str, _File]


async def read_coverage(project: Path, scratch: Path, confined: Confinement | None) -> Coverage:
    """Line coverage of the project's own files, tests left out.

    Raises:
        AgentError: coverage's data cannot be read.
    """
    target = scratch / "coverage.json"
    options = [f"--rcfile={scratch / 'coveragerc'}", f"--data-file={scratch / '.coverage'}"]
    completed = await run_bounded(
        [sys.executable, "-m", "coverage", "json", *options, "-o", str(target), "-q"],
        cwd=project,
        timeout_s=_REPORT_S,
        confined=confined,  # the data were written by the code that ran
    )
    if not target.is_file():
        if "No data" in completed.stdout + completed.stderr:
            return Coverage(percent=0.0, statements=0, files=[])
        raise AgentError(f"coverage failed: {_last_words(completed)}")
    try:
        report = _Report.model_validate_json(target.read_bytes())
    except ValidationError as error:
        raise AgentError(f"coverage's report cannot be read: {error}") from error
    return _without_tests(project, report)


def _without_tests(project: Path, report: _Report) -> Coverage:
    own = [PurePosixPath(path.relative_to(project)) for path in source_files(project)]
    files = [
        FileCoverage(
            path=PurePosixPath(name).as_posix(),
            statements=file.summary.num_statements,
            percent=percent_of(file.summary.num_statements, len(file.missing_lines)),
            missing_lines=file.missing_lines,
        )
        for name, file in sorted(report.files.items())
        if is_measured(PurePosixPath(name), own) and file.summary.num_statements
    ]
    statements = sum(file.statements for file in files)
    missing = sum(len(file.missing_lines) for file in files)
    return Coverage(percent=percent_of(statements, missing), statements=statements, files=files)
