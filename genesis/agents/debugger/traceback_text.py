"""Reads what Python prints when a program dies: tracebacks, chained or not, and faulthandler's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_HEADER = re.compile(r"^(?:  \+ )?(?:Exception Group )?Traceback \(most recent call last\):$")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_FAULT_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')
_EXCEPTION = re.compile(r"^(?P<type>[^\W\d][\w.<>]*)(?:: (?P<message>.*))?$")
_GROUP_MARGIN = re.compile(r"^  [|+] ")
_LINK = re.compile(
    r"^(?:During handling of the above exception|The above exception was the direct cause)"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One place of a traceback; `function` is empty for a syntax error."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception with its traceback, outermost frame first."""

    exception: str
    message: str
    frames: tuple[Frame, ...]

    @property
    def said(self) -> str:
        """Type and message as Python prints them."""
        return f"{self.exception}: {self.message}" if self.message else self.exception


def parse_traceback(stderr: str) -> list[Raised]:
    """The exceptions of the last traceback in the text: what it came from first, itself last."""
    lines = [_GROUP_MARGIN.sub("", line) for line in stderr.splitlines()]
    starts = [index for index, line in enumerate(lines) if _HEADER.match(line)]
    raised: list[Raised] = []
    for start, end in pairwise([*starts, len(lines)]):
        block = _parse_block(lines[start + 1 : end])
        if block is not None:
            if not _is_linked(lines[:start]):
                raised = []  # an unrelated traceback that the program printed and survived
            raised.append(block)
    return raised or _bare_syntax_error(lines)


def parse_fault(stderr: str) -> tuple[Frame, ...]:
    """The frames that faulthandler printed at a fatal signal, outermost first."""
    lines = stderr.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("Current thread ")]
    if not heads:
        return ()
    frames: list[Frame] = []
    for line in lines[heads[-1] + 1 :]:
        match = _FAULT_FRAME.match(line)
        if match is None:
            break
        frames.append(_frame(match))
    return tuple(reversed(frames))


def innermost_of(frames: Sequence[Frame], roots: Sequence[Path]) -> Frame | None:
    """The innermost frame in a file below one of the folders and not in an installed package."""
    for frame in reversed(frames):
        path = Path(frame.file)
        if "site-packages" in path.parts or not path.is_absolute():
            continue
        if any(path.resolve().is_relative_to(root) for root in roots):
            return frame
    return None


def _frame(match: re.Match[str]) -> Frame:
    return Frame(match["file"], int(match["line"]), match["function"] or "")


def _is_linked(before: Sequence[str]) -> bool:
    return any(_LINK.match(line) for line in before[-3:])


def _parse_block(lines: Sequence[str]) -> Raised | None:
    frames = [_frame(match) for line in lines if (match := _FRAME.match(line))]
    for index, line in enumerate(lines):
        match = _EXCEPTION.match(line)
        if match is not None and frames:
            return Raised(
                match["type"], _message(match["message"] or "", lines[index + 1 :]), tuple(frames)
            )
    return None


def _message(first: str, following: Sequence[str]) -> str:
    """An exception's message may span lines; it ends before a chained traceback's link."""
    rest: list[str] = []
    for line in following:
        if _LINK.match(line) or line.startswith("  +-"):
            break
        rest.append(line)
    return "\n".join([first, *rest]).rstrip()


def _bare_syntax_error(lines: Sequence[str]) -> list[Raised]:
    """A script that cannot be parsed is reported without the traceback's header."""
    for start, line in enumerate(lines):
        if _FRAME.match(line) and (block := _parse_block(lines[start:])):
            return [block]
    return []
