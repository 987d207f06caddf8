"""A lower bound on the weight of any set of steps that makes the goals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from genesis.planning.makespan import Derivation, Step, derive


def landmark_cut(
    steps: Sequence[Step], usable: Collection[int], free: Collection[int], goals: Sequence[int]
) -> int | None:
    """The landmark cut bound (Helmert and Domshlak, 2009); None when the goals cannot be made.

    Each round finds a set of steps of which every way of making the goals takes at least one,
    counts the least weight in it, and takes that off them all.

    Args:
        steps: what there is.
        usable: numbers of the steps that may be taken.
        free: numbers of the steps that are paid already.
        goals: numbers of the data that are wanted.
    """
    left = {number: 0 if number in free else steps[number].weight for number in usable}
    total = 0
    while True:
        found = derive(steps, left, left.__getitem__)
        if any(goal not in found.value for goal in goals):
            return None
        if max((found.value[goal] for goal in goals), default=0) == 0:
            return total
        cut = _cut(steps, left, found, goals)
        least = min(left[number] for number in cut)
        for number in cut:
            left[number] -= least
        total += least


def _cut(
    steps: Sequence[Step], left: dict[int, int], found: Derivation, goals: Sequence[int]
) -> set[int]:
    """The steps that enter the zone from which the dearest goal is reached for nothing.

    Every step hangs on the dearest datum that it needs (None: on nothing).
    """
    hangs_on = {
        number: max(steps[number].requires, key=found.value.__getitem__, default=None)
        for number in found.order
    }
    makers: dict[int, list[int]] = {}
    users: dict[int | None, list[int]] = {}
    for number in found.order:
        users.setdefault(hangs_on[number], []).append(number)
        for datum in steps[number].produces:
            makers.setdefault(datum, []).append(number)
    dearest = max(goals, key=found.value.__getitem__)
    zone, pending = {dearest}, [dearest]
    while pending:
        for number in makers[pending.pop()]:
            datum = hangs_on[number]
            if not left[number] and datum is not None and datum not in zone:
                zone.add(datum)
                pending.append(datum)
    cut: set[int] = set()
    reached: set[int | None] = {None}
    before: list[int | None] = [None]
    while before:
        for number in users.get(before.pop(), ()):
            for datum in steps[number].produces:
                if datum in zone:
                    cut.add(number)
                elif datum not in reached:
                    reached.add(datum)
                    before.append(datum)
    return cut
