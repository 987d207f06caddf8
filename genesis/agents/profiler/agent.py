"""The profiler: runs a script under cProfile and names where its time goes."""

from __future__ import annotations

import sys
from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.agents.files import (
    Bounded,
    is_within,
    resolve_script,
    script_arguments,
    script_folder,
    sha256_of,
    time_limit_s,
)
from genesis.agents.profiler.checks import CHECKS, CHECKS_OF_DATA
from genesis.agents.profiler.report import Hotspot, Hotspots
from genesis.agents.profiler.stats import read_profile
from genesis.agents.subprocesses import confinement_of, run_bounded
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError
from infrastructure.text import counted

__all__ = ["CARD", "CHECKS", "CHECKS_OF_DATA", "run"]

CARD = AgentCard(
    name="profiler",
    description="Runs a Python script under a profiler and names its slowest functions.",
    skills=(
        Skill(
            id="profile_script",
            description="Run a script under cProfile: slowest functions, calls, shares of time.",
            task_types=("optimization",),
            requires=("script",),
            produces=("hotspots",),
            seconds=10.0,
        ),
    ),
)
DEFAULT_LIMIT_S = 120.0
LISTED = 15


async def run(assignment: Assignment) -> TaskOutput:
    """Profile the input `script`, run with the optional input `script_args`.

    Raises:
        AgentError: the script fails, does not end in time, or leaves no profile.
        InputError: the script cannot be used.
    """
    script = resolve_script(assignment)
    digest = sha256_of(script)
    profile = assignment.artifacts_dir / "profile.pstats"
    await _run_profiled(assignment, script, profile)
    entries = await read_profile(profile, confinement_of(assignment, profile.parent))
    hotspots = _hotspots(assignment, script, digest, entries)
    return TaskOutput(
        text=_text(hotspots),
        data={"hotspots": hotspots.model_dump()},
        artifacts=(str(profile),),
    )


async def _run_profiled(assignment: Assignment, script: Path, profile: Path) -> None:
    limit_s = time_limit_s(assignment.task.timeout_s, DEFAULT_LIMIT_S)
    arguments = script_arguments(assignment)
    completed = await run_bounded(
        [sys.executable, "-m", "cProfile", "-o", str(profile), str(script), *arguments],
        cwd=script_folder(assignment, script),
        timeout_s=limit_s,
        confined=confinement_of(assignment, profile.parent),
    )
    if completed.timed_out:
        raise AgentError(
            f"{script.name} did not end within {limit_s:g} s under the profiler;"
            " give it less work, or the task a longer time limit"
        )
    if completed.returncode != 0:
        last = completed.stderr.strip().splitlines()[-1:] or ["nothing on standard error"]
        raise AgentError(
            f"{script.name} failed with exit code {completed.returncode} under the profiler:"
            f" {last[0][:500]}; mend it first (the debugger names the line)"
        )
    if not profile.is_file():
        raise AgentError(f"{script.name} left no profile: it ended without Python's usual exit")


def _hotspots(given: Bounded, script: Path, digest: str, entries: list[Hotspot]) -> Hotspots:
    roots = [given.workspace, script.parent]
    by_own = sorted(entries, key=lambda item: (-item.own_s, item.file, item.line, item.name))
    by_cumulative = sorted(entries, key=lambda item: -item.cumulative_s)
    own_code = [item for item in by_own if is_within(Path(item.file), roots)]
    first = [*by_own[:LISTED], *by_cumulative[:LISTED], *own_code[:LISTED]]
    chosen = {id(item) for item in first}
    listed = [item for item in by_own if id(item) in chosen]
    return Hotspots(
        script=str(script),
        sha256=digest,
        total_s=sum(item.own_s for item in entries),
        profiled=len(entries),
        functions=listed,
        rest_own_s=sum(item.own_s for item in entries if id(item) not in chosen),
        bottleneck=_bottleneck(own_code or listed, listed[0]),
    )


def _bottleneck(own_code: list[Hotspot], first: Hotspot) -> str:
    """The function of the user's own code with the largest own time; what it waits for, too."""
    slowest = own_code[0]
    text = (
        f"{slowest.name} ({Path(slowest.file).name}:{slowest.line}) spends {slowest.own_s:.3f} s"
        f" in its own code, {slowest.share:.0%} of the time, in {counted(slowest.calls, 'call')}"
    )
    if first is not slowest:
        calls = counted(first.calls, "call")
        text += f"; outside your code {first.name} takes {first.share:.0%} ({calls})"
    return text


def _text(hotspots: Hotspots) -> str:
    lines = [
        f"{Path(hotspots.script).name}: {hotspots.total_s:.3f} s profiled in"
        f" {counted(hotspots.profiled, 'function')}. Bottleneck: {hotspots.bottleneck}.",
        "",
        "| function | place | calls | own s | with callees s | share |",
        "|---|---|---|---|---|---|",
    ]
    for item in hotspots.functions[:LISTED]:
        place = f"{Path(item.file).name}:{item.line}" if item.line else "built in"
        name = item.name.replace("|", "\\|")
        lines.append(
            f"| {name} | {place} | {item.calls:,} | {item.own_s:.4f} | {item.cumulative_s:.4f}"
            f" | {item.share:.1%} |"
        )
    return "\n".join(lines)
