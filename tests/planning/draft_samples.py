"""Catalogues and plan drafts by chance, most of them wrong in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hypothesis import strategies as st
from plan_samples import task

from genesis.planning import Catalogue, Operation, PlanDraft
from genesis.tasks.task import Task

DATA = ("a", "b", "c", "d", "e")
GIVEN = frozenset({"raw"})


@st.composite
def catalogues(draw: st.DrawFn, most: int = 7) -> Catalogue:
    """Few operations over few data, so that they share, repeat and need each other."""
    operations: list[Operation] = []
    for number in range(draw(st.integers(1, most))):
        requires = draw(st.lists(st.sampled_from(("raw", *DATA)), unique=True, max_size=2))
        produces = draw(st.lists(st.sampled_from(DATA), unique=True, min_size=1, max_size=2))
        seconds, cents = draw(st.integers(0, 9)), draw(st.integers(0, 9))
        operations.append(
            Operation(f"op{number}", tuple(requires), tuple(produces), seconds, cents / 100)
        )
    return Catalogue(operations)


@st.composite
def drafts(draw: st.DrawFn, catalogue: Catalogue) -> PlanDraft:
    """Tasks with operations of the catalogue and others, anything between them."""
    known = [operation.name for operation in catalogue.operations]
    ids = [f"t{number}" for number in range(6)]
    tasks: list[Task] = []
    for _ in range(draw(st.integers(0, 6))):
        operation = catalogue.get(draw(st.sampled_from([*known, "unheard_of"])))
        needs = st.lists(st.sampled_from([*ids, "gone"]), unique=True, max_size=2)
        some = st.lists(st.sampled_from(("raw", *DATA)), unique=True, max_size=2)
        sound = operation is not None and draw(st.booleans())
        tasks.append(
            task(
                draw(st.sampled_from(ids)),
                operation.name if operation else "unheard_of",
                operation.requires if operation and sound else tuple(draw(some)),
                operation.produces if operation and sound else tuple(draw(some)),
                tuple(draw(needs)),
            )
        )
    asked = draw(st.lists(st.sampled_from(DATA), unique=True, min_size=1, max_size=2))
    return PlanDraft(tuple(tasks), GIVEN, tuple(asked))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Catalogue, PlanDraft]:
    catalogue = draw(catalogues())
    return catalogue, draw(drafts(catalogue))


def soonest(operations: Sequence[Operation], asked: Sequence[str]) -> float | None:
    """The shortest makespan, by repeating the recurrence until nothing changes."""
    at = dict.fromkeys(GIVEN, 0.0)
    for _ in range(len(operations) + 1):
        for operation in operations:
            if all(datum in at for datum in operation.requires):
                start = max((at[datum] for datum in operation.requires), default=0.0)
                for datum in operation.produces:
                    at[datum] = min(at.get(datum, float("inf")), start + operation.seconds)
    return max(at[d] for d in asked) if all(d in at for d in asked) else None


def cheapest(
    operations: Sequence[Operation], asked: Sequence[str], within: float = float("inf")
) -> float | None:
    """The least cost of any set of operations that makes what is asked in time."""
    best: float | None = None
    for count in range(len(operations) + 1):
        for chosen in combinations(operations, count):
            end = soonest(chosen, asked)
            usd = sum(operation.cost_usd for operation in chosen)
            if end is not None and end <= within + 1e-9 and (best is None or usd < best):
                best = usd
    return best
