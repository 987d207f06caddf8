"""Reads pytest's JUnit XML: an outcome for each test, and the cause of each failure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from genesis.agents.tester.report import Failure
from infrastructure.errors import AgentError

_PLACE = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+)(?:: (?P<rest>.*))?$", re.MULTILINE)
_SYNTAX_PLACE = re.compile(r'^E\s+File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_RAISED = re.compile(r"^E\s+(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning))"
                     r"(?:: (?P<message>.*))?$", re.MULTILINE)  # fmt: skip
_NO_FIXTURE = re.compile(r"^E\s+(?P<message>fixture '.*' not found)$", re.MULTILINE)
_ON_SETUP = re.compile(r'^failed on (?:setup|teardown) with "(?P<message>.*)"$', re.DOTALL)
_TYPE_NAME = re.compile(r"^[A-Za-z_]\w*$")
_PREFIX = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*: ")
_WORST_LAST = ("passed", "skipped", "failed", "error")
MESSAGE_LINES = 10


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcome by node id (passed, failed, error, skipped), and the causes of the bad ones."""

    by_test: dict[str, str]
    failures: list[Failure]

    def count(self, outcome: str) -> int:
        return sum(found == outcome for found in self.by_test.values())


def read_junit(path: Path, project: Path) -> Outcomes:
    """Outcomes of a run written with `junit_family=xunit1`.

    Raises:
        AgentError: the file cannot be parsed.
    """
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - pytest wrote it, expat is capped
    except ElementTree.ParseError as error:
        raise AgentError(f"pytest's JUnit XML is damaged: {error}") from error
    outcomes: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    for case in root.iter("testcase"):
        test = _node_id(case, project)
        outcome, detail = _outcome(case)
        if test in outcomes and _rank(outcome) <= _rank(outcomes[test]):
            continue
        outcomes[test] = outcome
        if detail is not None:
            failures[test] = _failure(test, detail, project)
    return Outcomes(outcomes, list(failures.values()))


def _rank(outcome: str) -> int:
    return _WORST_LAST.index(outcome)


def _node_id(case: ElementTree.Element, project: Path) -> str:
    """pytest's node id, which JUnit splits: file, dotted class name, test name."""
    file, name = case.get("file", ""), case.get("name", "")
    classname = case.get("classname", "")
    if not classname:  # a file that could not be collected, as a dotted name
        path = name.replace(".", "/") + ".py"
        return path if (project / path).is_file() else name
    module = file.removesuffix(".py").replace("/", ".")
    inner = classname.removeprefix(module).strip(".")
    return "::".join([file, *inner.split("."), name] if inner else [file, name])


def _outcome(case: ElementTree.Element) -> tuple[str, ElementTree.Element | None]:
    for tag, outcome in (("error", "error"), ("failure", "failed")):
        detail = case.find(tag)
        if detail is not None:
            return outcome, detail
    return ("skipped" if case.find("skipped") is not None else "passed"), None


def _failure(test: str, detail: ElementTree.Element, project: Path) -> Failure:
    text = detail.text or ""
    exception, message = _cause(detail.get("message", ""), text)
    file, line = _place(text, project)
    lines = message.strip().splitlines()[:MESSAGE_LINES]
    return Failure(test=test, exception=exception, message="\n".join(lines), file=file, line=line)


def _cause(message: str, text: str) -> tuple[str, str]:
    """Exception type and message; the last printed exception is the one that ended the test."""
    missing = _NO_FIXTURE.search(text)
    if missing:
        return "FixtureLookupError", missing["message"]
    raised = list(_RAISED.finditer(text))
    if message == "collection failure":
        last = raised[-1] if raised else None
        return (_short(last["type"]), last["message"] or "") if last else ("", text[-500:])
    places = [found for found in _PLACE.finditer(text) if _TYPE_NAME.match(found["rest"] or "")]
    exception = places[-1]["rest"] if places else _short(raised[-1]["type"]) if raised else ""
    on_setup = _ON_SETUP.match(message)
    said = on_setup["message"] if on_setup else message
    prefix = _PREFIX.match(said)
    if prefix and _short(prefix[0][:-2]) == exception:
        said = said[prefix.end() :]
    return exception, said


def _short(qualified: str) -> str:
    return qualified.rsplit(".", 1)[-1]


def _place(text: str, project: Path) -> tuple[str, int]:
    """The last place printed that lies in the project."""
    for pattern in (_SYNTAX_PLACE, _PLACE):
        for found in reversed(list(pattern.finditer(text))):
            path = (project / found["file"]).resolve()
            if path.is_relative_to(project) and path.is_file():
                return path.relative_to(project).as_posix(), int(found["line"])
    return "", 0
