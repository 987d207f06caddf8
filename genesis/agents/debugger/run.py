"""Runs a script and turns what it left behind into facts: outcome, exception, place."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from genesis.agents.debugger.report import Outcome
from genesis.agents.debugger.traceback_text import (
    Frame,
    Raised,
    innermost_of,
    parse_fault,
    parse_traceback,
)
from genesis.agents.files import Bounded, script_arguments, script_folder
from genesis.agents.subprocesses import Completed, confinement_of, run_bounded

_INTERRUPT_S = 2.0
_SYNTAX_ERRORS = {"SyntaxError", "IndentationError", "TabError"}


@dataclass(frozen=True, slots=True)
class Observed:
    """How the script ended, as read from its process and its standard error."""

    outcome: Outcome
    completed: Completed
    raised: Raised | None
    chained: tuple[Raised, ...]
    survived: tuple[Raised, ...]
    place: Frame | None
    ran: bool


async def run_script(given: Bounded, script: Path, timeout_s: float) -> Observed:
    """Run a script with this Python; at a time-out it is interrupted, to learn where it was."""
    command = [sys.executable, "-X", "faulthandler", str(script), *script_arguments(given)]
    folder = script_folder(given, script)
    completed = await run_bounded(
        command,
        cwd=folder,
        timeout_s=timeout_s,
        interrupt_s=_INTERRUPT_S,
        confined=confinement_of(given),
    )
    chain = parse_traceback(completed.stderr)
    outcome = _outcome(completed, chain)
    roots = code_roots(given, script)
    raised = chain[-1] if chain and outcome == "exception" else None
    frames = chain[-1].frames if chain else parse_fault(completed.stderr)
    place = innermost_of(frames, roots) if outcome not in {"ok", "exit"} else None
    return Observed(
        outcome=outcome,
        completed=completed,
        raised=raised,
        chained=tuple(chain[:-1]) if raised else (),
        survived=tuple(chain) if outcome == "ok" else (),
        place=place,
        ran=not _is_unparsable(raised, script),
    )


def code_roots(given: Bounded, script: Path) -> list[Path]:
    """The folders whose files are the user's own code."""
    return [given.workspace.resolve(), script.parent]


def _outcome(completed: Completed, chain: list[Raised]) -> Outcome:
    if completed.timed_out:
        return "timeout"
    if completed.returncode < 0:
        return "signal"
    if completed.returncode == 0:
        return "ok"  # a traceback on standard error was printed and survived
    # An uncaught exception is the last that Python prints, and always exits with 1.
    return "exception" if completed.returncode == 1 and chain else "exit"


def _is_unparsable(raised: Raised | None, script: Path) -> bool:
    """Whether the script itself could not be parsed: its only frame is the place of the error."""
    if raised is None or raised.exception not in _SYNTAX_ERRORS:
        return False
    return len(raised.frames) == 1 and Path(raised.frames[0].file) == script


def signal_name(returncode: int) -> str:
    """SIGSEGV for -11; the number where the platform knows no name."""
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
