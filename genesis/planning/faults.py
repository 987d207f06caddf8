"""What is wrong with a plan, read off its data flow, each fault told once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from genesis.planning.catalogue import Catalogue, Operation
from genesis.planning.dataflow import DataFlow
from genesis.planning.findings import NAME_CHARS, Finding, shown
from genesis.tasks.capability import wanted
from infrastructure.text import one_line

_TASK_ID = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def structure(flow: DataFlow, catalogue: Catalogue | None) -> list[Finding]:
    ids = [task.id for task in flow.tasks]
    found = [
        Finding(
            "malformed",
            "error",
            name,
            "",
            f"task id {shown(name)} is not made of 1 to 80 letters, digits, '_', '-' or '.'",
        )
        for name in ids
        if not _TASK_ID.fullmatch(name)
    ]
    found += [
        Finding(
            "repeated_id", "error", ids[p], "", f"task id {shown(ids[p])} is used more than once"
        )
        for p in flow.repeated
    ]
    found += [_cycle(flow, edges) for edges in flow.cut]
    # A task that waits for what is gone and lacks a datum has one fault, told as what it lacks.
    lacking = {place for place, _ in flow.missing}
    found += [
        Finding(
            "unknown_dependency",
            "error",
            ids[p],
            "",
            f"task {shown(ids[p])} depends on {shown(other)}, which is not a task",
            other,
        )
        for p, other in flow.unknown
        if p not in lacking
    ]
    found += [
        Finding(
            "missing_edge",
            "error",
            ids[p],
            datum,
            f"task {shown(ids[p])} requires {shown(datum)} and does not wait for "
            f"{shown(ids[maker])}, which makes it",
            ids[maker],
        )
        for p, datum, maker in flow.absent
    ]
    if catalogue is not None and catalogue.by_name:
        found += _needless(flow)
    return found


def _cycle(flow: DataFlow, edges: Sequence[tuple[int, int]]) -> Finding:
    user, maker = edges[0]
    name, other = flow.tasks[user].id, flow.tasks[maker].id
    if user == maker:
        message = f"task {shown(name)} depends on itself"
    else:
        message = f"task {shown(name)} waits for {shown(other)}, which needs it in turn: a cycle"
    datum = next((d for d in flow.requires[user] if d in flow.produces[maker]), "")
    return Finding("cycle", "error", name, datum, message, other)


def _needless(flow: DataFlow) -> Iterable[Finding]:
    """Edges over which nothing comes; one beside an edge that is missing is the same fault."""
    excused = {place for place, _, _ in flow.absent} | {place for place, _ in flow.missing}
    for place, task in enumerate(flow.tasks):
        if place in excused:
            continue
        taken = {s for found in flow.sources[place].values() for s in found}
        for need in flow.needs[place]:
            if need not in taken and set(flow.produces[need]).isdisjoint(flow.requires[place]):
                other = flow.tasks[need].id
                yield Finding(
                    "needless_edge",
                    "warning",
                    task.id,
                    "",
                    f"task {shown(task.id)} waits for {shown(other)} and takes nothing from it",
                    other,
                )


def unsolvable(
    flow: DataFlow, catalogue: Catalogue, doing: Mapping[int, Sequence[Operation]]
) -> list[Finding]:
    found: list[Finding] = []
    for place, operations in doing.items():
        if operations:
            continue
        task = flow.tasks[place]
        kind, datum, reason = catalogue.inability(task)
        message = f"nobody can do task {shown(task.id)}, which needs {one_line(wanted(task))}"
        joint = ", " if catalogue.by_name else ": "
        found.append(Finding(kind, "error", task.id, datum, message + joint + reason))
    return found


def no_producer(flow: DataFlow) -> Iterable[Finding]:
    for place, datum in flow.missing:
        name = flow.tasks[place].id
        makers = [flow.tasks[m].id for m in flow.makers.get(datum, ()) if m != place]
        why = (
            f"is made only by {shown(makers[0])}, which needs it in turn"
            if makers
            else "is neither given with the request nor made by any task"
        )
        message = f"task {shown(name)} requires {shown(datum)}, which {why}"
        yield Finding("no_producer", "error", name, datum, message)


def incomplete(flow: DataFlow, catalogue: Catalogue | None) -> list[Finding]:
    said = flow.said(catalogue is not None and catalogue.by_name)
    lacking = [datum for datum in flow.asked if datum not in flow.makers and datum not in said]
    return [
        Finding(
            "incomplete",
            "error",
            "",
            datum,
            f"the request asks for {shown(datum)}, which no task of the plan produces",
        )
        for datum in lacking
    ]


def redundant(
    flow: DataFlow, repeated: Mapping[int, int], dead: Sequence[int]
) -> Iterable[Finding]:
    for place, original in sorted(repeated.items()):
        name, first = flow.tasks[place].id, flow.tasks[original].id
        if name == first:
            continue  # told as an id used twice
        datum = next(iter(flow.produces[place]), "")
        message = f"task {shown(name)} repeats task {shown(first)}: same operation on the same data"
        yield Finding("duplicate", "error", name, datum, message, first)
    for place in dead:
        name, made = flow.tasks[place].id, flow.produces[place]
        listed = ", ".join(one_line(datum, NAME_CHARS) for datum in made)
        message = (
            f"nothing uses what task {shown(name)} makes ({listed}), "
            "nor does the request ask for it"
        )
        yield Finding("dead", "error", name, made[0], message)
