"""Catalogues, valid plans, and plans broken in known ways.

What is wrong with a broken plan is known from how it was broken. A fault is put only where no
other fault is near, so that several in one plan do not hide each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from genesis.planning import Limits, Operation, PlanDraft
from genesis.tasks.task import Task


@dataclass(frozen=True)
class Fault:
    """A fault that was made.

    Attributes:
        kind: as findings name it.
        tasks: any of which may be named (of two tasks that do the same either may go).
        datum: the datum concerned; empty for none.
    """

    kind: str
    tasks: frozenset[str]
    datum: str = ""


@dataclass(frozen=True)
class Case:
    """A broken plan, and what is wrong with it."""

    operations: tuple[Operation, ...]
    plan: PlanDraft
    limits: Limits
    ways: tuple[str, ...]
    faults: tuple[Fault, ...]


def make_operations(chance: random.Random) -> tuple[tuple[Operation, ...], frozenset[str]]:
    """10 to 50 operations over shared data, and what is given.

    About a third make data that others make as well; some need data that come later (so that
    there are circles) or that nobody makes.
    """
    count = chance.randint(10, 50)
    given = [f"given{n}" for n in range(chance.randint(1, 4))]
    data = list(given)
    made: list[str] = []
    operations: list[Operation] = []
    for number in range(count):
        needs = chance.sample(data, min(len(data), chance.choice((1, 1, 2, 2, 3))))
        if chance.random() < 0.06:
            needs.append(f"nobody{number}")
        if chance.random() < 0.06:
            needs.append(f"d{chance.randrange(count)}")
        makes: list[str] = []
        for _ in range(chance.choice((1, 1, 1, 2))):
            if made and chance.random() < 0.35:
                makes.append(chance.choice(made))
            else:
                makes.append(f"d{number}_{len(makes)}" if makes else f"d{number}")
        makes = [name for name in dict.fromkeys(makes) if name not in needs]
        if not makes:
            makes = [f"d{number}"]
        operations.append(
            Operation(
                f"op{number}",
                tuple(dict.fromkeys(needs)),
                tuple(makes),
                seconds=chance.randint(1, 120) / 4,
                cost_usd=chance.randint(0, 300) / 100,
            )
        )
        new = [name for name in makes if name not in data]
        data += new
        made += new
    chance.shuffle(operations)
    return tuple(operations), frozenset(given)


def make_plan(
    chance: random.Random, operations: Sequence[Operation], given: frozenset[str]
) -> tuple[list[Task], tuple[str, ...]] | None:
    """A valid plan without superfluous tasks, by chance and not for speed, and what it is for."""
    maker: dict[str, Operation] = {}
    waiting = list(operations)
    while ready := [o for o in waiting if all(d in given or d in maker for d in o.requires)]:
        chosen = chance.choice(ready)
        waiting.remove(chosen)
        for datum in chosen.produces:
            maker.setdefault(datum, chosen)
    if len(maker) < 3:
        return None
    asked = tuple(chance.sample(sorted(maker), chance.randint(1, min(3, len(maker)))))
    tasks: dict[str, Task] = {}

    def add(operation: Operation) -> str:
        if operation.name not in tasks:
            needs = [maker[d] for d in operation.requires if d not in given]
            waits = tuple(dict.fromkeys(add(one) for one in needs))
            tasks[operation.name] = Task(
                f"t_{operation.name}",
                f"do {operation.name}",
                "general",
                operation.name,
                operation.requires,
                operation.produces,
                waits,
            )
        return tasks[operation.name].id

    for datum in asked:
        add(maker[datum])
    return list(tasks.values()), asked


@dataclass
class Breaker:
    """A plan being broken."""

    chance: random.Random
    operations: Sequence[Operation]
    given: frozenset[str]
    asked: tuple[str, ...]
    tasks: list[Task]
    faults: list[Fault] = field(default_factory=list[Fault])
    ways: list[str] = field(default_factory=list[str])
    near: set[str] = field(default_factory=set[str])
    limits: Limits = field(default_factory=lambda: Limits(max_tasks=500, max_depth=500))

    def free(self) -> list[Task]:
        """Tasks with no fault on them or beside them, in random order."""
        listed = [
            t
            for t in self.tasks
            if t.id not in self.near
            and not set(t.depends_on) & self.near
            and not any(t.id in u.depends_on and u.id in self.near for u in self.tasks)
        ]
        self.chance.shuffle(listed)
        return listed

    def users(self, task: Task) -> list[Task]:
        return [u for u in self.tasks if task.id in u.depends_on]

    def upstream(self, task: Task) -> set[str]:
        by_id = {t.id: t for t in self.tasks}
        found: set[str] = set()
        pending = list(task.depends_on)
        while pending:
            name = pending.pop()
            if name not in found and name in by_id:
                found.add(name)
                pending.extend(by_id[name].depends_on)
        return found

    def put(self, new: Task) -> None:
        """Replace the task of this id."""
        self.tasks = [new if t.id == new.id else t for t in self.tasks]

    def insert(self, new: Task) -> None:
        self.tasks.insert(self.chance.randint(0, len(self.tasks)), new)

    def note(self, kind: str, *tasks: str, datum: str = "") -> None:
        self.faults.append(Fault(kind, frozenset(tasks), datum))
        self.near.update(tasks)


def _only_maker(b: Breaker, task: Task) -> bool:
    return not any(
        set(task.produces) & set(other.produces) for other in b.tasks if other.id != task.id
    )


def missing_producer(b: Breaker) -> bool:
    for task in b.free():
        users = b.users(task)
        if not users or not _only_maker(b, task):
            continue
        dangling = b.chance.random() < 0.5
        b.tasks.remove(task)
        b.near.update(task.depends_on)
        for user in users:
            if not dangling:
                kept = tuple(d for d in user.depends_on if d != task.id)
                b.put(replace(user, depends_on=kept))
            for datum in user.requires:
                if datum in task.produces:
                    b.note("no_producer", user.id, datum=datum)
        for datum in set(b.asked) & set(task.produces):
            b.note("incomplete", datum=datum)
        return True
    return False


def missing_deliverable(b: Breaker) -> bool:
    for task in b.free():
        if len(b.tasks) > 1 and not b.users(task) and _only_maker(b, task):
            b.tasks.remove(task)
            b.near.update(task.depends_on)
            for datum in set(b.asked) & set(task.produces):
                b.note("incomplete", datum=datum)
            return True
    return False


def unknown_operation(b: Breaker) -> bool:
    for task in b.free():
        b.put(replace(task, operation=f"{task.operation}_unheard_of"))
        b.note("unknown_operation", task.id)
        return True
    return False


def duplicate(b: Breaker) -> bool:
    for task in b.free():
        copy = replace(task, id=f"{task.id}_again")
        users = b.users(task)
        if users and b.chance.random() < 0.5:
            user = b.chance.choice(users)
            swapped = tuple(copy.id if d == task.id else d for d in user.depends_on)
            b.put(replace(user, depends_on=swapped))
            b.near.add(user.id)
        b.insert(copy)
        b.note("duplicate", task.id, copy.id)
        return True
    return False


def dead_task(b: Breaker) -> bool:
    known = {d for t in b.tasks for d in (*t.requires, *t.produces)} | set(b.asked) | b.given
    makers = {d: t for t in b.free() for d in t.produces}
    at_hand = b.given | set(makers)
    used = {t.operation for t in b.tasks}
    fitting = [
        o
        for o in b.operations
        if o.name not in used and set(o.requires) <= at_hand and not set(o.produces) & known
    ]
    if not fitting:
        return False
    operation = b.chance.choice(fitting)
    waits = dict.fromkeys(makers[d].id for d in operation.requires if d not in b.given)
    name = f"t_{operation.name}"
    b.insert(
        Task(
            name,
            "superfluous",
            "general",
            operation.name,
            operation.requires,
            operation.produces,
            tuple(waits),
        )
    )
    b.near.update(waits)
    b.note("dead", name)
    return True


def missing_edge(b: Breaker) -> bool:
    """An edge less, or one to a task that makes nothing of use instead."""
    by_id = {t.id: t for t in b.tasks}
    for task in b.free():
        for need in task.depends_on:
            kept = tuple(d for d in task.depends_on if d != need)
            cut = replace(task, depends_on=kept)
            lost = [d for d in task.requires if d in by_id[need].produces and d not in b.given]
            still = b.upstream(cut)
            if not lost or any(set(lost) & set(by_id[other].produces) for other in still):
                continue
            if not _only_maker(b, by_id[need]):
                continue
            if b.chance.random() < 0.3:
                others = [
                    t.id
                    for t in b.free()
                    if t.id not in (task.id, need)
                    and t.id not in still
                    and task.id not in b.upstream(t)
                    and need not in b.upstream(t)
                    and not set(t.produces) & set(task.requires)
                ]
                cut = replace(cut, depends_on=(*kept, *others[:1]))
                b.near.update(others[:1])
            b.put(cut)
            for datum in lost:
                b.note("missing_edge", task.id, datum=datum)
            b.near.add(need)
            return True
    return False


def needless_edge(b: Breaker) -> bool:
    for task in b.free():
        above = b.upstream(task)
        others = [
            t
            for t in b.free()
            if t.id != task.id
            and t.id not in above
            and task.id not in b.upstream(t)
            and not set(t.produces) & set(task.requires)
        ]
        if others:
            b.put(replace(task, depends_on=(*task.depends_on, others[0].id)))
            b.near.add(others[0].id)
            b.note("needless_edge", task.id)
            return True
    return False


def cycle(b: Breaker) -> bool:
    for task in b.free():
        below = [
            t
            for t in b.free()
            if task.id in b.upstream(t) and not set(t.produces) & set(task.requires)
        ]
        if below and b.chance.random() < 0.7:
            chosen = b.chance.choice(below)
            # Whatever lies between is part of the circle.
            between = {
                t.id for t in b.tasks if task.id in b.upstream(t) and t.id in b.upstream(chosen)
            }
            if between & b.near:
                continue
            b.put(replace(task, depends_on=(*task.depends_on, chosen.id)))
            b.near.update(between, [chosen.id])
        else:
            b.put(replace(task, depends_on=(*task.depends_on, task.id)))
        b.note("cycle", task.id)
        return True
    return False


def repeated_id(b: Breaker) -> bool:
    """A task listed twice, word for word."""
    for task in b.free():
        b.insert(task)
        b.note("repeated_id", task.id)
        return True
    return False


def dear_operation(b: Breaker) -> bool:
    """Another operation that makes the same, though slower and dearer; no fault by itself."""
    known = {o.name: o for o in b.operations}
    for task in b.free():
        now = known[task.operation]
        for other in b.operations:
            worse = other.cost_usd >= now.cost_usd and other.seconds >= now.seconds
            if (
                worse
                and other.name != now.name
                and set(other.requires) == set(now.requires)
                and set(task.produces) <= set(other.produces)
            ):
                b.put(replace(task, operation=other.name))
                b.near.add(task.id)
                return True
    return False


def too_much(b: Breaker) -> bool:
    """A budget or a deadline below what the plan needs."""
    known = {o.name: o for o in b.operations}
    usd = sum(known[t.operation].cost_usd for t in b.tasks if t.operation in known)
    share = b.chance.uniform(0.5, 0.97)
    if usd <= 0.05:
        return False
    b.limits = replace(b.limits, usd=round(usd * share, 4))
    b.note("limit")
    return True


WAYS: dict[str, Callable[[Breaker], bool]] = {
    "missing producer": missing_producer,
    "missing deliverable": missing_deliverable,
    "unknown operation": unknown_operation,
    "duplicate": duplicate,
    "dead task": dead_task,
    "missing or wrong edge": missing_edge,
    "needless edge": needless_edge,
    "cycle": cycle,
    "repeated id": repeated_id,
    "dear operation": dear_operation,
}


def make_case(seed: str) -> Case:
    """One broken plan: one fault, or up to four at once; one in six has a budget too small."""
    chance = random.Random(seed)
    while True:
        operations, given = make_operations(chance)
        made = make_plan(chance, operations, given)
        if made is None:
            continue
        tasks, asked = made
        b = Breaker(chance, operations, given, asked, tasks)
        ways = chance.sample(list(WAYS), chance.choice((1, 1, 2, 3, 4)))
        b.ways = [way for way in ways if WAYS[way](b)]
        if chance.random() < 1 / 6 and too_much(b):
            b.ways.append("budget")
        if not b.faults:
            continue
        plan = PlanDraft(tuple(b.tasks), given, asked)
        return Case(operations, plan, b.limits, tuple(b.ways), tuple(b.faults))
