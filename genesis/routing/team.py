"""Who must not be the same: tasks of one plan that different agents, or persons, have to do.

Decided when tasks are routed, before anything is paid: tasks that may run at the same time get
disjoint candidates, and whoever alone is left for a later task is kept for it. Tasks that wait
for each other are settled when the later one begins, by who in fact did the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from genesis.routing.distinct import distinct
from genesis.routing.ladder import Apart, Candidate, Rejection, Route
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskResult, TaskStatus


@dataclass(frozen=True, slots=True)
class Separation:
    """Operations or task types whose tasks must be done by different agents within one plan.

    Attributes:
        name: unique in its file.
        groups: two or more sets of operations and task types; tasks of two different groups are
            kept apart. The same set twice keeps all its tasks apart.
        because: the reason, for people.
        line: where it is declared.
    """

    name: str
    groups: tuple[frozenset[str], ...]
    because: str
    line: int = 0

    @property
    def why(self) -> str:
        """The rule and its reason, in words."""
        return f"rule {self.name!r}: {self.because}"

    def separates(self, one: Task, other: Task) -> bool:
        """Whether two tasks must be done by different agents."""
        first, second = self._places(one), self._places(other)
        return any(a != b for a in first for b in second)

    def _places(self, task: Task) -> list[int]:
        names = {task.operation, task.task_type}
        return [place for place, group in enumerate(self.groups) if not group.isdisjoint(names)]


class Team:
    """All separations, and which agents count as one person.

    Args:
        separations: as declared.
        persons: the agents of each person that has several.
    """

    def __init__(
        self, separations: Iterable[Separation] = (), persons: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self.separations = tuple(separations)
        self.persons = tuple(persons)
        self._person_of = {agent: agents[0] for agents in self.persons for agent in agents}

    def person(self, agent: str) -> str:
        """Who an agent is: itself, or the first-named agent of its person."""
        return self._person_of.get(agent, agent)

    def keep_apart(
        self, dag: TaskDAG, routes: Sequence[Route], results: Mapping[str, TaskResult]
    ) -> list[Route]:
        """The routes without candidates that would make one person do two separated tasks.

        Args:
            dag: the whole plan.
            routes: of the tasks that are to be done.
            results: of tasks that are done; who did them is settled.

        Returns:
            The routes in the same order. A task that nobody is left for has no candidates; each
            rejection names the rule. `apart` says whom execution must still look out for.
        """
        apart = self._apart(list(dag)) if self.separations else {}
        if not apart:
            return list(routes)
        return _Sharing(self, dag, routes, results, apart).routes()

    def _apart(self, tasks: Sequence[Task]) -> dict[str, dict[str, Separation]]:
        """For each task that is kept apart from others: which, and by which separation."""
        concerned = [
            (task, separation)
            for separation in self.separations
            for names in [frozenset[str]().union(*separation.groups)]
            for task in tasks
            if task.operation in names or task.task_type in names
        ]
        found: dict[str, dict[str, Separation]] = {}
        for one, separation in concerned:
            for other, same in concerned:
                if same is separation and one.id != other.id and separation.separates(one, other):
                    found.setdefault(one.id, {}).setdefault(other.id, separation)
        return found


class _Sharing:
    """One plan's candidates, shared out among tasks that must not have the same doer."""

    def __init__(
        self,
        team: Team,
        dag: TaskDAG,
        routes: Sequence[Route],
        results: Mapping[str, TaskResult],
        apart: Mapping[str, Mapping[str, Separation]],
    ) -> None:
        self._team = team
        self._routes = routes
        self._apart = apart
        self._results = results
        self._upstream = _upstream(dag)
        self._rejected: dict[tuple[str, str], str] = {}
        # Who could do each open task, as persons, best first; those nobody can do are DAAO's.
        self._open = {
            route.task_id: list(dict.fromkeys(map(self._person, route.candidates)))
            for route in routes
            if route.task_id in apart and route.candidates
        }

    def routes(self) -> list[Route]:
        self._leave_out_who_did_others()
        chosen = distinct(self._open, self._apart_and_open())
        for task_id in self._open:
            if task_id not in chosen:
                self._nobody_for(task_id)
        for task_id in [task_id for task_id in self._open if task_id not in chosen]:
            del self._open[task_id]
        self._share_at_one_time(chosen)
        self._keep_the_last_for_later(chosen)
        return [self._shared(route) for route in self._routes]

    def _person(self, candidate: Candidate) -> str:
        return self._team.person(candidate.agent)

    def _apart_and_open(self) -> dict[str, set[str]]:
        return {task: {o for o in self._apart[task] if o in self._open} for task in self._open}

    def _leave_out(self, task_id: str, person: str, why: str) -> None:
        if person in self._open[task_id]:
            self._open[task_id].remove(person)
            self._rejected[task_id, person] = why

    def _leave_out_who_did_others(self) -> None:
        for task_id in self._open:
            for other, separation in self._apart[task_id].items():
                result = self._results.get(other)
                if result is not None and result.status is TaskStatus.COMPLETED:
                    person = self._team.person(result.agent)
                    self._leave_out(task_id, person, f"{separation.why} (it did task {other!r})")

    def _nobody_for(self, task_id: str) -> None:
        """No way to share: every task of the knot is left without candidates, and says why."""
        others = {o: s for o, s in self._apart[task_id].items() if o in self._open}
        for person in list(self._open[task_id]):
            separation = next(iter(others.values()))
            knot = ", ".join(repr(other) for other in others)
            self._rejected[task_id, person] = (
                f"{separation.why} (there are too few different agents for tasks {task_id!r} and "
                f"{knot}: register another that can do one of them)"
            )

    def _share_at_one_time(self, chosen: Mapping[str, str]) -> None:
        """Of tasks that may run at once, each person is a candidate for one side only."""
        settled = dict.fromkeys(self._open, 0)
        for person in dict.fromkeys(p for persons in self._open.values() for p in persons):
            tasks = [task_id for task_id, persons in self._open.items() if person in persons]
            # Who is needed nowhere goes where there are the fewest to escalate to.
            tasks.sort(key=lambda task_id: (chosen[task_id] != person, settled[task_id]))
            kept: list[str] = []
            for task_id in tasks:
                rival = next((k for k in kept if self._at_one_time(task_id, k)), None)
                if rival is None:
                    kept.append(task_id)
                    settled[task_id] += 1
                    continue
                why = self._apart[task_id][rival].why
                self._leave_out(
                    task_id, person, f"{why} (kept for task {rival!r}, which may run meanwhile)"
                )

    def _keep_the_last_for_later(self, chosen: Mapping[str, str]) -> None:
        """A task whose candidates could all be used up before it begins has one kept for it."""
        for task_id in sorted(self._open, key=lambda t: -len(self._upstream[t])):
            before = [
                other
                for other in self._apart[task_id]
                if other in self._open and other in self._upstream[task_id]
            ]
            if len(self._open[task_id]) > len(before):
                continue
            for other in before:
                why = self._apart[task_id][other].why
                self._leave_out(
                    other, chosen[task_id], f"{why} (kept for task {task_id!r}, which comes later)"
                )

    def _at_one_time(self, one: str, other: str) -> bool:
        """Whether two tasks are kept apart and neither waits for the other."""
        return (
            other in self._apart[one]
            and other not in self._upstream[one]
            and one not in self._upstream[other]
        )

    def _shared(self, route: Route) -> Route:
        if route.task_id not in self._apart:
            return route
        kept: list[Candidate] = []
        rejected = list(route.rejected)
        for candidate in route.candidates:
            why = self._rejected.get((route.task_id, self._person(candidate)))
            if why is None:
                kept.append(candidate)
            else:
                rejected.append(Rejection(candidate.agent, why))
        apart = tuple(
            Apart(other, separation.why, self._team.persons)
            for other, separation in self._apart[route.task_id].items()
            if other in self._upstream[route.task_id] and other not in self._results
        )
        return replace(route, candidates=tuple(kept), rejected=tuple(rejected), apart=apart)


def _upstream(dag: TaskDAG) -> dict[str, frozenset[str]]:
    """The tasks that each task waits for, directly or not."""
    found: dict[str, frozenset[str]] = {}
    for task in dag:
        found[task.id] = frozenset(task.depends_on).union(*(found[d] for d in task.depends_on))
    return found
