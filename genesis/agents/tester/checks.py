"""Proves a test report: a second run with a reporter and a line tracer of our own.

Statements are counted from the syntax tree, executed lines by `sys.settrace`: neither pytest's
JUnit file nor coverage takes part. What differs is looked at in one more run, and only what both
runs contradict refutes the report, so that a flaky test does not condemn an honest one.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel

from genesis.agents.evidence import Refuted, check_of, require, require_equal, without_addresses
from genesis.agents.files import digest_of, read_source, resolve_input, source_files, time_limit_s
from genesis.agents.subprocesses import confinement_of, run_bounded
from genesis.agents.tester.command import (
    is_measured,
    pytest_environment,
    pytest_options,
    require_tools,
)
from genesis.agents.tester.report import Failure, FileCoverage, TestReport, percent_of
from genesis.agents.tester.statements import Statements, statements_of
from genesis.tasks.checks import Check, Submission
from infrastructure.errors import AgentError

TESTS_PROVEN = "tests_proven"
_LIMIT_S = 600.0
_OBSERVER = Path(__file__).with_name("observe_tests.py")
_ROUNDING = 0.006
_TIMES, _SLACK_S = 20.0, 10.0
_SHORTENED_AT_LEAST = 100


class _Fault(BaseModel):
    """Why a test failed: the exception's type, the lines it said, places in the project."""

    type: str
    said: list[str]
    places: list[tuple[str, int]]


class _Seen(BaseModel):
    """What the observer wrote."""

    outcomes: dict[str, str]
    faults: dict[str, _Fault]
    lines: dict[str, list[int]]


async def _prove(submission: Submission, claim: TestReport) -> str:
    require_tools()
    project = resolve_input(submission, "project")
    require_equal("project", claim.project, str(project))
    files = await asyncio.to_thread(source_files, project, configuration=True)
    digest = await asyncio.to_thread(digest_of, project, files)
    require_equal("digest (files were changed since)", claim.digest, digest)
    _agree_with_each_other(claim)
    statements = await asyncio.to_thread(_statements, project, claim)
    contradicted = set(
        _contradictions(claim, await _observe(submission, project, claim), statements)
    )
    if contradicted:
        again = await _observe(submission, project, claim)
        contradicted &= set(_contradictions(claim, again, statements))
    if contradicted:
        raise Refuted("; ".join(sorted(contradicted)[:5]))
    return (
        f"{claim.total} tests run again with another reporter;"
        f" lines of {len(claim.coverage.files)} files traced anew"
    )


def _agree_with_each_other(claim: TestReport) -> None:
    counts = (claim.passed, claim.failed, claim.errors, claim.skipped)
    require(min(counts) >= 0 and claim.total > 0, "a count is negative, or there are no tests")
    require_equal("total", claim.total, sum(counts))
    require_equal("failures listed", len(claim.failures), claim.failed + claim.errors)
    tests = {item.test for item in claim.failures}
    require_equal("different failures", len(tests), len(claim.failures))
    require("pytest" in claim.command, "the command is not pytest's")
    coverage = claim.coverage
    missing = 0
    for file in coverage.files:
        require(
            file.missing_lines == sorted(set(file.missing_lines)),
            f"{file.path}: missing lines are repeated or out of order",
        )
        missing += len(file.missing_lines)
        _require_percent(file.path, file.percent, file.statements, len(file.missing_lines))
    require_equal(
        "different files", len({file.path for file in coverage.files}), len(coverage.files)
    )
    require_equal(
        "statements", coverage.statements, sum(file.statements for file in coverage.files)
    )
    _require_percent("total", coverage.percent, coverage.statements, missing)


def _require_percent(what: str, claimed: float, statements: int, missing: int) -> None:
    found = percent_of(statements, missing)
    require(abs(claimed - found) < _ROUNDING, f"coverage of {what} is {found} %, not {claimed} %")


def _statements(project: Path, claim: TestReport) -> dict[str, Statements]:
    """Statements of every source file of the project; those claimed must be among them."""
    own = [PurePosixPath(path.relative_to(project)) for path in source_files(project)]
    found: dict[str, Statements] = {}
    for path in own:
        if is_measured(path, own):
            try:
                found[path.as_posix()] = statements_of(read_source(project / path))
            except (SyntaxError, ValueError, RecursionError, AgentError):
                continue  # it cannot run, so that nothing of it can be covered
    for file in claim.coverage.files:
        require(file.path in found, f"{file.path} is not a source file of the project")
    return found


async def _observe(submission: Submission, project: Path, claim: TestReport) -> _Seen:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        output = scratch / "seen.json"
        completed = await run_bounded(
            [sys.executable, str(_OBSERVER), str(output), *pytest_options()],
            cwd=project,
            timeout_s=time_limit_s(submission.task.timeout_s, _LIMIT_S),
            environment=pytest_environment(project, scratch),
            confined=confinement_of(submission, scratch, [_OBSERVER]),
        )
        if not output.exists():
            ending = "did not end" if completed.timed_out else "could not be run"
            raise Refuted(f"the tests {ending} a second time")
        allowed = completed.duration_s * _TIMES + _SLACK_S
        require(0 < claim.duration_s <= allowed, f"duration {claim.duration_s:g} s is not credible")
        return _Seen.model_validate_json(output.read_bytes())


def _contradictions(
    claim: TestReport, seen: _Seen, statements: dict[str, Statements]
) -> Iterator[str]:
    counted = Counter(seen.outcomes.values())
    claimed = {
        "passed": claim.passed,
        "failed": claim.failed,
        "error": claim.errors,
        "skipped": claim.skipped,
    }
    for outcome, number in claimed.items():
        if number != counted[outcome]:
            yield f"{outcome}: the result says {number}, a second run {counted[outcome]}"
    for item in claim.failures:
        yield from _failure_contradictions(item, seen)
    covered = {file.path: file for file in claim.coverage.files}
    for path, known in statements.items():
        executed = known.executed(seen.lines.get(path, ()))
        if path in covered:
            yield from _line_contradictions(covered[path], known, executed)
        elif known.certain & executed:
            yield f"{path} was executed and is not in the coverage"


def _failure_contradictions(item: Failure, seen: _Seen) -> Iterator[str]:
    outcome = seen.outcomes.get(item.test)
    if outcome not in {"failed", "error"}:
        yield f"{item.test}: the result says it fails, a second run: {outcome or 'no such test'}"
        return
    fault = seen.faults.get(item.test)
    if fault is None:
        return  # it failed without an exception: an expected failure that passed, strictly
    if item.exception != fault.type:
        yield f"{item.test}: {item.exception}, in a second run {fault.type}"
    said = {without_addresses(line) for line in fault.said}
    first = without_addresses((item.message.splitlines() or [""])[0]).strip()
    if not _is_said(first, said):
        yield f"{item.test}: a second run did not say {first!r}"
    place = fault.places[-1] if fault.places else ("", 0)
    if (item.file, item.line) != place:
        yield f"{item.test}: at {item.file}:{item.line}, in a second run {place[0]}:{place[1]}"


def _is_said(first: str, said: set[str]) -> bool:
    """Whether a second run said the line; of one that pytest shortened, its beginning counts."""
    stem, ellipsis, rest = first.rpartition("...")
    if ellipsis and len(stem) >= _SHORTENED_AT_LEAST and not rest.strip("'\")"):
        return any(line.startswith(stem) for line in said)
    return first in said or not (first or any(said))


def _line_contradictions(
    file: FileCoverage, known: Statements, executed: set[int]
) -> Iterator[str]:
    if not len(known.certain) <= file.statements <= len(known.possible):
        yield f"{file.path}: {file.statements} statements, counted {len(known.certain)}"
    missing = set(file.missing_lines)
    if missing - known.possible:
        yield f"{file.path}: lines {sorted(missing - known.possible)} are no statements"
    if missing & known.certain & executed:
        yield f"{file.path}: lines {sorted(missing & known.certain & executed)} were executed"
    unseen = known.certain - executed - missing
    if unseen:
        yield f"{file.path}: lines {sorted(unseen)} were not executed and are not named"


CHECKS: dict[str, Check] = {TESTS_PROVEN: check_of(TESTS_PROVEN, "test_report", TestReport, _prove)}
CHECKS_OF_DATA = {"test_report": TESTS_PROVEN}
