"""What a plan is meant to make, and the operations that could, by numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from genesis.errors import InvalidPlan
from genesis.planning.catalogue import Catalogue, Offers, Operation
from genesis.planning.dataflow import DataFlow
from genesis.planning.findings import shown
from genesis.planning.makespan import Derivation, Step, derive
from genesis.planning.selection import PRICE
from genesis.tasks.task import Task

# Durations and prices are counted in whole nanoseconds and hundredths of a billionth of a dollar.
PER_SECOND = 10**9
PER_USD = 10**11
# Of plans that cost the same the one with the fewest tasks is best, then the one with the fewest
# new operations.
_A_STEP = 2000
_NEW = 1


class Problem:
    """Steps and goals for `selection`.

    A datum that is given is needed by no step; one that is given and asked for has to be made
    all the same. A task that makes nothing by name is a goal itself where somebody can do it.
    What one task alone makes of an operation (it takes another datum of the kind, or says itself
    what an operation makes that answers anything) is a step of its own.

    Args:
        flow: the plan's data flow.
        repeated: places of tasks that count as gone.
        catalogue: the operations.

    Attributes:
        operations: what each step does.
        places: of the tasks whose own steps these are, by step.
        steps, goals: the same by numbers.
        known: the steps whose operations the plan has already.

    Raises:
        InvalidPlan: no operation makes what is wanted; says which datum lacks what.
    """

    def __init__(self, flow: DataFlow, repeated: Collection[int], catalogue: Catalogue) -> None:
        self._numbers: dict[str, int] = {}
        self._given = flow.given
        self.operations: list[Operation] = []
        self.places: dict[int, int] = {}
        self.steps: list[Step] = []
        self.known: set[int] = set()
        used = {task.operation for task in flow.tasks}
        wanted = [datum for datum in flow.asked if datum not in flow.said(catalogue.by_name)]
        effects = {
            place: operation
            for place, made in enumerate(flow.produces)
            if not made and place not in repeated
            if (operation := _doing(flow.tasks[place], catalogue)) is not None
        }
        needs = {datum for one in effects.values() for datum in one.requires} - flow.given
        own = _own_operations(flow, repeated, catalogue)
        offers = Offers([*catalogue.operations, *own.values()])
        place_of = {id(operation): place for place, operation in own.items()}
        for operation in _relevant(offers, flow.given, {*wanted, *needs}):
            if id(operation) in place_of:
                self.places[len(self.steps)] = place_of[id(operation)]
            self._add(operation, [self._number(d) for d in operation.produces], used)
        _require_made(offers, flow.given, self._numbers, [*wanted, *sorted(needs)])
        self.goals = [self._number(datum) for datum in wanted]
        for place in effects:
            self._add_effect(flow, place, effects[place], used)

    def _add(self, operation: Operation, produces: Iterable[int], used: Collection[str]) -> None:
        requires = [self._number(d) for d in operation.requires if d not in self._given]
        tie = _A_STEP + (0 if operation.name in used else _NEW)
        if operation.name in used:
            self.known.add(len(self.steps))
        self.steps.append(
            Step(
                tuple(requires),
                tuple(produces),
                round(operation.seconds * PER_SECOND),
                round(operation.cost_usd * PER_USD) * PRICE + tie,
            )
        )
        self.operations.append(operation)

    def _add_effect(
        self, flow: DataFlow, place: int, operation: Operation, used: Collection[str]
    ) -> None:
        made = self._number(f"\n{place}")  # no datum has this name
        self.goals.append(made)
        self.places[len(self.steps)] = place
        self._add(operation, [made], used)

    def _number(self, datum: str) -> int:
        return self._numbers.setdefault(datum, len(self._numbers))

    def derivation(self, chosen: Collection[int] | None = None) -> Derivation:
        """How soon each datum is there, by the chosen steps (None: by any)."""
        usable = range(len(self.steps)) if chosen is None else chosen
        return derive(self.steps, usable, lambda n: self.steps[n].time)

    def maker(self, found: Derivation, datum: str) -> int | None:
        """The step that makes a datum; None where none does."""
        return found.maker.get(self._numbers.get(datum, -1))

    def is_used(self, found: Derivation, datum: str) -> bool:
        """Whether a chosen step needs a datum, or it is wanted."""
        number = self._numbers[datum]
        return number in self.goals or any(number in self.steps[n].requires for n in found.order)

    def end(self, found: Derivation) -> int:
        """The makespan, nanoseconds."""
        return max((found.value[goal] for goal in self.goals), default=0)

    def usd(self, chosen: Collection[int]) -> float:
        """What the chosen steps cost."""
        return sum(self.operations[n].cost_usd for n in chosen)


def _own_operations(
    flow: DataFlow, repeated: Collection[int], catalogue: Catalogue
) -> dict[int, Operation]:
    found: dict[int, Operation] = {}
    for place, task in enumerate(flow.tasks):
        made = flow.produces[place]
        operation = _doing(task, catalogue) if made and place not in repeated else None
        if operation is not None and (task.bindings or not operation.produces):
            found[place] = replace(
                operation,
                requires=tuple(map(task.datum, operation.requires)),
                produces=operation.produces or made,
            )
    return found


def _doing(task: Task, catalogue: Catalogue) -> Operation | None:
    """What does a task by its own terms; one that nobody can do is good for nothing."""
    doing = catalogue.doing(task)
    if not doing and catalogue.by_name:
        return catalogue.get(task.operation)
    return min(doing, key=lambda one: (one.cost_usd, one.seconds), default=None)


def _relevant(
    catalogue: Catalogue, given: frozenset[str], wanted: Collection[str]
) -> Sequence[Operation]:
    """The operations that can be reached from what is given and lead to what is wanted."""
    reached = _reachable(catalogue.operations, given)
    found: dict[int, Operation] = {}
    pending, seen = list(wanted), set(wanted)
    while pending:
        for operation in catalogue.makers(pending.pop()):
            if id(operation) in found or not _at_hand(operation, reached):
                continue
            found[id(operation)] = operation
            new = [d for d in operation.requires if d not in given and d not in seen]
            seen.update(new)
            pending.extend(new)
    return [operation for operation in catalogue.operations if id(operation) in found]


def _at_hand(operation: Operation, reached: Collection[str]) -> bool:
    return all(datum in reached for datum in operation.requires)


def _reachable(operations: Iterable[Operation], given: Iterable[str]) -> set[str]:
    reached = set(given)
    waiting = list(operations)
    while True:
        later = [one for one in waiting if not _at_hand(one, reached)]
        if len(later) == len(waiting):
            return reached
        ready = [one for one in waiting if _at_hand(one, reached)]
        reached.update(datum for one in ready for datum in one.produces)
        waiting = later


def _require_made(
    catalogue: Catalogue, given: frozenset[str], made: Collection[str], wanted: Sequence[str]
) -> None:
    reasons: list[str] = []
    reached = _reachable(catalogue.operations, given)
    for datum in dict.fromkeys(wanted):
        if datum in made and any(_at_hand(one, reached) for one in catalogue.makers(datum)):
            continue
        makers = catalogue.makers(datum)
        if not makers:
            reasons.append(f"no operation makes {shown(datum)}")
            continue
        roots = sorted(_roots(catalogue, reached, datum))
        listed = ", ".join(shown(root) for root in roots[:5])
        why = f"nothing makes {listed}" if roots else "the operations on the way need each other"
        reasons.append(f"{shown(datum)} cannot be made ({shown(makers[0].name)} could, but {why})")
    if reasons:
        raise InvalidPlan("the plan cannot be repaired: " + "; ".join(reasons))


def _roots(catalogue: Catalogue, reached: Collection[str], datum: str) -> set[str]:
    """The data without any maker for want of which a datum cannot be made."""
    found: set[str] = set()
    pending, seen = [datum], {datum}
    while pending:
        current = pending.pop()
        if not catalogue.makers(current):
            found.add(current)
        for operation in catalogue.makers(current):
            new = [d for d in operation.requires if d not in reached and d not in seen]
            seen.update(new)
            pending.extend(new)
    return found
