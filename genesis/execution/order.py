"""One attempt as an order: what the agent is to do, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from genesis.agents.assignment import Assignment
from genesis.execution.answer import AnswerNeeded
from genesis.execution.approvals import Approval
from genesis.execution.below import SubRequest
from genesis.execution.scope import RunScope
from genesis.routing.ladder import Rung
from genesis.tasks.task import AttemptOutcome, Task, TaskOutput, Usage
from infrastructure.jsonvalue import JsonObject


class _LazyAssignment(Assignment):
    """An assignment whose folder is made when it is first looked at.

    Most agents write no files, and making a folder can cost more than the whole rest of a call.
    """

    __slots__ = ("_folder",)

    @property
    def artifacts_dir(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @artifacts_dir.setter
    def artifacts_dir(  # pyright: ignore[reportIncompatibleVariableOverride] - still frozen
        self, folder: Path
    ) -> None:
        object.__setattr__(self, "_folder", folder)


def _unheard() -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Bill:
    """What an attempt has consumed so far, whoever ends it.

    Attributes:
        tries: what its tries that failed say that they consumed.
        asking: whether a try is under way, or was when the attempt was cut off.
        said: what that try says that it consumed; None while it says nothing.
        asked: called when the agent is free, the money is set aside, and it is asked.
    """

    tries: list[Usage] = field(default_factory=list[Usage])
    asking: bool = False
    said: Usage | None = None
    asked: Callable[[], None] = _unheard

    def used(self, expected_usd: float) -> Usage:
        """What counts as consumed of an attempt that was cut off."""
        last = (self.said or Usage(cost_usd=expected_usd)) if self.asking else Usage()
        return sum(self.tries, last)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be delivered: a task, to whom, and with what; `sub` if it is composite.

    `answer` is what a person answered to the agent's own question; the order goes on with it then.
    """

    task: Task
    rung: Rung
    scope: RunScope
    inputs: JsonObject
    notes: tuple[str, ...]
    number: int
    key: str
    folder: Path
    sub: SubRequest | None = None
    answer: Approval | None = None
    bill: Bill = field(default_factory=Bill)

    @property
    def reserved_usd(self) -> float:
        """Money to set aside; of a request one level down each call sets aside its own."""
        return 0.0 if self.task.composite else self.rung.cost_usd

    @property
    def assignment(self) -> Assignment:
        """The order as the agent sees it."""
        below = self.scope.run_below
        return _LazyAssignment(
            task=self.task,
            request=self.task.request or self.scope.request,
            inputs=self.inputs,
            workspace=self.scope.workspace,
            artifacts_dir=self.folder,
            model=self.rung.model,
            effort=self.rung.effort,
            notes=self.notes,
            idempotency_key=self.key,
            run_below=partial(below, self.sub) if below and self.sub else None,
            sandboxed=self.scope.sandboxed,
        )


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came back: an output to be checked, or why there is none.

    `waits` says that the attempt has not ended: a person must decide first. `asked` is then what
    the agent needs to know, if it is the agent who asks.
    """

    output: TaskOutput | None
    usage: Usage
    outcome: AttemptOutcome = AttemptOutcome.FAILED
    reason: str = ""
    waits: bool = False
    asked: AnswerNeeded | None = None
