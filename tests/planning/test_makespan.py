"""Schedules: exact where that is tractable, and saying so."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import dags, task

from genesis.planning.landmarks import landmark_cut
from genesis.planning.makespan import Step, derive, schedule
from genesis.tasks.dag import TaskDAG


def _fits(dag: TaskDAG, seconds: dict[str, float], starts: dict[str, float], workers: int) -> bool:
    for one in dag:
        if any(starts[d] + seconds[d] > starts[one.id] + 1e-9 for d in one.depends_on):
            return False
    return all(
        sum(starts[o] <= at < starts[o] + seconds[o] for o in starts) <= workers
        for at in starts.values()
    )


def _shortest(dag: TaskDAG, seconds: dict[str, float], workers: int) -> float:
    """The best of all orders in which tasks are given to the first free worker."""
    best = float("inf")
    for order in permutations([one.id for one in dag]):
        free, ends = [0.0] * workers, dict[str, float]()
        for name in order:
            if any(d not in ends for d in dag[name].depends_on):
                break
            free.sort()
            start = max([free[0], *(ends[d] for d in dag[name].depends_on)])
            free[0] = ends[name] = start + seconds[name]
        else:
            best = min(best, max(ends.values()))
    return best


@given(
    dag=dags(),
    times=st.lists(st.integers(0, 9), min_size=12, max_size=12),
    workers=st.integers(1, 4),
)
def test_a_schedule_keeps_to_edges_and_workers_and_never_beats_its_bound(
    dag: TaskDAG, times: list[int], workers: int
) -> None:
    seconds = {one.id: float(s) for one, s in zip(dag, times, strict=False)}
    found = schedule(dag, seconds, workers)
    assert _fits(dag, seconds, dict(found.starts), workers)
    assert found.makespan >= found.at_least - 1e-9
    free = schedule(dag, seconds)
    assert free.optimality == "exact"
    assert free.makespan <= found.makespan + 1e-9
    if len(dag) <= 6:
        assert found.optimality == "exact"
        assert found.makespan == pytest.approx(_shortest(dag, seconds, workers))


def test_more_tasks_than_are_tried_out_are_said_to_be_heuristic() -> None:
    times = [7, 7, 6, 6, 5, 5, 4, 4, 4]  # three workers: 16 s by the list, 16 s = 48 / 3 at best
    times += [4]
    tasks = [task(f"t{n}", "x", (), (f"d{n}",)) for n in range(len(times))]
    seconds = {f"t{n}": float(s) for n, s in enumerate(times)}
    found = schedule(TaskDAG(tasks), seconds, 3)
    assert found.at_least == pytest.approx(52 / 3)
    assert found.optimality == "heuristic"


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    data = st.lists(st.integers(0, 5), unique=True, max_size=2).map(tuple)
    some = st.lists(st.integers(0, 5), unique=True, min_size=1, max_size=2).map(tuple)
    one = st.builds(Step, data, some, st.integers(0, 9), st.integers(0, 9))
    return draw(st.lists(one, min_size=1, max_size=7))


@given(listed=steps(), goals=st.lists(st.integers(0, 5), unique=True, min_size=1, max_size=2))
def test_the_landmark_bound_is_never_above_the_least_weight(
    listed: list[Step], goals: list[int]
) -> None:
    best: int | None = None
    for mask in range(1 << len(listed)):
        chosen = [n for n in range(len(listed)) if mask >> n & 1]
        found = derive(listed, chosen, lambda n: listed[n].time)
        if all(goal in found.value for goal in goals):
            weight = sum(listed[n].weight for n in chosen)
            best = weight if best is None else min(best, weight)
    bound = landmark_cut(listed, range(len(listed)), (), goals)
    assert (bound is None) == (best is None)
    if bound is not None and best is not None:
        assert bound <= best
