"""Proves a diagnosis: the script is run again under an excepthook instead of reading its text."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from pydantic import BaseModel

from genesis.agents.debugger.lint import ruff_command
from genesis.agents.debugger.report import Diagnosis
from genesis.agents.debugger.traceback_text import Frame, innermost_of
from genesis.agents.evidence import Refuted, check_of, require, require_equal, without_addresses
from genesis.agents.files import (
    is_within,
    resolve_script,
    script_arguments,
    script_folder,
    sha256_of,
    source_line,
    time_limit_s,
)
from genesis.agents.subprocesses import Completed, confinement_of, run_bounded
from genesis.tasks.checks import Check, Submission

DIAGNOSIS_PROVEN = "diagnosis_proven"
_LIMIT_S = 60.0
_LINT_S = 30.0
_OBSERVER = Path(__file__).with_name("observe_exception.py")
_HINT = re.compile(r"\. Did you (?:mean|forget)[^\n]*\?$")
_CONCISE = re.compile(r":(?P<row>\d+):\d+: (?P<code>[\w-]+):? ")


class _Seen(BaseModel):
    """What the excepthook wrote."""

    type: str
    said: str
    chained: list[str]
    frames: list[tuple[str, int, str]]


async def _prove(submission: Submission, claim: Diagnosis) -> str:
    script = resolve_script(submission)
    require_equal("script", claim.script, str(script))
    require_equal("sha256 (the script was changed since)", claim.sha256, sha256_of(script))
    completed, seen = await _run_again(submission, script)
    _compare_ending(claim, completed, seen)
    if claim.outcome == "exception" and seen is not None:
        await _compare_exception(submission, script, claim, seen)
    _compare_source(submission, script, claim)
    await _compare_findings(script, claim)
    return f"{script.name} run again under an excepthook ended alike: {claim.outcome}"


async def _run_again(submission: Submission, script: Path) -> tuple[Completed, _Seen | None]:
    limit_s = time_limit_s(submission.task.timeout_s, _LIMIT_S)
    arguments = script_arguments(submission)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "seen.json")
        completed = await run_bounded(
            [sys.executable, str(_OBSERVER), str(output), str(script), *arguments],
            cwd=script_folder(submission, script),
            timeout_s=limit_s,
            confined=confinement_of(submission, Path(folder), [_OBSERVER]),
        )
        seen = _Seen.model_validate_json(output.read_bytes()) if output.exists() else None
    return completed, seen


def _compare_ending(claim: Diagnosis, completed: Completed, seen: _Seen | None) -> None:
    if completed.timed_out:
        require_equal("outcome", claim.outcome, "timeout")
        require_equal("exit code after a time-out", claim.exit_code, None)
        return
    require_equal("exit code", claim.exit_code, completed.returncode)
    code = completed.returncode
    found = "exception" if seen else "ok" if code == 0 else "signal" if code < 0 else "exit"
    if found == "exit" and claim.outcome == "exception":
        _compare_printed(claim, completed.stderr)
        return
    require_equal("outcome", claim.outcome, found)
    if found != "exception":
        require_equal("exception", claim.exception, "")
        require_equal("message", claim.message, "")
        require_equal("earlier exceptions", claim.chained, [])
        if found != "signal":
            place = (claim.file, claim.line, claim.function)
            require_equal("place of no failure", place, ("", 0, ""))
        require(claim.ran, "the script was run, the result says it was not")


def _compare_printed(claim: Diagnosis, stderr: str) -> None:
    """The script caught the exception, printed its traceback and asked for the exit code."""
    said = f"{claim.exception}: {claim.message}" if claim.message else claim.exception
    frame = f'File "{claim.file}", line {claim.line}, in {claim.function}'
    require(claim.ran, "the script was run, the result says it was not")
    for text in (said, frame):
        require(without_addresses(text) in without_addresses(stderr), f"it did not print {text!r}")


async def _compare_exception(
    submission: Submission, script: Path, claim: Diagnosis, seen: _Seen
) -> None:
    require_equal("exception", claim.exception.rsplit(".", 1)[-1], seen.type)
    said = [*claim.chained, f"{claim.exception}: {claim.message}".removesuffix(": ")]
    found = [*seen.chained, seen.said]
    if [_comparable(text) for text in said] != [_comparable(text) for text in found]:
        _, again = await _run_again(submission, script)
        settled = again is None or [*again.chained, again.said] == found
        require(not settled, f"messages: the result says {said!r}, the check found {found!r}")
    roots = [submission.workspace.resolve(), script.parent]
    frames = [Frame(*frame) for frame in seen.frames]
    place = innermost_of(frames, roots) or Frame("", 0, "")
    require_equal("place", Frame(claim.file, claim.line, claim.function), place)
    parsed = bool(frames) and any(Path(frame.file) == script for frame in frames if frame.function)
    require_equal("whether it ran", claim.ran, parsed)
    require(seen.type in claim.cause, f"the cause does not speak of {seen.type}")


def _comparable(said: str) -> str:
    """Only Python's own printing adds a hint; addresses differ between runs."""
    return _HINT.sub("", without_addresses(said))


def _compare_source(submission: Submission, script: Path, claim: Diagnosis) -> None:
    require(bool(claim.cause.strip()), "the cause is empty")
    require(bool(claim.suggestion.strip()), "the suggestion is empty")
    if not claim.line:
        require_equal("source line", claim.source_line, "")
        return
    # Where a hang or a crash was cannot be observed twice; it must be a place in the user's code.
    roots = [submission.workspace.resolve(), script.parent]
    require(is_within(Path(claim.file).resolve(), roots), f"{claim.file} is not the user's code")
    found = source_line(Path(claim.file), claim.line)
    require(bool(found), f"{claim.file} has no line {claim.line}")
    require_equal(f"source of line {claim.line}", claim.source_line, found)


async def _compare_findings(script: Path, claim: Diagnosis) -> None:
    """The same linter, read from its other output: rows and codes, in order."""
    completed = await run_bounded(
        ruff_command(script, "concise"), cwd=script.parent, timeout_s=_LINT_S
    )
    if completed.returncode not in {0, 1}:
        raise Refuted(f"ruff failed: {completed.stderr.strip()[-200:]}")
    found = sorted(
        (int(match["row"]), match["code"])
        for line in completed.stdout.splitlines()
        if (match := _CONCISE.search(line.removeprefix(str(script))))
    )
    require_equal("ruff findings", [(item.line, item.code) for item in claim.findings], found)
    for item in claim.findings:
        require(item.message in completed.stdout, f"ruff does not say {item.message!r}")


CHECKS: dict[str, Check] = {
    DIAGNOSIS_PROVEN: check_of(DIAGNOSIS_PROVEN, "diagnosis", Diagnosis, _prove)
}
CHECKS_OF_DATA = {"diagnosis": DIAGNOSIS_PROVEN}
