"""Requests within requests: how deep they may go, how many tasks there may be, and none twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.text import counted


class TreeSize:
    """Counts the tasks of a request and of all requests below it, which share one limit.

    Args:
        limit: tasks of all their plans together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}

    def problem(self, run_id: str, tasks: int) -> str:
        """Why a run's plan may not have so many tasks, in words; empty when it may."""
        elsewhere = sum(n for run, n in self._held.items() if run != run_id)
        if not elsewhere or elsewhere + tasks <= self._limit:
            return ""  # a plan that is too large all by itself is found by its validation
        return (
            f"the plan has {counted(tasks, 'task')}, and of the {self._limit} that a request and "
            f"all requests within it may have together, {elsewhere} are taken (max_plan_tasks)"
        )

    def hold(self, run_id: str, tasks: int) -> str:
        """Take the tasks of a run's plan, instead of those it held; else `problem`."""
        problem = self.problem(run_id, tasks)
        if not problem:
            self._held[run_id] = tasks
        return problem


@dataclass(frozen=True, slots=True)
class Level:
    """Where a run stands among requests within requests.

    Attributes:
        tree: the tasks of them all.
        max_depth: levels of requests that there may be.
        depth: levels above this one.
        parent_run_id, parent_task_id: the run and the composite task that this run is;
            empty at the top.
        handed_down: what each composite task on the way to here was asked, outermost first.
    """

    tree: TreeSize = field(default_factory=lambda: TreeSize(500))
    max_depth: int = 1
    depth: int = 0
    parent_run_id: str = ""
    parent_task_id: str = ""
    handed_down: tuple[tuple[str, frozenset[str]], ...] = ()

    @property
    def levels_left(self) -> int:
        """Levels that may follow below this one."""
        return max(0, self.max_depth - 1 - self.depth)

    def below(self, run_id: str, task: Task) -> Level:
        """The level of the request that a composite task of a run is."""
        return replace(
            self,
            depth=self.depth + 1,
            parent_run_id=run_id,
            parent_task_id=task.id,
            handed_down=(*self.handed_down, _asked(task)),
        )

    def objections(self, run_id: str, request: str, dag: TaskDAG) -> tuple[str, ...]:
        """Why a run's plan may not be taken at this level, one sentence each.

        Args:
            run_id: the run.
            request: its request.
            dag: its plan.
        """
        found = [why for task in dag if task.composite and (why := self._why_not(task))]
        (first, *others) = dag
        again = self.depth > 0 or _plain(first.description) == _plain(request)
        if not found and first.composite and not others and again:
            found.append(
                f"the plan is nothing but task {first.id!r}, the request handed down once more; "
                "split it into tasks"
            )
        too_many = self.tree.problem(run_id, len(dag))
        return (*found, *([too_many] if too_many else []))

    def _why_not(self, task: Task) -> str:
        if not self.levels_left:
            return (
                f"task {task.id!r} is a request of its own, and requests within requests may be "
                f"{counted(self.max_depth, 'level')} deep in all (max_request_depth)"
            )
        if _asked(task) in self.handed_down:
            return f"task {task.id!r} asks for the same again as the request that it is a part of"
        return ""


def _asked(task: Task) -> tuple[str, frozenset[str]]:
    return _plain(task.description), frozenset(task.produces)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!? ")
