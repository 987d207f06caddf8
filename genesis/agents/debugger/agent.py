"""The debugger: runs a script and says how it ended, where, and why."""

from __future__ import annotations

from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.agents.debugger.causes import explain, scene_of
from genesis.agents.debugger.checks import CHECKS, CHECKS_OF_DATA
from genesis.agents.debugger.lint import lint
from genesis.agents.debugger.report import Diagnosis
from genesis.agents.debugger.run import Observed, run_script, signal_name
from genesis.agents.files import (
    read_source,
    resolve_script,
    sha256_of,
    source_line,
    time_limit_s,
)
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError

__all__ = ["CARD", "CHECKS", "CHECKS_OF_DATA", "run"]

CARD = AgentCard(
    name="debugger",
    description="Runs a Python script and names the line and likely cause of its failure.",
    skills=(
        Skill(
            id="debug_script",
            description="Run a script, read its traceback, name file, line and likely cause, lint.",
            task_types=("debugging",),
            requires=("script",),
            produces=("diagnosis",),
            seconds=5.0,
        ),
    ),
)
DEFAULT_LIMIT_S = 60.0
_EXIT_CALLS = ("sys.exit", "SystemExit", "os._exit", "exit(", "quit(")


async def run(assignment: Assignment) -> TaskOutput:
    """Diagnose the input `script`, run with the optional input `script_args`.

    Raises:
        AgentError: ruff is missing.
        InputError: the script cannot be used.
    """
    script = resolve_script(assignment)
    digest = sha256_of(script)
    limit_s = time_limit_s(assignment.task.timeout_s, DEFAULT_LIMIT_S)
    observed = await run_script(assignment, script, limit_s)
    cause, suggestion = _explanation(observed, script, limit_s)
    place = observed.place
    diagnosis = Diagnosis(
        script=str(script),
        sha256=digest,
        ran=observed.ran,
        outcome=observed.outcome,
        exit_code=None if observed.outcome == "timeout" else observed.completed.returncode,
        exception=observed.raised.exception if observed.raised else "",
        message=observed.raised.message if observed.raised else "",
        chained=[earlier.said for earlier in observed.chained],
        file=place.file if place else "",
        line=place.line if place else 0,
        function=place.function if place else "",
        source_line=source_line(Path(place.file), place.line) if place else "",
        cause=cause,
        suggestion=suggestion,
        findings=await lint(script),
    )
    return TaskOutput(text=_text(diagnosis), data={"diagnosis": diagnosis.model_dump()})


def _explanation(observed: Observed, script: Path, limit_s: float) -> tuple[str, str]:
    code = observed.completed.returncode
    where = f" at line {observed.place.line}" if observed.place else ""
    if observed.raised:
        place = observed.place
        at = (place.file, source_line(Path(place.file), place.line)) if place else ("", "")
        return explain(scene_of(observed.raised.exception, observed.raised.message, *at))
    if observed.outcome == "timeout":
        return (
            f"it did not end within {limit_s:g} s; it was{where or ' at an unknown line'}:"
            " an endless loop, a wait for something that never comes, or simply long work",
            "check what ends the loop or wait there, or give the task a longer time limit",
        )
    if observed.outcome == "signal":
        return (
            f"it was ended by {signal_name(code)}{where}",
            "look for a crash in compiled code, too much memory, or who sent the signal",
        )
    if observed.outcome == "exit":
        return (
            f"it ended with exit code {code} and no traceback: the code asked for it"
            f" ({_exit_lines(script)})",
            "see the conditions before these calls, and what was written to standard error:"
            f" {observed.completed.stderr.strip()[-300:] or 'nothing'}",
        )
    if observed.survived:
        last = observed.survived[-1]
        return (
            f"it ended with exit code 0 but printed a traceback on its way: {last.exception}:"
            f" {last.message}",
            "see whether that exception (in a thread, or caught and printed) may be ignored",
        )
    return "it ran to its end without an exception", "nothing to mend in this run"


def _exit_lines(script: Path) -> str:
    try:
        lines = read_source(script).splitlines()
    except AgentError:
        return "the source cannot be read"
    found = [str(n) for n, line in enumerate(lines, 1) if any(c in line for c in _EXIT_CALLS)]
    return f"exit calls on line {', '.join(found)}" if found else "no exit call in the script"


def _text(diagnosis: Diagnosis) -> str:
    name = Path(diagnosis.script).name
    if diagnosis.outcome == "ok":
        lines = [f"{name} ran clean, exit code 0: {diagnosis.cause}."]
    else:
        lines = [f"{name} failed: {diagnosis.cause}."]
        if diagnosis.line:
            function = f" in {diagnosis.function}" if diagnosis.function else ""
            lines.append(f"Where: {Path(diagnosis.file).name}:{diagnosis.line}{function}")
            lines.append(f"    {diagnosis.source_line}")
        lines += [f"Came from: {earlier}" for earlier in diagnosis.chained]
        lines.append(f"Suggestion: {diagnosis.suggestion}.")
    lines.append(f"Ruff: {len(diagnosis.findings)} findings (errors and likely bugs).")
    lines += [f"  line {item.line}: {item.code} {item.message}" for item in diagnosis.findings]
    return "\n".join(lines)
