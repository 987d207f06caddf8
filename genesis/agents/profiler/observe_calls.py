"""Run as a script: run another under sys.setprofile; write its calls and times as JSON.

Usage: observe_calls.py OUTPUT SCRIPT [ARGUMENT ...]. It imports nothing of Genesis, and
its folder is taken off the path before the script runs. Own time excludes called built-ins.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path
from types import CodeType, FrameType

_CALLS: dict[CodeType | None, int] = {}
_OWN: dict[CodeType | None, float] = {}
_STACK: list[list[float]] = []


def _profile(frame: FrameType, event: str, _argument: object) -> None:
    now = time.perf_counter()
    if event == "call" or event == "c_call":
        if event == "call":
            _CALLS[frame.f_code] = _CALLS.get(frame.f_code, 0) + 1
        _STACK.append([time.perf_counter(), 0.0])
    elif _STACK:
        started, in_callees = _STACK.pop()
        code = frame.f_code if event == "return" else None
        _OWN[code] = _OWN.get(code, 0.0) + now - started - in_callees
        if _STACK:
            _STACK[-1][1] += time.perf_counter() - started


def _report() -> list[list[object]]:
    return [
        [code.co_filename, code.co_firstlineno, code.co_name, calls, _OWN.get(code, 0.0)]
        for code, calls in _CALLS.items()
        if code is not None
    ]


def main() -> None:
    output, script, *arguments = sys.argv[1:]
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    finished = False
    try:
        sys.setprofile(_profile)
        runpy.run_path(script, run_name="__main__")
        finished = True
    except SystemExit:
        finished = True
        raise
    finally:  # also when interrupted because its time is over: the counts so far
        sys.setprofile(None)
        seen = {"calls": _report(), "total_s": sum(_OWN.values()), "finished": finished}
        text = json.dumps(seen)
        Path(output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
