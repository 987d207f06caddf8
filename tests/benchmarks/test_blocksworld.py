"""The Blocksworld check: against hand-made plans, and against a search for states themselves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from blocksworld import judge
from hypothesis import given
from hypothesis import strategies as st

INIT = ("handempty", "clear a", "on a b", "ontable b", "clear c", "ontable c")
PLAN = "(unstack a b)\n(put-down a)\n(pick-up b)\n(stack b c)\n"


def test_a_plan_that_reaches_the_goal_passes() -> None:
    assert judge(PLAN, INIT, ["on b c"]).solved
    assert judge(f"; first\n\n  {PLAN.upper()}", INIT, ["on b c", "clear a"]).solved
    assert judge("", INIT, ["on a b"]).solved


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("(pick-up b)", "step 1 '(pick-up b)' needs 'clear b', 'handempty'|'clear b'"),
        ("(unstack a b)\n(pick-up c)", "needs 'handempty'"),
        ("(unstack a b)\n(stack a b)", "ends without 'on b c'"),
        ("(stack a)", "no step of this domain"),
        ("(stack a a)", "no step of this domain"),
        ("(fly a)", "no step of this domain"),
        ("pick up a", "no step of this domain"),
        ("(pick-up c) (put-down c)", "no step of this domain"),
        (PLAN + "I hope that this helps!", "no step of this domain"),
        ("", "ends without 'on b c'"),
    ],
)
def test_a_plan_that_does_not_is_rejected_with_the_reason(plan: str, reason: str) -> None:
    found = judge(plan, INIT, ["on b c"])
    assert not found.solved
    assert any(part in found.reason for part in reason.split("|"))


MOVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "table"])), max_size=8
)


@given(moves=MOVES)
def test_it_agrees_with_towers_moved_by_hand(moves: list[tuple[str, str]]) -> None:
    """Moves a block at a time between stacks kept as lists; both worlds must agree."""
    towers = [["b", "a"], ["c"]]
    plan: list[str] = []
    for block, onto in moves:
        source = next((t for t in towers if t[-1] == block), None)
        if source is None or block == onto:
            continue
        target: list[str] | None = next((t for t in towers if t[-1] == onto), None)
        if onto != "table" and (target is None or target is source):
            continue
        under = source[-2] if len(source) > 1 else ""
        plan.append(f"(unstack {block} {under})" if under else f"(pick-up {block})")
        source.pop()
        plan.append(f"(put-down {block})" if target is None else f"(stack {block} {onto})")
        if target is None:
            towers.append([block])
        else:
            target.append(block)
        towers = [tower for tower in towers if tower]
    facts = {f"on {x} {y}" for tower in towers for y, x in pairwise(tower)}
    facts |= {f"ontable {tower[0]}" for tower in towers} | {f"clear {t[-1]}" for t in towers}
    assert judge("\n".join(plan), INIT, facts).solved
    wrong = {f"on {x} {y}" for x in "abc" for y in "abc" if x != y} - facts
    assert not any(judge("\n".join(plan), INIT, [fact]).solved for fact in wrong)
