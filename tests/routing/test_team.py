"""Tasks that different agents must do: shared out before anything is paid, whoever does what."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.errors import ConfigError
from genesis.routing.distinct import distinct
from genesis.routing.ladder import Candidate, Route
from genesis.routing.rules import RuleBook
from genesis.routing.team import Separation, Team
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Attempt, AttemptOutcome, Task, TaskResult, TaskStatus

FOUR_EYES = Separation("four-eyes", (frozenset({"build"}), frozenset({"review"})), "two must agree")
TEAM = Team([FOUR_EYES])


def _task(name: str, operation: str, *after: str) -> Task:
    return Task(name, "", "code_generation", operation, depends_on=after)


def _route(task_id: str, *agents: str) -> Route:
    candidates = (Candidate(agent, "op", 1.0, 0.5, (0.1, 0.9), 0, "") for agent in agents)
    return Route(task_id, tuple(candidates), ())


def _done(task_id: str, *agents: str) -> TaskResult:
    attempts = tuple(
        Attempt(number, agent, AttemptOutcome.VERIFIED, "")
        for number, agent in enumerate(agents, 1)
    )
    return TaskResult(task_id, TaskStatus.COMPLETED, attempts)


def _shared(
    tasks: Sequence[Task],
    able: Mapping[str, Sequence[str]],
    team: Team = TEAM,
    done: Mapping[str, TaskResult] | None = None,
) -> dict[str, Route]:
    routes = [_route(task_id, *agents) for task_id, agents in able.items()]
    return {r.task_id: r for r in team.keep_apart(TaskDAG(tasks), routes, done or {})}


def _agents(route: Route) -> list[str]:
    return [candidate.agent for candidate in route.candidates]


BUILD, REVIEW = _task("b", "build"), _task("r", "review", "b")


def test_who_might_build_may_still_review_until_it_is_known_who_built() -> None:
    found = _shared([BUILD, REVIEW], {"b": ["x", "y"], "r": ["x", "y"]})
    assert _agents(found["b"]) == _agents(found["r"]) == ["x", "y"]
    (apart,) = found["r"].apart
    assert (apart.task_id, apart.why) == ("b", "rule 'four-eyes': two must agree")
    assert apart.bars("x", "x")
    assert not apart.bars("x", "y")
    assert found["b"].apart == ()


def test_the_only_reviewer_is_kept_from_building() -> None:
    found = _shared([BUILD, REVIEW], {"b": ["x", "y"], "r": ["x"]})
    assert _agents(found["b"]) == ["y"]
    (rejected,) = found["b"].rejected
    assert rejected.agent == "x"
    assert "rule 'four-eyes': two must agree (kept for task 'r'" in rejected.reason


def test_one_agent_for_both_is_refused_with_the_rule() -> None:
    found = _shared([BUILD, REVIEW], {"b": ["x"], "r": ["x"]})
    assert _agents(found["b"]) == _agents(found["r"]) == []
    for task_id, other in (("b", "r"), ("r", "b")):
        reason = found[task_id].rejected[0].reason
        assert "rule 'four-eyes'" in reason
        assert f"tasks '{task_id}' and '{other}'" in reason


def test_tasks_that_may_run_at_once_get_different_agents() -> None:
    tasks = [_task("b", "build"), _task("r", "review")]
    found = _shared(tasks, {"b": ["x", "y"], "r": ["x", "y", "z"]})
    assert not set(_agents(found["b"])) & set(_agents(found["r"]))
    assert _agents(found["b"])
    assert _agents(found["r"])
    assert "which may run meanwhile" in found["r"].rejected[0].reason


def test_nobody_is_left_without_somebody_to_escalate_to() -> None:
    tasks = [_task("b", "build"), _task("r", "review")]
    found = _shared(tasks, {"b": ["w", "x", "y", "z"], "r": ["w", "x", "y", "z"]})
    assert len(_agents(found["b"])) == len(_agents(found["r"])) == 2


def test_who_has_built_does_not_review() -> None:
    tasks = [_task("b", "build"), _task("r", "review")]
    found = _shared(tasks, {"r": ["x", "y"]}, done={"b": _done("b", "y", "x")})
    assert _agents(found["r"]) == ["y"]  # it was asked, and its answer was not the one taken
    assert "it did task 'b'" in found["r"].rejected[0].reason


def test_agents_of_one_person_are_the_same() -> None:
    team = Team([FOUR_EYES], [("x", "y")])
    assert _agents(_shared([BUILD, REVIEW], {"b": ["x"], "r": ["y"]}, team)["r"]) == []
    found = _shared([BUILD, REVIEW], {"b": ["x", "z"], "r": ["y"]}, team)
    assert _agents(found["b"]) == ["z"]
    assert found["r"].apart[0].bars("x", "y")


def test_task_types_can_be_kept_apart_and_others_are_left_alone() -> None:
    team = Team([Separation("s", (frozenset({"testing"}), frozenset({"build"})), "x")])
    other = Task("t", "", "testing", "run")
    found = _shared([BUILD, REVIEW, other], {"b": ["x"], "r": ["x"], "t": ["x", "y"]}, team)
    assert _agents(found["r"]) == ["x"]
    assert _agents(found["t"]) == ["y"]


def test_the_same_group_twice_wants_as_many_agents_as_tasks() -> None:
    review = frozenset({"review"})
    team = Team([Separation("s", (review, review), "x")])
    tasks = [_task(name, "review") for name in "pqr"]
    enough = _shared(tasks, {"p": ["x"], "q": ["x", "y"], "r": ["x", "y", "z"]}, team)
    assert [_agents(enough[name]) for name in "pqr"] == [["x"], ["y"], ["z"]]
    few = _shared(tasks, {name: ["x", "y"] for name in "pqr"}, team)
    assert all(not _agents(few[name]) for name in "pqr")


def test_a_task_nobody_can_do_does_not_spoil_the_others() -> None:
    found = _shared([BUILD, REVIEW], {"b": [], "r": ["x"]})
    assert _agents(found["r"]) == ["x"]


@st.composite
def _plans(draw: st.DrawFn) -> tuple[list[Task], dict[str, list[str]], Team]:
    count = draw(st.integers(2, 6))
    tasks: list[Task] = []
    for number in range(count):
        earlier = [task.id for task in tasks]
        after = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        operation = draw(st.sampled_from(["build", "review", "write"]))
        tasks.append(_task(f"t{number}", operation, *after))
    able = {
        task.id: draw(st.lists(st.sampled_from("vwxyz"), unique=True, max_size=4)) for task in tasks
    }
    groups = st.sampled_from([frozenset({"build"}), frozenset({"review"}), frozenset({"write"})])
    separations = [
        Separation(f"s{n}", tuple(draw(st.lists(groups, min_size=2, max_size=3))), "x")
        for n in range(draw(st.integers(1, 2)))
    ]
    persons = draw(st.sampled_from([(), (("v", "w"),), (("v", "w"), ("x", "y"))]))
    return tasks, able, Team(separations, persons)


def _separated(tasks: Sequence[Task], team: Team) -> list[tuple[str, str]]:
    return [
        (one.id, other.id)
        for one, other in itertools.combinations(tasks, 2)
        if any(s.separates(one, other) for s in team.separations)
    ]


def _possible(tasks: Sequence[Task], able: Mapping[str, Sequence[str]], team: Team) -> bool:
    """By trying every way; tasks that nobody can do do not count."""
    open_tasks = [task for task in tasks if able[task.id]]
    pairs = _separated(open_tasks, team)
    return any(
        all(team.person(who[a]) != team.person(who[b]) for a, b in pairs)
        for doers in itertools.product(*(able[task.id] for task in open_tasks))
        for who in [dict(zip((task.id for task in open_tasks), doers, strict=True))]
    )


@given(_plans(), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_whoever_does_what_every_task_finds_somebody_and_rules_are_kept(
    plan: tuple[list[Task], dict[str, list[str]], Team], seed: int
) -> None:
    tasks, able, team = plan
    found = _shared(tasks, able, team)
    if _possible(tasks, able, team):
        assert all(bool(_agents(found[task.id])) == bool(able[task.id]) for task in tasks)
    else:
        assert any(able[task.id] and not _agents(found[task.id]) for task in tasks)
    rng = random.Random(seed)
    for _ in range(10):
        doers: dict[str, str] = {}
        for task in tasks:  # in an order in which they may run
            route = found[task.id]
            allowed = [
                agent
                for agent in _agents(route)
                if not any(
                    a.bars(agent, doers[a.task_id]) for a in route.apart if a.task_id in doers
                )
            ]
            assert bool(allowed) == bool(route.candidates)
            if allowed:
                doers[task.id] = rng.choice(allowed)
        for one, other in _separated(tasks, team):
            if one in doers and other in doers:
                assert team.person(doers[one]) != team.person(doers[other])


def test_many_tasks_are_shared_out_at_once() -> None:
    names = [f"t{n}" for n in range(60)]
    persons = {name: [f"p{(n * 7 + k) % 13}" for k in range(6)] for n, name in enumerate(names)}
    apart = {
        name: {other for m, other in enumerate(names) if (m - n) % 3 == 1 or (n - m) % 3 == 1}
        for n, name in enumerate(names)
    }
    found = distinct(persons, apart)
    assert all(found[a] != found[b] for a in found for b in apart[a])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("separate: [{name: s, between: [a], because: x}]", r"line 2, separate 's': between"),
        ("separate: [{name: s, between: [a, []], because: x}]", r"between\.1"),
        ("separate: [{name: s, betwen: [a, b], because: x}]", "did you mean 'between'"),
        (
            "separate:\n  - {name: s, between: [a, b], because: x}\n"
            "  - {name: s, between: [a, b], because: x}",
            "line 4, separate 's': name: line 3 has the same name",
        ),
        ("persons:\n  p: [a, b]\n  q: [c, b]", r"line 4: persons\.q: the agent 'b' is already 'p'"),
        ("persons: {p: []}", r"line 2: persons\.p"),
    ],
)
def test_what_is_wrong_with_a_team_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RuleBook.parse("rules: []\n" + text, "r.yaml")


def test_a_team_is_read_from_the_rules_file() -> None:
    book = RuleBook.parse(
        "rules: []\n"
        "separate:\n  - {name: s, between: [build, [review, testing]], because: so}\n"
        "persons: {acme: [x, y]}\n",
        "r.yaml",
    )
    (separation,) = book.team.separations
    assert separation.separates(BUILD, REVIEW)
    assert separation.line == 3
    assert book.team.person("x") == book.team.person("y")
