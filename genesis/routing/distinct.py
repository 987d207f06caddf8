"""One person for each task so that tasks which are kept apart have different ones.

This is list colouring. Where all tasks of a knot exclude each other it is a bipartite matching,
solved by augmenting paths (Kuhn 1955); otherwise by a search that takes the task with the fewest
persons left and looks one step ahead, with tasks that are alike taken as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

_MAX_STEPS = 20_000


def distinct(
    persons: Mapping[str, Sequence[str]], apart: Mapping[str, AbstractSet[str]]
) -> dict[str, str]:
    """Choose a person for each task.

    Args:
        persons: who could do each task, best first.
        apart: for each task the others that somebody else must do; symmetric.

    Returns:
        A person by task. Tasks that hang together and cannot all be served are left out, and so
        are those where no way was found within a bounded number of steps.
    """
    chosen: dict[str, str] = {}
    for knot in _knots(apart):
        if all(len(apart[task]) == len(knot) - 1 for task in knot):
            found = _matched(knot, persons)
        else:
            found = _Search(knot, persons, apart).run()
        chosen |= found or {}
    return chosen


def _knots(apart: Mapping[str, AbstractSet[str]]) -> Iterator[list[str]]:
    """The tasks that hang together, directly or not."""
    seen: set[str] = set()
    for start in apart:
        if start in seen:
            continue
        knot = [start]
        seen.add(start)
        for task in knot:
            new = [other for other in apart if other in apart[task] and other not in seen]
            seen.update(new)
            knot += new
        yield knot


def _matched(knot: Sequence[str], persons: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    holder: dict[str, str] = {}

    def place(task: str, tried: set[str]) -> bool:
        free = next((p for p in persons[task] if p not in holder), None)
        if free is not None:  # nobody who has a task is moved without need
            holder[free] = task
            return True
        for person in persons[task]:
            if person not in tried:
                tried.add(person)
                if place(holder[person], tried):
                    holder[person] = task
                    return True
        return False

    if not all(place(task, set()) for task in knot):
        return None
    return {task: person for person, task in holder.items()}


class _Search:
    def __init__(
        self,
        knot: Sequence[str],
        persons: Mapping[str, Sequence[str]],
        apart: Mapping[str, AbstractSet[str]],
    ) -> None:
        alike: dict[tuple[frozenset[str], tuple[str, ...]], list[str]] = {}
        for task in knot:
            alike.setdefault((frozenset(apart[task]), tuple(persons[task])), []).append(task)
        self._alike = {tasks[0]: tasks for tasks in alike.values()}
        self._apart = {
            first: [other for other in self._alike if other in apart[first]]
            for first in self._alike
        }
        self._left = {first: list(persons[first]) for first in self._alike}
        self._steps = 0

    def run(self) -> dict[str, str] | None:
        chosen: dict[str, str] = {}
        if not self._extend(chosen):
            return None
        return {task: chosen[first] for first, tasks in self._alike.items() for task in tasks}

    def _extend(self, chosen: dict[str, str]) -> bool:
        waiting = [task for task in self._alike if task not in chosen]
        if not waiting:
            return True
        task = min(waiting, key=lambda t: len(self._left[t]))
        for person in self._left[task]:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                return False
            narrowed = [
                other
                for other in self._apart[task]
                if other not in chosen and person in self._left[other]
            ]
            before = {other: self._left[other] for other in narrowed}
            for other in narrowed:
                self._left[other] = [p for p in self._left[other] if p != person]
            chosen[task] = person
            if all(self._left[other] for other in narrowed) and self._extend(chosen):
                return True
            del chosen[task]
            self._left |= before
        return False
