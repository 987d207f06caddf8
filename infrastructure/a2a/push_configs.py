"""Who wants to hear of which task: push notification configs, for each caller."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from a2a.server.context import ServerCallContext
from a2a.server.tasks import PushNotificationConfigStore
from a2a.server.tasks.push_notification_config_store import normalize_push_notification_config
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError

from infrastructure.a2a.serving_callers import caller_of
from infrastructure.callers import Caller
from infrastructure.memory.memori.store import MemoriStore

_CONFIGS: Final = ("a2a", "push")
_MAX_TASKS: Final = 10_000
_MAX_HEADER: Final = 8_000


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
