"""Run as a script: run another script and write what ended it, seen by an excepthook, as JSON.

Usage: observe_exception.py OUTPUT SCRIPT [ARGUMENT ...]. It stands alone: it imports nothing of
Genesis, and its folder is taken off the path before the script runs.
"""

from __future__ import annotations

import json
import runpy
import sys
import traceback
from pathlib import Path
from types import TracebackType


def _said(error: BaseException) -> str:
    lines = traceback.format_exception_only(type(error), error)
    return (lines[-1] if isinstance(error, SyntaxError) else "".join(lines)).rstrip()


def _chain(error: BaseException) -> list[str]:
    """What the exception came from, oldest first."""
    found: list[str] = []
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while before is not None:
        found.append(_said(before))
        before = before.__cause__ or (None if before.__suppress_context__ else before.__context__)
    return found[::-1]


def _describe(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> dict[str, object]:
    frames = [[f.filename, f.lineno or 0, f.name] for f in traceback.extract_tb(trace)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append([error.filename, error.lineno or 0, ""])
    return {
        "type": kind.__name__,
        "said": _said(error),
        "chained": _chain(error),
        "frames": frames,
    }


def main() -> None:
    output, script, *arguments = sys.argv[1:]

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        Path(output).write_text(json.dumps(_describe(kind, error, trace)), encoding="utf-8")

    sys.excepthook = hook
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
