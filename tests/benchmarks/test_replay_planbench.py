"""The replay benchmark on problems of its own: its rows keep to what must hold of any router."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "replay_planbench.py"
INIT = ["handempty", "clear a", "on a b", "ontable b", "clear c", "ontable c"]
RIGHT = "(unstack a b)\n(put-down a)\n(pick-up b)\n(stack b c)\n"


def line(number: int) -> str:
    """The cheap model is right at every second problem, the dear one at three of four."""
    runs = {
        "cheap": {"cost_usd": 0.001, "plan": RIGHT if number % 2 else ""},
        "dear": {"cost_usd": 0.01, "plan": RIGHT if number % 4 else "(pick-up b)"},
    }
    return json.dumps({"id": f"p{number}", "init": INIT, "goal": ["on b c"], "runs": runs})


@pytest.mark.timeout(300)
def test_replayed_requests_solve_what_the_models_solved_at_what_they_cost(tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    data.write_text("\n".join(map(line, range(24))))
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--data", data, "--json", "--seed", "3", "--value", "100"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    figures = json.loads(done.stdout)
    rows = {row["name"]: row for row in figures["rows"]}
    assert figures["n"] == 24
    oracle = rows["oracle"]
    ours = [row for name, row in rows.items() if name.startswith("genesis")]
    assert len(ours) == 4
    for row in ours:
        # Whoever may ask every model in turn solves all that any of them solves, and no more.
        assert row["accuracy"] == oracle["accuracy"] == rows["cheapest first"]["accuracy"]
        assert row["usd_per_100"] >= oracle["usd_per_100"]
        assert row["regret_usd_per_100"] >= 0
    assert rows["dearest only"]["usd_per_100"] == pytest.approx(1.0)
