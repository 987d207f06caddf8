"""Ruff's errors and likely bugs in one file."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from genesis.agents.debugger.report import Finding
from genesis.agents.subprocesses import run_bounded
from infrastructure.errors import AgentError

_LINT_S = 30.0
_RULES = "E9,F,B"


class _Location(BaseModel):
    row: int


class _Diagnostic(BaseModel):
    code: str | None
    message: str
    location: _Location


_DIAGNOSTICS = TypeAdapter(list[_Diagnostic])


def ruff_command(script: Path, output_format: str) -> list[str]:
    """The command, free of any configuration of the project and without a cache."""
    options = ["--isolated", "--no-cache", "--select", _RULES, "--output-format", output_format]
    return [sys.executable, "-m", "ruff", "check", *options, str(script)]


async def lint(script: Path) -> list[Finding]:
    """Ruff's findings, in order of lines.

    Raises:
        AgentError: ruff is not installed or failed.
    """
    completed = await run_bounded(
        ruff_command(script, "json"), cwd=script.parent, timeout_s=_LINT_S
    )
    try:
        found = _DIAGNOSTICS.validate_json(completed.stdout)
    except ValidationError as error:
        raise AgentError(
            f"ruff gave no findings to read: {completed.stderr.strip()[-300:] or 'no output'};"
            " install it with: pip install 'genesis-orchestrator[agents]'"
        ) from error
    findings = [
        Finding(code=item.code or "invalid-syntax", message=item.message, line=item.location.row)
        for item in found
    ]
    return sorted(findings, key=lambda finding: (finding.line, finding.code, finding.message))
