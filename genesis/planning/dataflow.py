"""Who makes which datum for whom in a plan, whatever else is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from genesis.errors import InputError
from genesis.planning.catalogue import Catalogue
from genesis.planning.cycles import circles, sorted_by_need
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task

Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A plan that may still be wrong in any way: tasks as listed; a `TaskDAG` is right.

    Attributes:
        tasks: in any order; ids may repeat, dependencies may be unknown or circular.
        given: names of the data that come with the request.
        asked: the data that the plan is to produce; empty for those that no task of it uses.

    Raises:
        InputError: the tasks are no tasks, or the names no list.
    """

    tasks: tuple[Task, ...]
    given: frozenset[str] = frozenset()
    asked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for task in cast("Iterable[object]", self.tasks):
            if not isinstance(task, Task):
                raise InputError(f"the tasks of a plan are Task objects, not {task!r:.80}")
        _require_list("given", self.given)
        _require_list("asked", self.asked)

    @classmethod
    def of(cls, plan: TaskDAG | PlanDraft, asked: Iterable[str] | None = None) -> PlanDraft:
        """Any plan as a draft; `asked` replaces what it says itself."""
        if not isinstance(cast("object", plan), TaskDAG | PlanDraft):
            raise InputError(f"a plan is a TaskDAG or a PlanDraft, not {plan!r:.80}")
        _require_list("asked", asked)
        tasks = plan.tasks if isinstance(plan, PlanDraft) else tuple(plan)
        own = plan.asked if isinstance(plan, PlanDraft) else ()
        told = own if asked is None else tuple(dict.fromkeys(asked))
        return cls(tasks, frozenset(plan.given), told)


def _require_list(what: str, names: Iterable[str] | None) -> None:
    if isinstance(names, str):  # which would be read as one name for each letter
        raise InputError(f"{what} must be a list of names, not {names!r:.80}")


@dataclass(slots=True)
class DataFlow:
    """A plan's tasks by their places in the list (ids may repeat), and how data reach them.

    Attributes:
        tasks: as listed.
        given, asked: of the plan; `asked` is never empty unless nothing is made at all.
        requires, produces: data of each task.
        makers: places of the tasks that make a datum.
        needs: places that each task waits for, without unknown ones and without circles.
        order: the places, each after all that it waits for.
        sources: for each task, by required datum, the places that it takes it from; empty when
            it is given, absent when nothing makes it.
        repeated: places of tasks whose id an earlier one has.
        unknown: (place, id) of dependencies that are no task.
        cut: (place, place) of the edges left out because of circles, one list for each circle.
        absent: (place, datum, place) of edges that the data ask for and that are not there.
        missing: (place, datum) that nothing makes for this task.
    """

    tasks: tuple[Task, ...]
    given: frozenset[str]
    asked: Names
    requires: list[Names]
    produces: list[Names]
    makers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    needs: list[list[int]] = field(default_factory=list[list[int]])
    order: list[int] = field(default_factory=list[int])
    sources: list[dict[str, list[int]]] = field(default_factory=list[dict[str, list[int]]])
    repeated: list[int] = field(default_factory=list[int])
    unknown: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    cut: list[list[tuple[int, int]]] = field(default_factory=list[list[tuple[int, int]]])
    absent: list[tuple[int, str, int]] = field(default_factory=list[tuple[int, str, int]])
    missing: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def users(self) -> list[set[int]]:
        """For each task the places of those that take something from it."""
        found: list[set[int]] = [set() for _ in self.tasks]
        for place, sources in enumerate(self.sources):
            for source in (s for listed in sources.values() for s in listed):
                found[source].add(place)
        return found

    def said(self, by_name: bool) -> frozenset[str]:
        """What is asked for and needs no maker: a last task that names nothing it makes hands in
        its text as the answer, unless tasks are held to what operations of their name make.
        """
        if by_name or "answer" not in self.asked or "answer" in self.makers:
            return frozenset()
        needed = {need for needs in self.needs for need in needs}
        speaks = any(not made and p not in needed for p, made in enumerate(self.produces))
        return frozenset(["answer"]) if speaks else frozenset()


def trace(plan: PlanDraft, catalogue: Catalogue | None = None) -> DataFlow:
    """Follow the data through a plan. Takes time in proportion to its tasks and edges.

    Args:
        plan: any list of tasks.
        catalogue: tells what tasks that declare no data require and produce.
    """
    requires, produces = _declared(plan.tasks, catalogue)
    flow = DataFlow(plan.tasks, plan.given, plan.asked, requires, produces)
    for place, made in enumerate(produces):
        for datum in made:
            flow.makers.setdefault(datum, []).append(place)
    _link(flow)
    _follow(flow)
    if not flow.asked:
        flow.asked = _final(flow)
    return flow


def _declared(
    tasks: Sequence[Task], catalogue: Catalogue | None
) -> tuple[list[Names], list[Names]]:
    requires = [tuple(map(task.datum, task.requires)) for task in tasks]
    produces = [task.produces for task in tasks]
    if catalogue is not None and catalogue.by_name:
        for place, task in enumerate(tasks):
            operation = catalogue.get(task.operation)
            if operation is not None:
                requires[place] = requires[place] or operation.requires
                produces[place] = task.produces or operation.produces
    return requires, produces


def _link(flow: DataFlow) -> None:
    """Needs by place and an order in which no task comes before one that it waits for."""
    places: dict[str, list[int]] = {}
    for place, task in enumerate(flow.tasks):
        places.setdefault(task.id, []).append(place)
    flow.repeated = [place for same in places.values() if len(same) > 1 for place in same[1:]]
    itself: list[tuple[int, int]] = []
    for place, task in enumerate(flow.tasks):
        needs: list[int] = []
        for name in dict.fromkeys(task.depends_on):
            found = places.get(name)
            if found is None:
                flow.unknown.append((place, name))
            elif place in found and len(found) == 1:
                itself.append((place, place))
            else:
                needs += [other for other in found if other != place]
        flow.needs.append(needs)
    flow.cut = [[edge] for edge in itself]
    flow.order, left = sorted_by_need(flow.needs)
    if left:
        _open_circles(flow, left)


def _open_circles(flow: DataFlow, left: Sequence[int]) -> None:
    """Leave out the edges that close circles: those without data first, then those backwards."""
    for circle in circles(flow.needs, left):
        for edges in _closing(flow, circle):
            flow.cut.append(edges)
            for user, maker in edges:
                flow.needs[user].remove(maker)
    flow.order, left = sorted_by_need(flow.needs)
    for circle in circles(flow.needs, left):
        backwards = [(u, m) for u in sorted(circle) for m in flow.needs[u] if m in circle and m > u]
        flow.cut.append(backwards)
        for user, maker in backwards:
            flow.needs[user].remove(maker)
    flow.order, _ = sorted_by_need(flow.needs)


def _closing(flow: DataFlow, circle: set[int]) -> list[list[tuple[int, int]]]:
    """The edges of a circle over which no datum must come: one that opens it alone, else all."""
    idle = [
        (user, maker)
        for user in sorted(circle)
        for maker in flow.needs[user]
        if maker in circle and not _must_come(flow, user, maker, circle)
    ]
    # The likeliest culprit points to a task that is listed later.
    idle.sort(key=lambda edge: edge[0] > edge[1])
    if len(idle) * len(circle) <= _TRIED:
        for user, maker in idle:
            inside = {u: [m for m in flow.needs[u] if m in circle] for u in circle}
            inside[user].remove(maker)
            if not circles(inside, circle):
                return [[(user, maker)]]
    return [[edge] for edge in idle]


_TRIED = 10_000


def _must_come(flow: DataFlow, user: int, maker: int, circle: set[int]) -> bool:
    elsewhere = [other for other in flow.needs[user] if other not in circle]
    return any(
        datum in flow.produces[maker]
        and datum not in flow.given
        and not any(datum in flow.produces[other] for other in elsewhere)
        for datum in flow.requires[user]
    )


def _follow(flow: DataFlow) -> None:
    """Find for every task where each datum that it requires comes from."""
    # Bit n of a task's mask stands for the task at place n: what it waits for, directly or not.
    upstream = [0] * len(flow.tasks)
    for place in flow.order:
        mask = 0
        for need in flow.needs[place]:
            mask |= upstream[need] | 1 << need
        upstream[place] = mask
    left_out: dict[int, set[int]] = {}
    for user, maker in (edge for edges in flow.cut for edge in edges):
        left_out.setdefault(user, set()).add(maker)
    for place in range(len(flow.tasks)):
        flow.sources.append({})
        for datum in flow.requires[place]:
            _find(flow, place, datum, upstream, left_out.get(place, ()))


def _find(
    flow: DataFlow, place: int, datum: str, upstream: Sequence[int], left_out: Iterable[int]
) -> None:
    makers = flow.makers.get(datum, ())
    near = [maker for maker in makers if maker in flow.needs[place]]
    found = near or [maker for maker in makers if upstream[place] >> maker & 1]
    if not found and datum not in flow.given:
        # An edge that was left out of a circle has been told of already.
        found = [maker for maker in makers if maker in left_out and maker != place]
        if not found:
            apart = [m for m in makers if m != place and not upstream[m] >> place & 1]
            if not apart:
                flow.missing.append((place, datum))
                return
            before = [maker for maker in apart if maker < place]
            found = [before[-1] if before else apart[0]]
            flow.absent.append((place, datum, found[0]))
    flow.sources[place][datum] = found


def _final(flow: DataFlow) -> Names:
    """The data of tasks that nobody takes anything from."""
    users = flow.users()
    final = (made for place, made in enumerate(flow.produces) if not users[place])
    return tuple(dict.fromkeys(datum for made in final for datum in made))
