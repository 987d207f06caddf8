"""Dependencies derived from the data flow: whoever needs a datum waits for whoever makes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from genesis.tasks.task import Task


def derive_edges(tasks: Iterable[Task], settled: Collection[str] = ()) -> tuple[Task, ...]:
    """The tasks with every edge that their `requires` and `produces` imply.

    Edges that are there stay. Of several makers of a datum the one listed last before the user
    counts, else the first. An edge that would close a circle is left out, so that a datum which
    is given and made again ("project") is read as given by whoever comes before its maker.

    Args:
        tasks: in the order in which they are listed.
        settled: data for which nobody has to wait more than they do already.
    """
    listed = list(tasks)
    depends = {task.id: list(task.depends_on) for task in listed}
    for position, task in enumerate(listed):
        for name in task.requires:
            if name in settled or name in dict(task.bindings):
                continue  # a binding says which datum is meant, and that one is given
            maker = _maker(listed, position, name)
            if maker is None or maker.id in depends[task.id]:
                continue
            if not _reaches(depends, maker.id, task.id):
                depends[task.id].append(maker.id)
    return tuple(replace(task, depends_on=tuple(depends[task.id])) for task in listed)


def _maker(listed: Sequence[Task], position: int, name: str) -> Task | None:
    makers = [(i, t) for i, t in enumerate(listed) if name in t.produces and i != position]
    if not makers:
        return None
    linked = [t for _, t in makers if t.id in listed[position].depends_on]
    before = [t for i, t in makers if i < position]
    return linked[0] if linked else before[-1] if before else makers[0][1]


def _reaches(depends: dict[str, list[str]], start: str, goal: str) -> bool:
    """Whether `start` needs `goal`, directly or not."""
    pending, seen = [start], set[str]()
    while pending:
        current = pending.pop()
        if current == goal:
            return True
        if current not in seen:
            seen.add(current)
            pending.extend(depends.get(current, ()))
    return False
