"""Attempts in reserve: whom to ask when a rule keeps those on a ladder from their task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from genesis.errors import BudgetExceeded, ModelNotConfigured
from genesis.routing.ladder import Candidate, Ladder, Route, Rung


def with_spare(ladder: Ladder, route: Route, choose: Callable[[Route], Ladder]) -> Ladder:
    """The ladder with enough different persons on it or in reserve, whoever will be barred.

    Who did the tasks that this one is kept apart from is not known yet, and may be everybody on
    the ladder: the best few attempts are often one agent's.

    Args:
        ladder: what was chosen among all candidates.
        route: the candidates, and the tasks whose doers are barred; each bars one person.
        choose: chooses among other candidates.
    """
    if not route.apart:
        return ladder
    spare: list[Rung] = []
    while others := _others(ladder, spare, route):
        try:
            spare += choose(replace(route, candidates=others)).rungs
        except (BudgetExceeded, ModelNotConfigured):  # these cannot be asked now
            break
    return replace(ladder, apart=route.apart, spare=tuple(spare))


def _others(ladder: Ladder, spare: Sequence[Rung], route: Route) -> tuple[Candidate, ...]:
    """Candidates of persons that are missing; none when there are persons enough."""
    same = route.apart[0].bars
    persons: list[str] = []
    for rung in (*ladder.rungs, *spare):
        if not any(same(rung.agent, person) for person in persons):
            persons.append(rung.agent)
    if len(persons) > len(route.apart):
        return ()
    return tuple(c for c in route.candidates if not any(same(c.agent, p) for p in persons))
