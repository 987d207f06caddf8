"""What the plan's preview says of the attempts at a task."""

from __future__ import annotations

import io

from rich.console import Console

from genesis.cli.render import plan_tree
from genesis.routing.ladder import Alone, Forecast, Ladder, Rung
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task

_PLAN = TaskDAG([Task("t", "Do it.", "general", "do")]).to_json()
_RUNGS = tuple(
    Rung(name, "do", model, "low", p, usd, 2.0, "")
    for name, model, p, usd in (("a", "p:small", 0.8, 0.001), ("b", "", 0.9, 0.02))
)


def told(ladder: Ladder) -> str:
    seen = io.StringIO()
    Console(file=seen, width=200).print(plan_tree(_PLAN, [ladder]))
    return seen.getvalue()


def test_expected_cost_success_and_saving_of_the_whole_ladder_are_shown() -> None:
    dearest = Alone("b", 0.9, 0.02, 2.0)
    forecast = Forecast(0.98, 0.005, 2.4, dearest, dearest, 0.015, 0.015)
    line = told(Ladder("t", _RUNGS, 0.3, "", forecast=forecast))
    assert "a with p:small  ~2.4 s  ~$0.0050  ~98% verified (1 attempt in reserve)" in line
    assert "saves $0.0150 on b alone" in line


def test_nothing_is_said_of_a_saving_that_is_none() -> None:
    alone = Alone("a with p:small, effort low", 0.8, 0.001, 2.0)
    forecast = Forecast(0.8, 0.001, 2.0, alone, alone, 0.0, 0.0)
    line = told(Ladder("t", _RUNGS[:1], 0.3, "", forecast=forecast))
    assert "~80% verified" in line
    assert "saves" not in line
    assert "reserve" not in line


def test_a_ladder_without_a_forecast_shows_its_first_attempt() -> None:
    assert "a with p:small  ~2.0 s  ~$0.0010" in told(Ladder("t", _RUNGS, 0.3, ""))
