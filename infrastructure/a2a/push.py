"""Push notifications: who wants to hear of a task, and telling them without holding it up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import httpx
from a2a.server.context import ServerCallContext
from a2a.server.tasks import PushNotificationConfigStore, PushNotificationSender
from a2a.server.tasks.push_notification_config_store import normalize_push_notification_config
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from a2a.utils.proto_utils import to_stream_response
from google.protobuf.json_format import MessageToDict

from infrastructure.a2a.serving_callers import caller_of
from infrastructure.callers import Caller
from infrastructure.errors import AgentUnavailable, GenesisError, InputError
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.net.addresses import origin_of, resolve
from infrastructure.net.http import Limits, guarded_client

log = logging.getLogger("genesis.a2a")

_CONFIGS: Final = ("a2a", "push")
_MAX_TASKS: Final = 10_000
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_HEADER: Final = 8_000

_Event: TypeAlias = pb.Task | pb.TaskStatusUpdateEvent | pb.TaskArtifactUpdateEvent


@dataclass(frozen=True, slots=True)
class PushPolicy:
    """Where notifications may go, and how hard is tried.

    Attributes:
        allowed_hosts: names or addresses that may be private, exactly as in the URL; all others
            must be of the public internet.
        max_configs: for one task.
        tries: of one notification; the waits between them double from `wait_s`, with jitter.
        timeout_s: seconds for one try.
        max_waiting: notifications of one task that wait; the oldest are dropped beyond that.
    """

    allowed_hosts: tuple[str, ...] = ()
    max_configs: int = 10
    tries: int = 4
    wait_s: float = 0.5
    timeout_s: float = 10.0
    max_waiting: int = 200

    def allows(self, host: str) -> bool:
        """Whether a host may be private."""
        return host.lower() in self.allowed_hosts

    async def is_fit(self, url: str) -> bool:
        """Whether a URL may be registered.

        A name that cannot be resolved now may be; whoever sends looks again, and connects to the
        very address that was checked.
        """
        try:
            _, host, port = origin_of(url)
        except InputError as error:
            log.info("a push notification URL was refused: %s", error)
            return False
        if self.allows(host):
            return True
        try:
            await resolve(host, port, allow_private=False)
        except AgentUnavailable:
            return True
        except GenesisError as error:
            log.info("a push notification URL was refused: %s", error)
            return False
        return True


class _Kept(Protocol):
    """Where configs are kept."""

    async def read(self, caller: Caller, task_id: str) -> list[pb.TaskPushNotificationConfig]: ...

    async def write(
        self, caller: Caller, task_id: str, configs: Sequence[pb.TaskPushNotificationConfig]
    ) -> None: ...


class InMemoryConfigs:
    """Configs that end with the process."""

    def __init__(self) -> None:
        self._configs: OrderedDict[tuple[Caller, str], list[pb.TaskPushNotificationConfig]] = (
            OrderedDict()
        )

    async def read(self, caller: Caller, task_id: str) -> list[pb.TaskPushNotificationConfig]:
        """Those of a task."""
        return list(self._configs.get((caller, task_id), []))

    async def write(
        self, caller: Caller, task_id: str, configs: Sequence[pb.TaskPushNotificationConfig]
    ) -> None:
        """In place of those of a task."""
        self._configs[caller, task_id] = list(configs)
        while len(self._configs) > _MAX_TASKS:
            self._configs.popitem(last=False)


class MemoriConfigs:
    """Configs in the caller's tenant, forgotten after a while.

    Their credentials lie there as they were given: whoever can read the database can send what
    this server would.
    """

    def __init__(self, store: MemoriStore, retention_s: float) -> None:
        self._base = store
        self._minutes = retention_s / 60
        self._stores: dict[str, MemoriStore] = {}

    async def read(self, caller: Caller, task_id: str) -> list[pb.TaskPushNotificationConfig]:
        """Those of a task."""
        item = await self._store(caller).aget(_place(caller), task_id)
        coded: list[str] = [] if item is None else item.value["configs"]
        return [_config(text) for text in coded]

    async def write(
        self, caller: Caller, task_id: str, configs: Sequence[pb.TaskPushNotificationConfig]
    ) -> None:
        """In place of those of a task."""
        coded = [base64.b64encode(config.SerializeToString()).decode() for config in configs]
        store = self._store(caller)
        if not coded:
            await store.adelete(_place(caller), task_id)
            return
        await store.aput(_place(caller), task_id, {"configs": coded}, False, ttl=self._minutes)

    def _store(self, caller: Caller) -> MemoriStore:
        if caller.tenant not in self._stores:
            memori = self._base.memori.for_tenant(caller.tenant)
            self._stores[caller.tenant] = MemoriStore(memori, undo_s=0)
        return self._stores[caller.tenant]


class PushConfigs(PushNotificationConfigStore):
    """The SDK's config store; what a task at work has is kept at hand, for every event asks."""

    def __init__(self, kept: _Kept, max_configs: int) -> None:
        self._kept = kept
        self._max = max_configs
        self._owners: OrderedDict[str, Caller] = OrderedDict()
        self._at_hand: dict[str, list[pb.TaskPushNotificationConfig]] = {}

    def attach(self, task_id: str, caller: Caller, *, new: bool) -> None:
        """A task is being worked on; `new` when it cannot have configs yet."""
        self._owners[task_id] = caller
        self._owners.move_to_end(task_id)
        if new:
            self._at_hand.setdefault(task_id, [])
        while len(self._owners) > _MAX_TASKS:
            oldest, _ = self._owners.popitem(last=False)
            self._at_hand.pop(oldest, None)

    async def set_info(
        self,
        task_id: str,
        notification_config: pb.TaskPushNotificationConfig,
        context: ServerCallContext,
    ) -> pb.TaskPushNotificationConfig:
        """Add a config to a task, or replace the one of the same id."""
        caller = caller_of(context)
        config = normalize_push_notification_config(task_id, notification_config)
        _check(config)
        others = [c for c in await self._kept.read(caller, task_id) if c.id != config.id]
        if len(others) >= self._max:
            raise InvalidParamsError(
                message=f"a task may have {self._max} push notification configs at most"
            )
        await self._keep(caller, task_id, [*others, config])
        return config

    async def get_info(
        self, task_id: str, context: ServerCallContext
    ) -> list[pb.TaskPushNotificationConfig]:
        """A task's configs, of this caller."""
        return await self._kept.read(caller_of(context), task_id)

    async def get_info_for_dispatch(self, task_id: str) -> list[pb.TaskPushNotificationConfig]:
        """A task's configs, for whoever works on it."""
        at_hand = self._at_hand.get(task_id)
        if at_hand is None:
            owner = self._owners.get(task_id)
            if owner is None:
                return []
            at_hand = self._at_hand[task_id] = await self._kept.read(owner, task_id)
        return at_hand

    async def delete_info(
        self, task_id: str, context: ServerCallContext, config_id: str | None = None
    ) -> None:
        """Remove a config of a task, or all; one that is not there is no error."""
        caller = caller_of(context)
        configs = await self._kept.read(caller, task_id)
        kept = [config for config in configs if config_id is not None and config.id != config_id]
        await self._keep(caller, task_id, kept)

    async def _keep(
        self, caller: Caller, task_id: str, configs: list[pb.TaskPushNotificationConfig]
    ) -> None:
        await self._kept.write(caller, task_id, configs)
        self.attach(task_id, caller, new=False)
        self._at_hand[task_id] = configs


class PushSender(PushNotificationSender):
    """Tells those who asked, in the order of events for each task, off the task's own path.

    What cannot be delivered after a few tries is logged and dropped: a task never fails for it.
    """

    def __init__(self, configs: PushConfigs, policy: PushPolicy) -> None:
        self._configs = configs
        self._policy = policy
        self._queues: dict[str, asyncio.Queue[_Event]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def send_notification(self, task_id: str, event: Any) -> None:
        """Hand an event over; returns at once."""
        if not await self._configs.get_info_for_dispatch(task_id):
            return
        queue = self._queues.setdefault(task_id, asyncio.Queue())
        if queue.qsize() >= self._policy.max_waiting:
            queue.get_nowait()
            log.warning("a push notification of task %s was dropped: too many wait", task_id)
        queue.put_nowait(event)
        if task_id not in self._workers:
            name = f"push notifications of {task_id}"
            self._workers[task_id] = asyncio.create_task(self._work(task_id), name=name)

    async def aclose(self, grace_s: float = 5.0) -> None:
        """Deliver what waits, for a while, and stop."""
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=grace_s)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, task_id: str) -> None:
        queue = self._queues[task_id]
        try:
            while not queue.empty():
                event = queue.get_nowait()
                configs = await self._configs.get_info_for_dispatch(task_id)
                body = MessageToDict(to_stream_response(event))
                await asyncio.gather(*(self._deliver(config, body) for config in configs))
        finally:
            del self._queues[task_id], self._workers[task_id]

    async def _deliver(self, config: pb.TaskPushNotificationConfig, body: dict[str, Any]) -> None:
        wait_s = self._policy.wait_s
        for left in reversed(range(self._policy.tries)):
            problem = await self._try(config, body)
            if problem is None:
                return
            if not problem.again or not left:
                log.warning(
                    "a push notification of task %s was not delivered: %s",
                    config.task_id,
                    problem.reason,
                )
                return
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            wait_s *= 2

    async def _try(
        self, config: pb.TaskPushNotificationConfig, body: dict[str, Any]
    ) -> _Problem | None:
        try:
            _, host, _ = origin_of(config.url)
            client = guarded_client(
                config.url,
                allow_private=self._policy.allows(host),
                timeout_s=self._policy.timeout_s,
                limits=Limits(_MAX_ANSWER_BYTES, None),
            )
            async with client, asyncio.timeout(self._policy.timeout_s):
                answer = await client.post(config.url, json=body, headers=_headers(config))
        except (httpx.HTTPError, TimeoutError, AgentUnavailable) as error:
            return _Problem(f"{type(error).__name__}: {error}", again=True)
        except GenesisError as error:
            return _Problem(str(error), again=False)
        if answer.is_success:
            return None
        again = answer.status_code >= 500 or answer.status_code in (408, 425, 429)
        return _Problem(f"it was answered with status {answer.status_code}", again=again)


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: str
    again: bool


def _headers(config: pb.TaskPushNotificationConfig) -> dict[str, str]:
    headers: dict[str, str] = {"Content-Type": "application/a2a+json"}
    if config.token:
        headers["X-A2A-Notification-Token"] = config.token
    if config.authentication.scheme and config.authentication.credentials:
        said = f"{config.authentication.scheme} {config.authentication.credentials}"
        headers["Authorization"] = said
    return headers


def _check(config: pb.TaskPushNotificationConfig) -> None:
    """What would break, or smuggle, a header is refused when it is registered."""
    texts = (config.token, config.authentication.scheme, config.authentication.credentials)
    for text in texts:
        if not text.isascii() or (text and not text.isprintable()) or len(text) > _MAX_HEADER:
            raise InvalidParamsError(
                message="the token and the credentials of a push notification config go into "
                f"HTTP headers: printable ASCII, at most {_MAX_HEADER} characters"
            )


def _place(caller: Caller) -> tuple[str, ...]:
    return (*_CONFIGS, hashlib.sha256(caller.name.encode()).hexdigest()[:32])


def _config(text: str) -> pb.TaskPushNotificationConfig:
    config = pb.TaskPushNotificationConfig()
    config.ParseFromString(base64.b64decode(text))
    return config
