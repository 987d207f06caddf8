"""Mending a plan in a run: what nobody can do is done another way, what is lacking is added."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from plan_samples import dags, task

from genesis import Assignment, GenesisOrchestrator, Skill
from genesis.planning.agent_catalogue import AgentCatalogue, agent_catalogue
from genesis.planning.mend import drop_superfluous, fill_gaps
from genesis.planning.validation import validate
from genesis.tasks.dag import TaskDAG
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import load_flags, load_settings

CONFIG = Path(__file__).parent.parent.parent / "config"
PLAN = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
  - name: live
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch_live, produces: [facts]}
      - {id: compose, description: Compose., operation: compose, requires: [facts],
         produces: [answer]}
"""


def agents(*skills: Skill) -> AgentCatalogue:
    return agent_catalogue([AgentCard(f"by_{skill.id}", "", (skill,)) for skill in skills])


def mended(dag: TaskDAG, catalogue: AgentCatalogue, *asked: str) -> tuple[TaskDAG, tuple[str, ...]]:
    return fill_gaps(dag, validate(dag, catalogue, asked=asked), catalogue)


def skill(name: str, requires: tuple[str, ...], produces: tuple[str, ...], usd: float = 0) -> Skill:
    return Skill(name, f"does {name}", (), requires, produces, usd)


FETCH = task("fetch", "fetch_live", (), ("facts",))
USE = task("use", "compose", ("facts",), ("answer",), ("fetch",))


def test_a_task_that_nobody_can_do_is_done_by_a_chain_of_others() -> None:
    catalogue = agents(
        skill("compose", ("facts",), ("answer",)),
        skill("look_up", ("index",), ("facts",)),
        skill("index", (), ("index",)),
    )
    dag, changes = mended(TaskDAG([FETCH, USE]), catalogue, "answer")
    assert changes == (
        "added 'index', which makes index",
        "'fetch' is done by 'look_up' instead of 'fetch_live'",
    )
    assert dag["fetch"] == replace(
        FETCH, operation="look_up", requires=("index",), depends_on=("index",)
    )
    assert dag["use"] == USE
    assert dag["index"].description == "does index"
    assert validate(dag, catalogue, asked=["answer"]).findings == ()


def test_what_is_asked_for_and_not_made_is_added_cheaply() -> None:
    catalogue = agents(
        skill("fetch_live", (), ("facts",)),
        skill("dear", ("facts",), ("answer",), 3),
        skill("cheap", ("facts",), ("answer",), 1),
    )
    dag, changes = mended(TaskDAG([FETCH]), catalogue, "answer", "facts")
    assert changes == ("added 'cheap', which makes answer",)
    assert dag["cheap"].depends_on == ("fetch",)


def test_a_task_that_takes_what_is_given_does_not_wait_for_one_that_makes_it_again() -> None:
    fetch = replace(FETCH, requires=("query",))
    catalogue = agents(
        skill("fetch_live", ("query",), ("facts",)),
        skill("fetch_more", ("query",), ("facts_too",)),
        skill("rewrite", ("facts_too",), ("query", "answer")),
    )
    other = task("other", "fetch_more", ("query",), ("facts_too",))
    dag, changes = mended(TaskDAG([other, fetch], ["query"]), catalogue, "answer", "facts")
    assert changes == ("added 'rewrite', which makes query, answer",)
    assert (dag["fetch"], dag["other"]) == (fetch, other)


def test_what_the_agents_cannot_make_stays_as_it_is() -> None:
    plan = TaskDAG([FETCH, USE])
    catalogue = agents(
        skill("compose", ("facts",), ("answer",)), skill("look_up", ("index",), ("facts",))
    )
    assert mended(plan, catalogue, "answer") == (plan, ())
    assert mended(plan, agents(), "answer") == (plan, ())


def test_an_order_that_carries_no_data_stays() -> None:
    before = task("before", "prepare", (), ("room",))
    first = replace(FETCH, depends_on=("before",))
    catalogue = agents(
        skill("prepare", (), ("room",)),
        skill("compose", ("facts",), ("answer",)),
        skill("look_up", ("index",), ("facts",)),
        skill("index", (), ("index",)),
    )
    dag, _ = mended(TaskDAG([before, first, USE]), catalogue, "answer", "room")
    assert set(dag["fetch"].depends_on) == {"before", "index"}


@given_(dag=dags(), asked=st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
def test_tasks_that_can_be_done_are_never_touched(dag: TaskDAG, asked: list[str]) -> None:
    catalogue = agents(
        skill("x", (), ("a", "b")), skill("z", ("a",), ("c",)), skill("w", ("c", "b"), ("d",))
    )
    before, told = validate(dag, catalogue, asked=asked), dag.to_json()
    lost = {f.task_id for f in before.of_kind("unsolvable", "unknown_operation")}
    new, changes = fill_gaps(dag, before, catalogue)
    assert dag.to_json() == told
    assert bool(changes) == (new != dag)
    for one in dag:
        if one.id not in lost:
            assert replace(new[one.id], depends_on=()) == replace(one, depends_on=())
    if changes:
        after = validate(new, catalogue, asked=asked)
        assert (after.solvable, after.complete) == (True, True)


async def test_a_run_goes_on_with_the_mended_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    (folder / "plan_templates.yaml").write_text(PLAN)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))
    calls: list[str] = []

    def agent(operation: str) -> Callable[[Assignment], Any]:
        async def work(assignment: Assignment) -> dict[str, str]:
            calls.append(operation)
            return {assignment.task.produces[0]: f"by {operation}"}

        return work

    (tmp_path / "workspace").mkdir()
    settings = load_settings(
        {},
        workspace=tmp_path / "workspace",
        data_dir=tmp_path / "data",
        db_path=str(tmp_path / "memory.db"),
    )
    async with GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[]) as one:
        for known in (
            skill("look_up", ("index",), ("facts",)),
            skill("index", (), ("index",)),
            skill("compose", ("facts",), ("answer",)),
        ):
            one.register_agent(agent(known.id), name=known.id, skills=[known])
        result = await one.execute_orchestrated_request("Tell me something nice", "s")
        told = str(await one.explain(result.run_id))
    assert (result.success, result.errors) == (True, [])
    assert calls == ["index", "look_up", "compose"]
    assert "'fetch' is done by 'look_up' instead of 'fetch_live'" in told


def test_a_duplicate_gives_way_to_one_that_waits_for_it() -> None:
    dag = TaskDAG(
        [
            task("early", "x", (), ("a",)),
            task("between", "y", (), ("b",), ("early",)),
            task("late", "x", (), ("a",), ("between",)),
            task("use", "z", ("a", "b"), ("c",), ("late", "between")),
        ]
    )
    cards = [AgentCard("any", "", tuple(Skill(name, "") for name in "xyz"))]
    report = validate(dag, agent_catalogue(cards), asked=["c"])
    mended, changes = drop_superfluous(dag, report)
    assert changes == ("dropped 'early', which repeats 'late'",)
    assert mended["between"].depends_on == ()
    assert mended["late"].depends_on == ("between",)
    assert validate(mended, agent_catalogue(cards), asked=["c"]).accepted
