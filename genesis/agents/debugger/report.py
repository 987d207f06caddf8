"""What the debugger hands in as `diagnosis`."""

from __future__ import annotations

from typing import Literal

from genesis.agents.evidence import Claim

Outcome = Literal["ok", "exception", "exit", "signal", "timeout"]


class Finding(Claim):
    """One finding of ruff in the script."""

    code: str
    message: str
    line: int


class Diagnosis(Claim):
    """How a script ended, where, and why.

    Attributes:
        script: absolute path.
        sha256: of the script's bytes when it was run.
        ran: whether Python could start executing it (False: it cannot be parsed).
        outcome: ended cleanly, by an uncaught exception, with an exit code of its own, by a
            signal, or not at all within the time limit.
        exit_code: as the shell sees it; negative for a signal; None after a time-out.
        exception: the exception's type as Python prints it; empty when there was none.
        message: the exception's message.
        chained: earlier exceptions that this one came from, oldest first.
        file, line, function: the innermost place in the user's own code; empty and 0 if unknown.
        source_line: the text at that place.
        cause, suggestion: in words.
        findings: ruff's, errors and likely bugs only.
    """

    script: str
    sha256: str
    ran: bool
    outcome: Outcome
    exit_code: int | None
    exception: str
    message: str
    chained: list[str]
    file: str
    line: int
    function: str
    source_line: str
    cause: str
    suggestion: str
    findings: list[Finding]
