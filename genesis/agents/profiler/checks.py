"""Proves hotspots: the figures must agree with each other, with the source, and with a new run.

The new run counts calls under `sys.setprofile` with a counter of its own, not cProfile's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from types import CodeType

from pydantic import BaseModel

from genesis.agents.evidence import Refuted, check_of, require, require_equal
from genesis.agents.files import (
    is_within,
    resolve_script,
    script_arguments,
    script_folder,
    sha256_of,
    time_limit_s,
)
from genesis.agents.profiler.report import Hotspot, Hotspots
from genesis.agents.subprocesses import confinement_of, run_bounded
from genesis.tasks.checks import Check, Submission

HOTSPOTS_PROVEN = "hotspots_proven"
_LIMIT_S = 240.0
_OBSERVER = Path(__file__).with_name("observe_calls.py")
_LISTED_AT_LEAST = 15
_INTERRUPT_S = 3.0
# A function this large in one run must show up in the other; between, machines differ too much.
_LARGE, _SMALL = 0.4, 0.02
# Two profilers cost differently a call, and a machine may be busy: an order of magnitude.
_TIMES, _SLACK_S = 10.0, 0.5

Place = tuple[str, int, str]


class _Observed(BaseModel):
    """What the observer wrote: file, line, name, calls, own seconds; whether to the end."""

    calls: list[tuple[str, int, str, int, float]]
    total_s: float
    finished: bool

    def by_place(self) -> dict[Place, tuple[int, float]]:
        found: dict[Place, tuple[int, float]] = {}
        for file, line, name, calls, own_s in self.calls:
            earlier = found.get((file, line, name), (0, 0.0))
            found[file, line, name] = (earlier[0] + calls, earlier[1] + own_s)
        return found


async def _prove(submission: Submission, claim: Hotspots) -> str:
    script = resolve_script(submission)
    require_equal("script", claim.script, str(script))
    require_equal("sha256 (the script was changed since)", claim.sha256, sha256_of(script))
    _agree_with_each_other(claim)
    roots = [submission.workspace, script.parent]
    own_code = [item for item in claim.functions if is_within(Path(item.file), roots)]
    await asyncio.to_thread(_exist_in_source, own_code)
    observed = await _observe(submission, script)
    if observed.finished:
        await _compare_calls(submission, script, own_code, observed)
        _compare_times(claim, observed, own_code, roots)
    else:
        _require_at_least(own_code, observed)
    return (
        f"{len(claim.functions)} functions sum up to {claim.total_s:.3f} s;"
        f" calls of {len(own_code)} of them counted again in a second run"
    )


def _agree_with_each_other(claim: Hotspots) -> None:
    listed = claim.functions
    require(claim.total_s > 0, "the total time is not positive")
    needed = min(_LISTED_AT_LEAST, claim.profiled)
    require(len(listed) >= needed, f"only {len(listed)} functions are listed, {needed} needed")
    places = {(item.file, item.line, item.name) for item in listed}
    require_equal("number of different functions", len(listed), len(places))
    own = [item.own_s for item in listed]
    require(own == sorted(own, reverse=True), "the functions are not in order of own time")
    total = sum(own) + claim.rest_own_s
    require(
        isclose(total, claim.total_s, rel_tol=1e-6),
        f"own times sum up to {total:.6f} s, the total says {claim.total_s:.6f} s",
    )
    require(min([*own, claim.rest_own_s]) >= 0, "a time is negative")
    for item in listed:
        share = item.own_s / claim.total_s
        require(isclose(item.share, share, abs_tol=1e-6), f"{item.name}: share is not {share:.4f}")
        bounds = item.own_s - 1e-6 <= item.cumulative_s <= claim.total_s * 1.01 + 1e-3
        require(bounds, f"{item.name}: cumulative time is not between own and total time")
        require(item.calls > 0, f"{item.name}: {item.calls} calls")
    named = any(item.name in claim.bottleneck for item in listed)
    require(named, "the bottleneck names none of the listed functions")


def _exist_in_source(listed: list[Hotspot]) -> None:
    """Compile each file anew: a code object of that name must begin at that line."""
    known: dict[str, set[tuple[str, int]]] = {}
    for item in listed:
        if item.file not in known:
            known[item.file] = _definitions(Path(item.file))
        found = (item.name, item.line) in known[item.file]
        require(found, f"{item.file} has no function {item.name!r} at line {item.line}")


def _definitions(path: Path) -> set[tuple[str, int]]:
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (OSError, SyntaxError) as error:
        raise Refuted(f"{path} cannot be read as Python: {error}") from error
    found = {(inner.co_name, inner.co_firstlineno) for inner in _codes(code)}
    return found | {("<module>", line) for line in (0, 1)}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


async def _observe(submission: Submission, script: Path) -> _Observed:
    arguments = script_arguments(submission)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "calls.json")
        completed = await run_bounded(
            [sys.executable, str(_OBSERVER), str(output), str(script), *arguments],
            cwd=script_folder(submission, script),
            timeout_s=time_limit_s(submission.task.timeout_s, _LIMIT_S),
            interrupt_s=_INTERRUPT_S,
            confined=confinement_of(submission, Path(folder), [_OBSERVER]),
        )
        if not output.exists():
            raise Refuted(f"{script.name} run again left no counts")
        observed = _Observed.model_validate_json(output.read_bytes())
        ended = observed.finished or completed.timed_out
        require(ended, f"{script.name} run again fails: {completed.stderr.strip()[-300:]}")
        return observed


def _require_at_least(own_code: list[Hotspot], observed: _Observed) -> None:
    """Counting costs more than cProfile: of a run too long to repeat, its beginning counts."""
    counted = observed.by_place()
    for item in own_code:
        calls = _calls(counted, item)
        require(item.calls >= calls, f"{item.name}: {item.calls} calls, counted {calls} so far")


async def _compare_calls(
    submission: Submission, script: Path, own_code: list[Hotspot], first: _Observed
) -> None:
    counted = first.by_place()
    different = [item for item in own_code if _calls(counted, item) != item.calls]
    if not different:
        return
    # A script may call a function a different number of times each run: only what two runs of
    # ours agree on refutes the claim.
    again = (await _observe(submission, script)).by_place()
    for item in different:
        calls = _calls(counted, item)
        if calls == _calls(again, item):
            require_equal(f"calls of {item.name} at line {item.line}", item.calls, calls)
        require(bool(calls), f"{item.name} at line {item.line} was not called in a second run")


def _calls(counted: dict[Place, tuple[int, float]], item: Hotspot) -> int:
    return counted.get((item.file, item.line, item.name), (0, 0.0))[0]


def _compare_times(
    claim: Hotspots, observed: _Observed, own_code: list[Hotspot], roots: list[Path]
) -> None:
    low, high = observed.total_s / _TIMES - _SLACK_S, observed.total_s * _TIMES + _SLACK_S
    require(
        low <= claim.total_s <= high,
        f"total time: the result says {claim.total_s:.3f} s, a second run {observed.total_s:.3f} s",
    )
    claimed = {(item.file, item.line, item.name): item.share for item in own_code}
    for place, (_, own_s) in observed.by_place().items():
        if not is_within(Path(place[0]), roots):
            continue
        share, said = own_s / observed.total_s, claimed.get(place, 0.0)
        agrees = (share < _LARGE or said >= _SMALL) and (said < _LARGE or share >= _SMALL)
        require(
            agrees, f"{place[2]} at line {place[1]}: share {said:.2f}, in a second run {share:.2f}"
        )


CHECKS: dict[str, Check] = {
    HOTSPOTS_PROVEN: check_of(HOTSPOTS_PROVEN, "hotspots", Hotspots, _prove)
}
CHECKS_OF_DATA = {"hotspots": HOTSPOTS_PROVEN}
