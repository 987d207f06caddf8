"""Push notifications: telling whoever asked of a task, without holding it up."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import httpx
from a2a.server.tasks import PushNotificationSender
from a2a.types import a2a_pb2 as pb
from a2a.utils.proto_utils import to_stream_response
from google.protobuf.json_format import MessageToDict

from infrastructure.a2a.push_configs import PushConfigs
from infrastructure.errors import AgentUnavailable, GenesisError, InputError
from infrastructure.net.addresses import origin_of, resolve
from infrastructure.net.http import Limits, guarded_client

log = logging.getLogger("genesis.a2a")

_MAX_ANSWER_BYTES: Final = 64 * 1024

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
