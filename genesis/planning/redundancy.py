"""What a plan could do without: tasks that repeat others, and tasks of which nothing is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from genesis.planning.catalogue import Catalogue
from genesis.planning.dataflow import DataFlow
from genesis.planning.intent import meant_for
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task


def originals(flow: DataFlow) -> dict[int, int]:
    """For each task that repeats another, by place, the one that it repeats.

    Two tasks do the same work when they apply the same operation to the same data from the same
    sources. Of several the one that others take data from counts as the original, else the one
    listed first.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    first: dict[int, int] = {}
    for place in flow.order:
        task = flow.tasks[place]
        # Two questions in words may well differ, so tasks without any name repeat nothing.
        named = task.operation or flow.produces[place]
        work = _work(flow, place, first) if named else (place,)
        same = alike.setdefault(work, [])
        same.append(place)
        first[place] = same[0]
    if len(alike) == len(flow.order):
        return {}
    users = flow.users()
    found: dict[int, int] = {}
    for same in alike.values():
        original = min(same, key=lambda place: (not users[place], place))
        found |= {place: original for place in same if place != original}
    return found


def _work(flow: DataFlow, place: int, first: Mapping[int, int]) -> tuple[object, ...]:
    """What makes two tasks the same work: operation, and the very data that go in and come out."""
    task, sources = flow.tasks[place], flow.sources[place]
    requires, produces = frozenset(flow.requires[place]), frozenset(flow.produces[place])
    # Operations without declared data differ by their words, and so do requests in their own.
    words = task.description if task.composite or not (requires or produces) else ""
    return (
        task.operation,
        task.task_type,
        requires,
        produces,
        frozenset(first.get(s, s) for found in sources.values() for s in found),
        words,
        repr(task.acceptance) if task.acceptance else "",
        task.request,
    )


def dead_tasks(
    flow: DataFlow, repeated: Mapping[int, int], catalogue: Catalogue | None = None
) -> list[int]:
    """Places of tasks of which nothing is used or asked for, and of those that only feed them.

    Where the plan lacks something, a task that would feed what is lacking is not dead: the gap
    is the fault, and the task's unused result follows from it. A catalogue tells which those are;
    without one any unused task may be.

    Args:
        flow: the plan's data flow.
        repeated: tasks that count as gone, with the ones that stand in for them.
        catalogue: what could fill the gaps.
    """
    useful = {
        place
        for place, made in enumerate(flow.produces)
        if place not in repeated and (not made or not set(made).isdisjoint(flow.asked))
    }
    _spread(flow, repeated, useful, useful)
    explained: set[str] = set()
    while unused := [p for p in range(len(flow.tasks)) if p not in useful and p not in repeated]:
        gaps = {datum for place, datum in flow.missing if place in useful}
        gaps |= {datum for datum in flow.asked if datum not in flow.makers}
        gaps -= explained
        explained |= gaps
        if not gaps:
            return unused
        # What is found to have a use may have gaps of its own, which are looked at next.
        meant = None if catalogue is None else meant_for(flow, gaps, unused, catalogue)
        if meant is None:
            return []
        useful |= meant
        _spread(flow, repeated, useful, meant)
    return []


def _spread(
    flow: DataFlow, repeated: Mapping[int, int], useful: set[int], new: Collection[int]
) -> None:
    """Add all from which the new ones among the useful tasks take data, directly or not."""
    pending = list(new)
    while pending:
        place = pending.pop()
        sources = flow.sources[place]
        # A task that requires no data by name may use whatever those just before it made.
        taken = (
            [s for found in sources.values() for s in found]
            if flow.requires[place]
            else flow.needs[place]
        )
        for source in (repeated.get(s, s) for s in taken):
            if source not in useful:
                useful.add(source)
                pending.append(source)


def without(dag: TaskDAG, gone: Mapping[str, str]) -> TaskDAG:
    """The plan less some tasks, each with the task that stands in for it (empty for none).

    What waited for a task that is gone waits for its stand-in, and for what that task itself
    waited for, so that all data stay upstream of those who need them. For a stand-in that comes
    after them they do not wait: then nobody took data from the task that is gone.
    """
    tasks = {task.id: task for task in dag}
    for task_id, stand_in in gone.items():
        left = tasks.pop(task_id)
        earlier = _upstream(tasks, stand_in)
        for waiting in [task for task in tasks.values() if task_id in task.depends_on]:
            kept = [d for d in waiting.depends_on if d != task_id]
            instead = [stand_in] if stand_in and waiting.id not in earlier else []
            depends_on = tuple(dict.fromkeys((*kept, *instead, *left.depends_on)))
            tasks[waiting.id] = replace(waiting, depends_on=depends_on)
    return TaskDAG(tasks.values(), dag.given)


def _upstream(tasks: Mapping[str, Task], task_id: str) -> set[str]:
    """A task and all that it waits for, directly or not."""
    found, pending = set[str](), [task_id]
    while pending:
        current = pending.pop()
        if current in tasks and current not in found:
            found.add(current)
            pending.extend(tasks[current].depends_on)
    return found
