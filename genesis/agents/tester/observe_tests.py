"""Run as a script: run pytest with a reporter and a line tracer of its own; write JSON.

Usage: observe_tests.py OUTPUT [PYTEST OPTION ...], in the project's folder. It imports nothing of
Genesis, and its folder is taken off the path before pytest starts.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

_ROOT = Path.cwd().resolve()
_RANK = ("passed", "skipped", "failed", "error")


class Lines:
    """Lines executed in files below the current folder, by relative path."""

    def __init__(self) -> None:
        self.executed: dict[str, set[int]] = {}
        self._relative: dict[str, str] = {}

    def start(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(None)
        threading.settrace(None)  # pyright: ignore[reportArgumentType] - None turns it off

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        if name not in self._relative:
            self._relative[name] = _relative(name)
        if not self._relative[name]:
            return None
        lines = self.executed.setdefault(self._relative[name], set())

        def line(inner: FrameType, _event: str, _argument: object) -> Any:
            lines.add(inner.f_lineno)
            return line

        return line


def _relative(name: str) -> str:
    if name.startswith("<"):
        return ""
    path = Path(name).resolve()
    return path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else ""


class Reporter:
    """A pytest plugin: the worst outcome and the last exception of each node."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.faults: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._note(report.nodeid, "failed" if report.when == "call" else "error")
        elif report.skipped:
            self._note(report.nodeid, "skipped")
        elif report.when == "call":
            self._note(report.nodeid, "passed")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._note(report.nodeid, "error" if report.failed else "skipped")

    def pytest_exception_interact(
        self, call: pytest.CallInfo[Any], report: pytest.TestReport | pytest.CollectReport
    ) -> None:
        if call.excinfo is not None:
            fault = _fault(call.excinfo.value, report.longreprtext)
            if fault["type"] == "FixtureLookupError" and isinstance(report, pytest.TestReport):
                file, line, _ = report.location  # raised in pytest, for the test's own header
                fault["places"] = [(file, (line or 0) + 1)]
            self.faults[report.nodeid] = fault

    def _note(self, test: str, outcome: str) -> None:
        earlier = self.outcomes.get(test, outcome)
        self.outcomes[test] = max(earlier, outcome, key=_RANK.index)


def _fault(error: BaseException, text: str) -> dict[str, object]:
    if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
        error = error.__cause__
    places = _places(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        places.append((_relative(error.filename), error.lineno or 0))
    message = str(error.msg if isinstance(error, SyntaxError) else error)
    said = [message, *(line.removeprefix("E").strip() for line in text.splitlines())]
    return {
        "type": type(error).__name__,
        "said": [line.strip() for line in "\n".join(said).splitlines()],
        "places": [place for place in places if place[0]],
    }


def _places(trace: TracebackType | None) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while trace is not None:
        if not trace.tb_frame.f_locals.get("__tracebackhide__"):
            found.append((_relative(trace.tb_frame.f_code.co_filename), trace.tb_lineno))
        trace = trace.tb_next
    return found


def main() -> None:
    output, *options = sys.argv[1:]
    sys.path[0] = str(_ROOT)
    reporter, lines = Reporter(), Lines()
    lines.start()
    try:
        code = pytest.main(options, plugins=[reporter])
    finally:
        lines.stop()
    seen = {
        "outcomes": reporter.outcomes,
        "faults": reporter.faults,
        "lines": {name: sorted(executed) for name, executed in lines.executed.items()},
    }
    Path(output).write_text(json.dumps(seen), encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    main()
