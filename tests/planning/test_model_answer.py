"""What a chat model writes, read as a plan: mended where it has one meaning, else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.errors import InvalidPlan
from genesis.planning.drafted_tasks import drafted_tasks
from genesis.planning.model_answer import MAX_ANSWER_CHARS, MAX_PLANNED_TASKS, read_draft
from genesis.planning.planner import Goal
from genesis.tasks.dag import TaskDAG
from infrastructure.a2a.agent import Skill


def task(task_id: object = "a", **values: Any) -> dict[str, Any]:
    return {"id": task_id, "description": "do it", "operation": "answer", **values}


PLAN = {"tasks": [task("a"), task("b", depends_on=["a"])]}
TEXT = json.dumps(PLAN)


def test_a_sound_plan_is_taken_as_it_is() -> None:
    draft, changes = read_draft(TEXT)
    assert [(one.id, one.depends_on) for one in draft.tasks] == [("a", []), ("b", ["a"])]
    assert changes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Here you are:\n```json\n{TEXT}\n```\nGood luck {{you}}!", "text around it"),
        (f"I was told {{to plan}}. {TEXT}", "text around it"),
        (f"<think>Perhaps {TEXT}? No.</think>\n{TEXT}", "its thinking"),
        (json.dumps(PLAN["tasks"]), "a bare list"),
        (json.dumps({"plan": PLAN}), "under 'plan'"),
        (json.dumps({**PLAN, "budget_usd": 100, "rules": None}), "'budget_usd', 'rules'"),
        (json.dumps({"tasks": [task("a", agent="x"), PLAN["tasks"][1]]}), "left out 'agent'"),
        (json.dumps({"tasks": [*PLAN["tasks"], PLAN["tasks"][0]]}), "stood there twice"),
        (json.dumps({"tasks": [task("a", depends_on=["a"]), PLAN["tasks"][1]]}), "for itself"),
        (json.dumps({"tasks": [task("a"), task("b", depends_on="a")]}), "one name as a list"),
        (json.dumps({"tasks": [task("a", requires=None), PLAN["tasks"][1]]}), "null as an empty"),
        (TEXT.replace('"id": "a"', '"id": "a", "id": "a"'), "'id' once"),
        (TEXT.replace("do it", "do\x00 \\u202eit"), "control characters"),
    ],
)
def test_what_has_one_meaning_is_mended_and_said(text: str, said: str) -> None:
    draft, changes = read_draft(text)
    assert [(one.id, one.depends_on) for one in draft.tasks] == [("a", []), ("b", ["a"])]
    assert {one.description for one in draft.tasks} == {"do it"}
    assert said in "; ".join(changes)


def test_numbers_for_ids_are_read_as_text() -> None:
    draft, changes = read_draft(json.dumps({"tasks": [task(1), task(2, depends_on=[1])]}))
    assert [(one.id, one.depends_on) for one in draft.tasks] == [("1", []), ("2", ["1"])]
    assert len(changes) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not the JSON"),
        ("I will first look at the data, then write a report.", "not the JSON"),
        (TEXT[: len(TEXT) // 2], "not the JSON"),
        (TEXT[:-1] + ",]}", "not the JSON"),
        ('{"tasks": [{"id": "a", "description": "' + TEXT.replace('"', "'"), "not the JSON"),
        (f"Either {TEXT} or {TEXT}", "more than one plan"),
        (f'Once {TEXT} and then {{"tasks": [{{"id": "c"', "more than one plan"),
        (TEXT.replace('"id": "a"', '"id": "a", "id": "z"'), "'id' stands twice"),
        ('{"tasks": [' + TEXT + '], "tasks": []}', "'tasks' stands twice"),
        (f"<think>Perhaps {TEXT}", "no end"),
        ('{"tasks": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ('{"tasks": ' * 5_000 + "1" + "}" * 5_000, "nested too deeply"),
        ("{" * 100_000, "not the JSON"),
        ("see " + '{"a": [' * 99 + "1, " * 300_000, "not the JSON"),
        ("see " + "\u00e9{" * 300_000, "not the JSON"),
        ('see {"n": ' + "9" * 9_999 + "}", "not the JSON"),
        (TEXT + " " * MAX_ANSWER_CHARS, "at most 1,000,000 are read"),
        ('{"tasks": []}', "at least one task"),
        ("[]", "at least one task"),
        ("{}", "no 'tasks'"),
        ("null", "must be a list"),
        ('"tasks"', "must be a list"),
        ('{"tasks": {"a": {}}}', "must be a list"),
        ('{"tasks": null}', "must be a list"),
        ('{"tasks": [null]}', "tasks.0"),
        ('{"tasks": [[[null]]]}', "tasks.0"),
        (json.dumps({"tasks": [task(None)]}), "tasks.0.id"),
        (json.dumps({"tasks": [task(True)]}), "tasks.0.id"),
        (json.dumps({"tasks": [task(1.5)]}), "tasks.0.id"),
        (json.dumps({"tasks": [task("a", description=["x"])]}), "tasks.0.description"),
        (json.dumps({"tasks": [task("a", operation=7)]}), "tasks.0.operation"),
        (json.dumps({"tasks": [task("a", requires=[None])]}), "tasks.0.requires.0"),
        (json.dumps({"tasks": [task("a", requires={"x": 1})]}), "tasks.0.requires"),
        (json.dumps({"tasks": [task("a", description="x" * 500_000)]}), "has 500,000 characters"),
        (json.dumps({"tasks": [task("a", produces=["x"] * 1000)]}), "names 1000 things"),
        (json.dumps({"tasks": [task(str(n)) for n in range(10_000)]}), "at most 30 are allowed"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidPlan, match=reason) as refused:
        read_draft(text)
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["tasks", "id", "description", "operation", "requires", "x"]), inner
        )
    ),
    max_leaves=20,
)
NEAR_TASKS = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", 1]) | ANY_JSON, "description": st.text(max_size=9)},
    optional={
        "operation": st.just("answer") | ANY_JSON,
        "depends_on": st.lists(st.sampled_from(["a", "b", 1, None])) | ANY_JSON,
        "requires": ANY_JSON,
        "agent": ANY_JSON,
    },
)
NEAR_PLANS = st.fixed_dictionaries({"tasks": st.lists(NEAR_TASKS, max_size=4)})


@given(st.text(max_size=40), ANY_JSON | NEAR_PLANS, st.text(max_size=40), st.integers(0, 200))
def test_whatever_is_written_it_is_a_plan_or_refused(
    before: str, value: object, after: str, length: int
) -> None:
    """Whole, amid prose, and cut off anywhere; nothing but a refusal may be raised."""
    written = json.dumps(value)
    for text in (written, before + written + after, written[:length]):
        try:
            draft, _ = read_draft(text)
        except InvalidPlan:
            continue
        assert 1 <= len(draft.tasks) <= MAX_PLANNED_TASKS
        assert all(one.id not in one.depends_on for one in draft.tasks)


@given(NEAR_PLANS)
def test_reading_a_mended_plan_again_mends_nothing(value: object) -> None:
    try:
        draft, _ = read_draft(json.dumps(value))
    except InvalidPlan:
        return
    again, changes = read_draft(draft.model_dump_json())
    assert again == draft
    assert changes == ()


SKILLS = {
    skill.id: skill
    for skill in (
        Skill("answer", "Answers."),
        Skill("profile", "Profiles.", ("data_analysis",), ("dataset",), ("profile",)),
    )
}
GOAL = Goal("Profile it, then answer", "general", {"dataset": "/ws/a.csv", "dataset_2": "/b.csv"})
TASKS = st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "description": st.text(max_size=5)},
    optional={
        "operation": st.sampled_from(["answer", "profile", "pay"]),
        "depends_on": st.lists(st.sampled_from("abc"), max_size=2),
        "requires": st.lists(st.sampled_from(["dataset", "dataset_2", "profile", "x"]), max_size=2),
        "produces": st.lists(st.sampled_from(["profile", "x", "../x"]), max_size=2),
        "serves": st.sampled_from(["", "answer", "Profile it", "pay"]),
    },
)


@given(st.fixed_dictionaries({"tasks": st.lists(TASKS, min_size=1, max_size=4)}))
def test_a_plan_that_is_taken_uses_the_catalogue_and_the_data_and_nothing_else(
    value: object,
) -> None:
    try:
        draft, _ = read_draft(json.dumps(value))
        tasks, _ = drafted_tasks(draft, GOAL, SKILLS)
        dag = TaskDAG(tasks, GOAL.given)
    except InvalidPlan:
        return
    made = {name for one in dag for name in one.produces}
    assert "../x" not in made
    for one in dag:
        assert one.operation in SKILLS
        assert {one.datum(name) for name in one.requires} <= made | set(GOAL.given)
        assert set(SKILLS[one.operation].requires) <= set(one.requires)
        assert one.request in GOAL.request
        assert one.description
