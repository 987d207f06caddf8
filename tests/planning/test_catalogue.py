"""Catalogues: from agents, from plain data, and what is refused."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import ANALYST, CARDS, task

from genesis.errors import InputError
from genesis.planning import Catalogue, Operation
from genesis.planning.agent_catalogue import agent_catalogue
from genesis.tasks.capability import skills_for
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill

LOAD = {"name": "load", "requires": ["raw"], "produces": ["table"], "seconds": 2, "cost_usd": 0.5}


@pytest.mark.parametrize("key", ["seconds", "cost_usd"])
@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf, -math.inf, 1e13, "3", None, True])
def test_a_price_or_time_that_is_none_is_refused(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"operation 'load': {key} must be a number from 0"):
        Catalogue.from_data([{**LOAD, key: value}])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "at least one operation"),
        ({"operations": []}, "at least one operation"),
        ("load", "a list of operations"),
        ({"ops": [LOAD]}, "a list of operations"),
        (None, "a list of operations"),
        ([LOAD, LOAD], "'load' is in the catalogue more than once"),
        ([LOAD, "clean"], "entry 2 of the catalogue is not an operation"),
        ([{"seconds": 1}], "entry 1 of the catalogue has no 'name'"),
        ([{**LOAD, "time": 2}], "has 'time'; allowed: name, requires, produces, seconds"),
        ([{**LOAD, "name": ""}], "has the name"),
        ([{**LOAD, "name": 7}], "has the name 7"),
        ([{**LOAD, "name": "a\nb"}], "printable"),
        ([{**LOAD, "name": "x" * 300}], "1 to 200"),
        ([{**LOAD, "requires": "raw"}], "requires must be a list of names"),
        ([{**LOAD, "produces": [["t"]]}], "a datum in produces has the name"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_the_reason(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Catalogue.from_data(data)


@pytest.mark.parametrize("name", ["ops.json", "ops.yaml"])
def test_a_file_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"operations": [LOAD]}))
    catalogue = Catalogue.load(path)
    assert catalogue.operations == (Operation("load", ("raw",), ("table",), 2, 0.5),)
    assert "load" in catalogue


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{"), ("a.yaml", "a: [" * 9), ("a.json", "[" * 100_000), ("a.json", "[NaN]")],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=name):
        Catalogue.load(path)
    with pytest.raises(InputError, match=r"none\.json"):
        Catalogue.load(tmp_path / "none.json")


@given(
    data=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=9)
)
def test_whatever_is_written_is_a_catalogue_or_refused(data: Any) -> None:
    for value in (data, [data], [{"name": data}], [{**LOAD, "requires": data}]):
        with suppress(InputError):
            assert len(Catalogue.from_data(value)) > 0


def test_agents_with_the_same_skill_are_one_operation_at_the_least_it_takes() -> None:
    def card(name: str, seconds: float, usd: float) -> AgentCard:
        skill = Skill("load", "", (), ("raw",), ("table",), usd, seconds)
        return AgentCard(name, "", (skill,))

    catalogue = agent_catalogue([card("quick", 1, 5), card("cheap", 9, 1)])
    assert [(o.seconds, o.cost_usd) for o in catalogue.operations] == [(1, 1)]
    found = catalogue.doing(task("t", "load", ("raw",), ("table",)))
    assert sorted((o.seconds, o.cost_usd) for o in found) == [(1, 5), (9, 1)]


def test_skills_that_need_a_model_are_left_out_without_one() -> None:
    assert "answer" in agent_catalogue(CARDS)
    assert "answer" not in agent_catalogue(CARDS, has_model=False)


def test_a_catalogue_of_agents_is_made_once() -> None:
    assert agent_catalogue(CARDS) is agent_catalogue(list(CARDS))
    assert agent_catalogue(CARDS) is not agent_catalogue(CARDS, has_model=False)
    assert agent_catalogue(CARDS) is not agent_catalogue([ANALYST])


def test_a_skill_that_is_no_operation_is_told_of_and_harms_nobody() -> None:
    strange = AgentCard("strange", "", (Skill("s", "", (), (), ("x\ny",)), Skill("ok", "")))
    catalogue = agent_catalogue([strange])
    assert [o.name for o in catalogue.operations] == ["ok"]
    assert "printable" in catalogue.inability(task("t", "s", (), ("x\ny",)))[2]


_NAMES = st.lists(st.sampled_from("abc"), unique=True, max_size=2).map(tuple)


@given(
    skills=st.lists(
        st.builds(
            Skill,
            st.sampled_from(["p", "q", "r"]),
            st.just(""),
            st.sampled_from([(), ("testing",)]),
            _NAMES,
            _NAMES,
            needs_model=st.booleans(),
        ),
        unique_by=lambda skill: skill.id,
        max_size=3,
    ),
    wanted=st.builds(
        Task,
        st.just("t"),
        st.just(""),
        st.sampled_from(["testing", "general"]),
        st.sampled_from(["", "p", "q"]),
        _NAMES,
        _NAMES,
    ),
    has_model=st.booleans(),
)
def test_agents_can_do_here_what_they_can_do_in_routing(
    skills: list[Skill], wanted: Task, has_model: bool
) -> None:
    cards = [AgentCard(f"agent_{skill.id}", "", (skill,)) for skill in skills]
    found = agent_catalogue(cards, has_model=has_model).doing(wanted)
    routed = skills_for(wanted, cards, has_model=has_model)
    assert {o.name for o in found} == {skill.id for _, skill in routed}
