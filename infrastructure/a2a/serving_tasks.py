"""What a server needs of a task store beyond the SDK's interface, and one in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.serving_callers import owner_of

ENDED: Final = frozenset(
    {
        pb.TASK_STATE_COMPLETED,
        pb.TASK_STATE_FAILED,
        pb.TASK_STATE_CANCELED,
        pb.TASK_STATE_REJECTED,
    }
)
WAITING: Final = frozenset({pb.TASK_STATE_INPUT_REQUIRED, pb.TASK_STATE_AUTH_REQUIRED})

Saved: TypeAlias = Callable[[str], None]


class ServedTasks(TaskStore):
    """The SDK's `TaskStore`, and what idempotency needs.

    Attributes:
        saved: called with the id of each task that was saved.
    """

    saved: Saved

    @abstractmethod
    async def answer(self, task_id: str, context: ServerCallContext) -> pb.Task | None:
        """The exchange of a request that was answered by a message alone, as a task's history."""

    def begins(self, task_id: str, context: ServerCallContext) -> None:
        """A task that is not there is about to begin: reads until its first save find nothing."""

    def begun(self, task_id: str, context: ServerCallContext) -> None:
        """That is over, whatever became of it."""

    @abstractmethod
    async def keep_answer(self, exchange: pb.Task, context: ServerCallContext) -> None:
        """Remember such an exchange."""


class BoundedTasks(ServedTasks):
    """The SDK's store in memory, which alone would grow for ever; nothing survives the process.

    Args:
        limit: ended or waiting tasks that clients can still ask about; the oldest are forgotten.
    """

    def __init__(self, limit: int) -> None:
        self.saved: Saved = ignore_saved
        self._tasks = InMemoryTaskStore(owner_resolver=owner_of)
        self._limit = limit
        self._ended: OrderedDict[str, ServerCallContext] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], pb.Task] = OrderedDict()

    async def save(self, task: pb.Task, context: ServerCallContext) -> None:
        """Keep a task."""
        await self._tasks.save(task, context)
        if task.status.state in ENDED | WAITING:  # nobody may ever answer one that waits
            self._ended[task.id] = context
        else:
            self._ended.pop(task.id, None)
        while len(self._ended) > self._limit:
            oldest, its_context = self._ended.popitem(last=False)
            await self._tasks.delete(oldest, its_context)
        self.saved(task.id)

    async def get(self, task_id: str, context: ServerCallContext) -> pb.Task | None:
        """A caller's task."""
        return await self._tasks.get(task_id, context)

    async def list(
        self, params: pb.ListTasksRequest, context: ServerCallContext
    ) -> pb.ListTasksResponse:
        """A page of a caller's tasks."""
        return await self._tasks.list(params, context)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Forget a task."""
        await self._tasks.delete(task_id, context)

    async def answer(self, task_id: str, context: ServerCallContext) -> pb.Task | None:
        """See `ServedTasks`."""
        return self._answers.get((owner_of(context), task_id))

    async def keep_answer(self, exchange: pb.Task, context: ServerCallContext) -> None:
        """See `ServedTasks`."""
        self._answers[owner_of(context), exchange.id] = exchange
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)


def ignore_saved(task_id: str) -> None:
    """Nobody waits for tasks to be saved."""
