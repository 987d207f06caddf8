"""Whoever is barred from a task, somebody stands on its ladder or in reserve."""

from __future__ import annotations

from dataclasses import replace

import pytest
from route_samples import TASK, agent, ladder, routed

from genesis.errors import BudgetExceeded
from genesis.routing.ladder import Apart, Ladder, Route
from genesis.routing.spare import with_spare

CARDS = [agent(name, seconds=1.0 + n) for n, name in enumerate("vwxyz")]


def _kept(first: Ladder, apart: tuple[Apart, ...], route: Route | None = None) -> Ladder:
    found = replace(route or routed(CARDS), apart=apart)
    return with_spare(first, found, lambda among: ladder(CARDS, found=among))


def _one_rung() -> Ladder:
    found = ladder(CARDS)
    return replace(found, rungs=found.rungs[:1])


def test_a_task_kept_apart_from_none_has_no_reserve() -> None:
    assert _kept(_one_rung(), ()) == _one_rung()


@pytest.mark.parametrize("earlier", [1, 2, 3])
def test_one_more_person_than_can_be_barred_is_there(earlier: int) -> None:
    apart = tuple(Apart(f"t{n}", "why") for n in range(earlier))
    found = _kept(_one_rung(), apart)
    assert found.apart == apart
    agents = [rung.agent for rung in (*found.rungs, *found.spare)]
    assert found.rungs == _one_rung().rungs
    assert len(set(agents)) > earlier
    assert not {rung.agent for rung in found.rungs} & {rung.agent for rung in found.spare}


def test_agents_of_one_person_count_once() -> None:
    apart = (Apart("t", "why", (("v", "w", "x", "y"),)),)
    assert {rung.agent for rung in _kept(_one_rung(), apart).spare} == {"z"}


def test_enough_on_the_ladder_need_no_reserve() -> None:
    assert _kept(ladder(CARDS), (Apart("t", "why"),)).spare == ()


def test_who_cannot_be_paid_is_no_reserve() -> None:
    def too_dear(among: Route) -> Ladder:
        raise BudgetExceeded(f"{TASK.id}: {len(among.candidates)} too dear")

    route = replace(routed(CARDS), apart=(Apart("t", "why"),))
    assert with_spare(_one_rung(), route, too_dear).spare == ()
