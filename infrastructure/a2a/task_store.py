"""The A2A tasks of a server in Memori, scoped by tenant and caller, and bounded.

A task is written when it is accepted, when it waits for somebody, goes on, and ends; progress in
between lives in memory, for whoever worked on it would have to begin again anyway. Its head (state,
context, time, server) and its body are two items of one commit, so that listing reads no artifacts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, TypeAlias

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import a2a_pb2 as pb
from langgraph.store.base import GetOp, Item, PutOp

from infrastructure.a2a.serving_callers import caller_of
from infrastructure.a2a.serving_lease import Lease
from infrastructure.a2a.serving_tasks import ENDED, WAITING, Saved, ServedTasks, ignore_saved
from infrastructure.callers import Caller
from infrastructure.memory.memori.store import MemoriStore

Adopt: TypeAlias = Callable[[pb.Task, Caller], Awaitable[pb.Task]]
"""What becomes of a task whose server is dead; returns it as it is now."""

_HEADS: Final = ("a2a", "heads")
_BODIES: Final = ("a2a", "tasks")
_ANSWERS: Final = ("a2a", "answers")
_PRUNE_EVERY: Final = 50
_PAGE: Final = 500
_MAX_BODY_BYTES: Final = 16 * 1024 * 1024

_Key: TypeAlias = tuple[Caller, str]


class MemoriTaskStore(ServedTasks):
    """The SDK's `TaskStore` on a store that is opened once for the whole process.

    Args:
        store: of any tenant; each caller's tasks are kept in its own tenant's part.
        lease: says which server a task belongs to.
        kept_tasks: ended or waiting tasks kept for each caller; the oldest are forgotten.
        retention_s: seconds after which those are forgotten in any case.
    """

    def __init__(
        self, store: MemoriStore, lease: Lease, *, kept_tasks: int, retention_s: float
    ) -> None:
        self.saved: Saved = ignore_saved
        self.adopt: Adopt = _keep
        self._base = store
        self._lease = lease
        self._kept = kept_tasks
        self._minutes = retention_s / 60
        self._stores: dict[str, MemoriStore] = {}
        self._live: dict[_Key, pb.Task] = {}
        self._turning: dict[_Key, asyncio.Event] = {}
        self._beginning: set[_Key] = set()
        self._ended = 0

    async def save(self, task: pb.Task, context: ServerCallContext) -> None:
        """Keep a task; progress between states that matter is kept in memory only."""
        caller = caller_of(context)
        self._beginning.discard((caller, task.id))
        known = self._live.get((caller, task.id))
        kept = pb.Task()
        kept.CopyFrom(task)
        if known is not None and _phase(known) == _phase(task):
            self._live[caller, task.id] = kept
        else:
            await self._turn(kept, caller)
        self.saved(task.id)

    async def get(self, task_id: str, context: ServerCallContext) -> pb.Task | None:
        """A caller's task; one that a dead process left is adopted first."""
        caller = caller_of(context)
        if (caller, task_id) in self._beginning:
            return None
        turning = self._turning.get((caller, task_id))
        if turning is not None:  # the SDK's followers see its end before it is stored
            await turning.wait()
        live = self._live.get((caller, task_id))
        if live is not None:
            copy = pb.Task()
            copy.CopyFrom(live)
            return copy
        heads, bodies = _places(caller)
        store = self._store(caller.tenant)
        head, body = await store.abatch([GetOp(heads, task_id), GetOp(bodies, task_id)])
        if not isinstance(head, Item) or not isinstance(body, Item):
            return None
        task = _decode(body.value)
        if head.value["open"] and await self._lease.is_dead(head.value["server"]):
            return await self.adopt(task, caller)
        return task

    async def list(
        self, params: pb.ListTasksRequest, context: ServerCallContext
    ) -> pb.ListTasksResponse:
        """A page of a caller's tasks, the last changed first."""
        caller = caller_of(context)
        heads, bodies = _places(caller)
        store = self._store(caller.tenant)
        # The SDK's own store filters, orders and pages: cursors are then those of any SDK server.
        ordered = InMemoryTaskStore(owner_resolver=lambda _: "", use_copying=False)
        async for head in _all(store, heads, {}):
            if head.value["open"]:
                await self.get(head.key, context)  # which adopts it if need be
            await ordered.save(_skeleton(head), context)
        for (owner, _), task in list(self._live.items()):
            if owner == caller:
                await ordered.save(task, context)
        page = await ordered.list(params, context)
        wanted = [task.id for task in page.tasks]
        found = await store.abatch([GetOp(bodies, task_id) for task_id in wanted])
        stored = {i.key: _decode(i.value) for i in found if isinstance(i, Item)}
        full = [self._live.get((caller, i)) or stored.get(i) for i in wanted]
        answer = pb.ListTasksResponse(
            next_page_token=page.next_page_token,
            total_size=page.total_size,
            page_size=page.page_size,
        )
        answer.tasks.extend(task for task in full if task is not None)
        return answer

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Forget a task."""
        caller = caller_of(context)
        self._live.pop((caller, task_id), None)
        await self._delete(caller, [task_id])

    def begins(self, task_id: str, context: ServerCallContext) -> None:
        """See `ServedTasks`: the SDK asks three times before it saves a new task."""
        self._beginning.add((caller_of(context), task_id))

    def begun(self, task_id: str, context: ServerCallContext) -> None:
        """See `ServedTasks`."""
        self._beginning.discard((caller_of(context), task_id))

    async def answer(self, task_id: str, context: ServerCallContext) -> pb.Task | None:
        """See `ServedTasks`."""
        caller = caller_of(context)
        item = await self._store(caller.tenant).aget((*_ANSWERS, _owner(caller)), task_id)
        return None if item is None else _decode(item.value)

    async def keep_answer(self, exchange: pb.Task, context: ServerCallContext) -> None:
        """See `ServedTasks`."""
        caller = caller_of(context)
        where = (*_ANSWERS, _owner(caller))
        store = self._store(caller.tenant)
        await store.aput(where, exchange.id, _encode(exchange), False, ttl=self._minutes)

    async def orphans(self, tenant: str) -> AsyncGenerator[tuple[pb.Task, Caller]]:
        """The tasks of a tenant that dead processes left at work."""
        store = self._store(tenant)
        async for head in _all(store, _HEADS, {"open": True}):
            caller = Caller(tenant, head.value["caller"])
            if (caller, head.key) in self._live:
                continue
            if await self._lease.is_dead(head.value["server"]):
                body = await store.aget(_places(caller)[1], head.key)
                if body is not None:
                    yield _decode(body.value), caller

    async def own(self, task: pb.Task, caller: Caller) -> None:
        """Take a task over: from now on this server works on it."""
        await self._write(task, caller)
        self._live[caller, task.id] = task

    def open_tasks(self) -> list[tuple[pb.Task, Caller]]:
        """What this process works on."""
        return [(task, caller) for (caller, _), task in self._live.items()]

    async def _turn(self, task: pb.Task, caller: Caller) -> None:
        """Store a task that has begun, waits, goes on or has ended."""
        key = caller, task.id
        turning = self._turning[key] = asyncio.Event()
        try:
            await self._write(task, caller)
            if _phase(task) == "open":
                self._live[key] = task
            else:
                self._live.pop(key, None)
        finally:
            del self._turning[key]
            turning.set()
        if _phase(task) != "open":
            await self._forget_oldest(caller)

    async def _write(self, task: pb.Task, caller: Caller) -> None:
        heads, bodies = _places(caller)
        ttl = None if _phase(task) == "open" else self._minutes
        head = {
            "caller": caller.name,
            "context": task.context_id,
            "state": int(task.status.state),
            "time_ns": task.status.timestamp.ToNanoseconds(),
            "open": _phase(task) == "open",
            "server": self._lease.server_id,
        }
        await self._store(caller.tenant).abatch(
            [
                PutOp(heads, task.id, head, index=False, ttl=ttl),
                PutOp(bodies, task.id, _encode(_fitting(task)), index=False, ttl=ttl),
            ]
        )

    async def _forget_oldest(self, caller: Caller) -> None:
        self._ended += 1
        if self._ended % _PRUNE_EVERY != 1 and self._kept >= _PRUNE_EVERY:
            return
        store = self._store(caller.tenant)
        heads, _ = _places(caller)
        closed = [head async for head in _all(store, heads, {"open": False})]
        closed.sort(key=lambda head: (head.value["time_ns"], head.updated_at))
        await self._delete(
            caller, [head.key for head in closed[: max(0, len(closed) - self._kept)]]
        )

    async def _delete(self, caller: Caller, task_ids: list[str]) -> None:
        if task_ids:
            ops = [PutOp(place, i, None) for i in task_ids for place in _places(caller)]
            await self._store(caller.tenant).abatch(ops)

    def _store(self, tenant: str) -> MemoriStore:
        if tenant not in self._stores:
            self._stores[tenant] = MemoriStore(self._base.memori.for_tenant(tenant), undo_s=0)
        return self._stores[tenant]


async def _keep(task: pb.Task, caller: Caller) -> pb.Task:
    """Leaves an orphan as it is."""
    return task


async def _all(
    store: MemoriStore, place: tuple[str, ...], wanted: dict[str, Any]
) -> AsyncGenerator[Item]:
    cursor: str | None = None
    while True:
        page = await store.apage(
            place, limit=_PAGE, cursor=cursor, filter=wanted, order_by="created_at"
        )
        for item in page.items:
            yield item
        cursor = page.cursor
        if cursor is None:
            return


def _phase(task: pb.Task) -> str:
    if task.status.state in ENDED:
        return "ended"
    return "waiting" if task.status.state in WAITING else "open"


def _owner(caller: Caller) -> str:
    """A namespace's label holds no period; a caller's name may."""
    return hashlib.sha256(caller.name.encode()).hexdigest()[:32]


def _places(caller: Caller) -> tuple[tuple[str, ...], tuple[str, ...]]:
    owner = _owner(caller)
    return (*_HEADS, owner), (*_BODIES, owner)


def _skeleton(head: Item) -> pb.Task:
    task = pb.Task(
        id=head.key,
        context_id=head.value["context"],
        status=pb.TaskStatus(state=head.value["state"]),
    )
    task.status.timestamp.FromNanoseconds(head.value["time_ns"])
    return task


def _encode(task: pb.Task) -> dict[str, Any]:
    return {"task": base64.b64encode(task.SerializeToString()).decode("ascii")}


def _decode(value: dict[str, Any]) -> pb.Task:
    task = pb.Task()
    task.ParseFromString(base64.b64decode(value["task"]))
    return task


def _fitting(task: pb.Task) -> pb.Task:
    """The task, its largest files left out until it can be stored, each with a note instead."""
    if task.ByteSize() <= _MAX_BODY_BYTES:
        return task
    fitting = pb.Task()
    fitting.CopyFrom(task)
    holders = [*fitting.artifacts, *fitting.history]
    parts = [part for holder in holders for part in holder.parts]
    for part in sorted(parts, key=lambda part: part.ByteSize(), reverse=True):
        if fitting.ByteSize() <= _MAX_BODY_BYTES:
            break
        name, size = part.filename or "a part", part.ByteSize()
        part.Clear()
        part.text = f"[{name}: {size} bytes were too many to be kept]"
    return fitting
