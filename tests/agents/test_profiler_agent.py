"""The profiler on real scripts, and what its acceptance check lets through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_inspection import (
    Data,
    assert_garbage_is_rejected,
    assignment,
    corrupted,
    datum,
    interruptible,
)
from agent_inspection import verdict_of as verdict

from genesis.agents.assignment import Assignment
from genesis.agents.profiler.agent import CHECKS, CHECKS_OF_DATA, run
from genesis.agents.profiler.stats import read_profile
from infrastructure.errors import AgentError

CHECK = CHECKS[CHECKS_OF_DATA["hotspots"]]
SCRIPT = """\
import helper


def slow(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


def quick(n):
    return sum(x for x in range(n))


@helper.noted
def main():
    for _ in range(20):
        slow(20_000)
    for _ in range(5):
        quick(10)


main()
"""
HELPER = "def noted(function):\n    return lambda: function()\n"


@pytest.fixture
def given(tmp_path: Path) -> Assignment:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "script.py").write_text(SCRIPT)
    (workspace / "helper.py").write_text(HELPER)
    return assignment(workspace, {"script": str(workspace / "script.py")}, "hotspots")


def of_name(data: Data, name: str) -> Data:
    return next(item for item in data["functions"] if item["name"] == name)


async def test_finds_the_slow_function(given: Assignment) -> None:
    output = await run(given)
    found = datum(output, "hotspots")
    slow = found["functions"][0]
    assert (slow["name"], slow["line"], slow["calls"]) == ("slow", 4, 20)
    assert slow["share"] > 0.5
    assert of_name(found, "quick")["calls"] == 5
    assert of_name(found, "<genexpr>")["calls"] == 55
    assert "slow (script.py:4)" in found["bottleneck"]
    assert "slow" in output.text
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason
    assert sorted(path.name for path in given.workspace.iterdir()) == ["helper.py", "script.py"]


async def test_the_time_of_built_ins_is_told_apart(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    script = workspace / "script.py"
    script.write_text("def order():\n    return sorted(range(1_000_000, 0, -1))\n\n\norder()\n")
    given = assignment(workspace, {"script": str(script)}, "hotspots")
    output = await run(given)
    assert "sorted" in datum(output, "hotspots")["bottleneck"]
    assert (await verdict(CHECK, given, output)).passed


async def test_varying_counts_are_not_held_against_an_honest_result(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    script = workspace / "script.py"
    script.write_text(
        "import random\n\n\ndef step():\n    return sum(range(50))\n\n\n"
        "for _ in range(random.SystemRandom().randrange(1000, 9000)):\n    step()\n"
    )
    given = assignment(workspace, {"script": str(script)}, "hotspots")
    result = await verdict(CHECK, given, await run(given))
    assert result.passed, result.reason


async def test_a_run_too_long_to_count_is_judged_by_its_beginning(tmp_path: Path) -> None:
    """It runs on for ever under any profile function but cProfile's own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, types\n\n\ndef step():\n    pass\n\n\nfor _ in range(9):\n    step()\n"
        "while isinstance(sys.getprofile(), types.FunctionType):\n    pass\n"
    )
    given = assignment(tmp_path, {"script": str(script)}, "hotspots", timeout_s=2.0)
    output = await run(given)
    fewer = corrupted(output, "hotspots", lambda d: of_name(d, "step").update(calls=8))
    with interruptible():
        result = await verdict(CHECK, given, output)
        rejected = await verdict(CHECK, given, fewer)
    assert result.passed, result.reason
    assert "counted 9 so far" in rejected.reason


def swap_times(data: Data) -> None:
    """Blame another function: slow and quick exchange their names and places."""
    slow, quick = of_name(data, "slow"), of_name(data, "quick")
    for key in ("name", "file", "line", "calls"):
        slow[key], quick[key] = quick[key], slow[key]


def without_slowest(data: Data) -> None:
    data["rest_own_s"] += data["functions"].pop(0)["own_s"]


CORRUPTIONS: dict[str, Callable[[Data], None]] = {
    "a wrong count": lambda d: of_name(d, "slow").update(calls=21),
    "a wrong own time": lambda d: of_name(d, "slow").update(own_s=of_name(d, "slow")["own_s"] * 2),
    "a wrong total": lambda d: d.update(total_s=d["total_s"] * 2),
    "a wrong share": lambda d: of_name(d, "slow").update(share=0.01),
    "another function's name": lambda d: of_name(d, "slow").update(name="quick"),
    "another line": lambda d: of_name(d, "slow").update(line=5),
    "another file": lambda d: of_name(d, "slow").update(file=d["script"] + "x"),
    "another function's time": swap_times,
    "truncated": lambda d: d.update(functions=d["functions"][:5]),
    "the slowest left out": without_slowest,
    "reordered": lambda d: d["functions"].reverse(),
    "no bottleneck": lambda d: d.update(bottleneck=""),
    "emptied": lambda d: d.update(functions=[]),
}


async def test_corrupted_results_are_rejected(given: Assignment) -> None:
    output = await run(given)
    for name, change in CORRUPTIONS.items():
        result = await verdict(CHECK, given, corrupted(output, "hotspots", change))
        assert not result.passed, name
        assert result.reason


async def test_a_stale_result_and_garbage_are_rejected(given: Assignment) -> None:
    output = await run(given)
    await assert_garbage_is_rejected(CHECK, given, output, "hotspots")
    script = given.workspace / "script.py"
    script.write_text(SCRIPT.replace("20_000", "20_001"))
    result = await verdict(CHECK, given, output)
    assert not result.passed
    assert "changed" in result.reason


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("while True:\n    pass\n", "did not end within 0.8 s"),
        ("import os\nos._exit(0)\n", "left no profile"),
        ("def f(:\n", "SyntaxError"),
    ],
)
async def test_scripts_that_cannot_be_profiled(tmp_path: Path, source: str, message: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(source)
    given = assignment(tmp_path, {"script": str(script)}, "hotspots", timeout_s=1.0)
    with pytest.raises(AgentError, match=message):
        await run(given)


async def test_a_damaged_profile_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "p.pstats"
    profile.write_bytes(b"\x00damaged")
    with pytest.raises(AgentError, match="damaged"):
        await read_profile(profile)
