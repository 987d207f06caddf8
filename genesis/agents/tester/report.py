"""What the tester hands in as `test_report`."""

from __future__ import annotations

from genesis.agents.evidence import Claim


class Failure(Claim):
    """A test that failed, or could not be set up, torn down or collected.

    Attributes:
        test: pytest's node id; of a file that cannot be collected, its path.
        exception: the exception's type without its module; empty when none was raised.
        message: what it says, at most ten lines.
        file, line: the innermost place in the project (relative path); empty and 0 if unknown.
    """

    test: str
    exception: str
    message: str
    file: str
    line: int


class FileCoverage(Claim):
    """Line coverage of one source file: `percent` of `statements`; lines by number from 1."""

    path: str
    statements: int
    percent: float
    missing_lines: list[int]


class Coverage(Claim):
    """Line coverage of the project's Python files without its tests."""

    percent: float
    statements: int
    files: list[FileCoverage]


class TestReport(Claim):
    """Counts, causes and coverage of one run of a project's tests.

    Attributes:
        project: absolute path of the folder.
        digest: SHA-256 over its Python and configuration files when the tests were run.
        passed, failed, errors, skipped, total: tests; a file that cannot be collected is an error.
        failures: one for each failed test and each error.
        duration_s: wall time of the run, seconds.
        command: what was run in the project's folder.
    """

    __test__ = False  # not a test class of pytest's

    project: str
    digest: str
    passed: int
    failed: int
    errors: int
    skipped: int
    total: int
    failures: list[Failure]
    coverage: Coverage
    duration_s: float
    command: str


def percent_of(statements: int, missing: int) -> float:
    """Covered share of statements, percent with two decimals; 0 when there are none."""
    return round(100 * (statements - missing) / statements, 2) if statements else 0.0
