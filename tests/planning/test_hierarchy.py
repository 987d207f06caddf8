"""Requests within requests: what one level leaves to the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genesis.planning.hierarchy import Level, TreeSize
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST, Task


def part(task_id: str, description: str, *produces: str) -> Task:
    return Task(task_id, description, "general", SUB_REQUEST, produces=produces)


OTHER = Task("other", "Do the rest.", "general", "rest")


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 12)), max_size=20),
)
def test_plans_of_several_runs_never_have_more_tasks_than_allowed(
    limit: int, plans: list[tuple[str, int]]
) -> None:
    tree = TreeSize(limit)
    held: dict[str, int] = {}
    for run_id, tasks in plans:
        if not tree.hold(run_id, tasks):
            held[run_id] = tasks
        # A plan that is too large all by itself is refused by its validation.
        assert len(held) == 1 or sum(held.values()) <= limit


def test_the_same_request_in_the_same_words_is_found_at_any_level() -> None:
    top = Level(TreeSize(100), max_depth=5)
    below = top.below("r", part("a", "Find the facts.", "facts"))
    deeper = below.below("r~a~1", part("b", "Look elsewhere.", "facts"))
    again = TaskDAG([part("c", "  find THE facts", "facts"), OTHER])
    assert top.objections("r", "Tell me.", again) == ()
    (why,) = deeper.objections("r~a~1~b~1", "Look elsewhere.", again)
    assert "'c' asks for the same again" in why
    narrower = TaskDAG([part("c", "Find the facts.", "names"), OTHER])
    assert deeper.objections("r~a~1~b~1", "Look elsewhere.", narrower) == ()


def test_a_request_is_not_handed_down_as_a_whole() -> None:
    top = Level(TreeSize(100), max_depth=5)
    alone = TaskDAG([part("a", "Tell me something.")])
    assert "nothing but task 'a'" in top.objections("r", "tell me  something", alone)[0]
    assert top.objections("r", "Say what I should know", alone) == ()


def test_below_the_deepest_level_there_is_none() -> None:
    level = Level(TreeSize(100), max_depth=2)
    assert level.levels_left == 1
    below = level.below("r", part("a", "Find out."))
    assert (below.levels_left, below.parent_run_id, below.parent_task_id) == (0, "r", "a")
    (why,) = below.objections("x", "Find out.", TaskDAG([part("b", "Go on."), OTHER]))
    assert "2 levels deep in all (max_request_depth)" in why
