"""Keeps a running sandbox: sets its limits before it starts, watches it, and ends all of it.

Bubblewrap says the number of the namespace's first process and then waits. Limits and control
group are set on that process; then the command is let go. When that process dies, the kernel kills
all others of the namespace, and it is not gone before they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from infrastructure.sandbox.cgroup import ControlGroup
from infrastructure.sandbox.copies import usage
from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.tree import children_of, descendants_of, memory_of, parent_of

_SETUP_S = 20.0
_WATCH_S = 0.1
_END_S = 20.0
_OWN_PROCESSES = 2  # the namespace's first process, and the command before it is replaced
_MESSAGE_QUEUES = 64 << 10


class Status(asyncio.Protocol):
    """What bubblewrap tells about its sandbox: a line of JSON when it exists, one when it ends."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.changed = asyncio.Event()
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self._data += data
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.changed.set()

    async def first_process(self) -> int | None:
        """The namespace's first process, as this process numbers it; None when there is none."""
        while (number := self._value("child-pid")) is None and not self.ended:
            self.changed.clear()
            await self.changed.wait()
        return number

    async def wait_until_ended(self) -> None:
        """Wait for the end of what is told; soon, once bubblewrap has ended."""
        while not self.ended:
            self.changed.clear()
            await self.changed.wait()

    def exit_code(self) -> int | None:
        """The command's exit code, or 128 and the signal; None when it was never started."""
        return self._value("exit-code")

    def _value(self, key: str) -> int | None:
        *lines, _rest = self._data.split(b"\n")
        for line in lines:
            if line.strip():
                told = cast("Mapping[str, object]", json.loads(line))
                if isinstance(number := told.get(key), int):
                    return number
        return None


class SandboxKeeper:
    """A `Keeper` of one sandbox.

    Args:
        policy: its limits.
        status: what bubblewrap tells.
        told: file descriptor that bubblewrap tells it on, closed here once bubblewrap has it.
        release: file descriptor; a byte written to it lets the command start.
        artifacts: the folder that it writes to on disk; None for none.
        group: its control group; None where there is none.

    Attributes:
        out_of_memory: whether the kernel ended it because the control group's memory was used up.
    """

    def __init__(
        self,
        policy: SandboxPolicy,
        status: Status,
        told: int,
        release: int,
        artifacts: Path | None,
        group: ControlGroup | None,
    ) -> None:
        self._policy = policy
        self._status = status
        self._told: int | None = told
        self._release = release
        self._artifacts = artifacts
        self._group = group
        self.out_of_memory = False
        self._first: int | None = None
        self._handle: int | None = None

    async def begin(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the sandbox, limit it, and let the command start."""
        if await self._found(process):
            self._limit()
            os.write(self._release, b"1")

    async def crossed(self) -> str:
        """Look at memory, number of processes and artifacts, ten times a second."""
        while True:
            await asyncio.sleep(_WATCH_S)
            reason = await asyncio.to_thread(self._crossed)
            if reason:
                return reason

    def interrupt(self, process: asyncio.subprocess.Process) -> None:
        """Interrupt the command itself: the only child that the first process starts."""
        for pid in children_of(self._first)[:1] if self._first else ():
            os.kill(pid, signal.SIGINT)

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """Kill the first process, and with it all others; return when they are gone."""
        try:
            if await self._found(process):
                await self._kill()
            _kill_group(process.pid)
            await process.wait()
            await self._status.wait_until_ended()
            if self._group is not None:
                self.out_of_memory = self._group.ran_out_of_memory()
                await self._group.remove()
        finally:
            if self._handle is not None:
                os.close(self._handle)

    def close(self) -> None:
        """Close this process's copy of what bubblewrap writes to, so that its end is seen."""
        if self._told is not None:
            os.close(self._told)
            self._told = None

    async def _found(self, process: asyncio.subprocess.Process) -> bool:
        """Learn the first process; False when bubblewrap could not make it."""
        self.close()
        if self._handle is not None:
            return True
        try:
            async with asyncio.timeout(_SETUP_S):
                first = await self._status.first_process()
        except TimeoutError:
            return False
        # Until it is let go it waits, so that the number is still its own.
        if first is None or parent_of(first) != process.pid:
            return False
        try:
            self._handle, self._first = os.pidfd_open(first), first
        except ProcessLookupError:
            return False
        return True

    def _limit(self) -> None:
        if self._first is None:
            return
        if self._group is not None:
            self._group.add(self._first)
        with suppress(OSError):  # when the machine runs out of memory, this is the first to go
            Path(f"/proc/{self._first}/oom_score_adj").write_text("1000", encoding="ascii")
        policy = self._policy
        for limit, value in (
            (resource.RLIMIT_CPU, policy.cpu_s),
            (resource.RLIMIT_AS, policy.address_space_bytes),
            (resource.RLIMIT_FSIZE, policy.file_bytes),
            (resource.RLIMIT_NOFILE, policy.open_files),
            (resource.RLIMIT_NPROC, policy.processes),
            (resource.RLIMIT_MSGQUEUE, _MESSAGE_QUEUES),
            (resource.RLIMIT_MEMLOCK, 1 << 16),
            # 1, not 0: that alone keeps the kernel from handing the memory to a core dump's pipe.
            (resource.RLIMIT_CORE, 1),
        ):
            resource.prlimit(self._first, limit, (value, value))

    def _crossed(self) -> str:
        policy = self._policy
        if self._first is not None:
            most = policy.processes + _OWN_PROCESSES
            pids = descendants_of(self._first, most)
            if len(pids) > most:
                return f"it started more than {policy.processes:,} processes"
            if memory_of(pids, policy.memory_bytes) > policy.memory_bytes:
                return f"it used more than {policy.memory_bytes >> 20:,} MiB of memory"
        if self._artifacts is not None:
            size, number = usage(self._artifacts, policy.artifact_files)
            if size > policy.artifact_bytes:
                return f"it wrote more than {policy.artifact_bytes >> 20:,} MiB of artifacts"
            if number > policy.artifact_files:
                return f"it wrote more than {policy.artifact_files:,} artifacts"
        return ""

    async def _kill(self) -> None:
        handle = self._handle
        if handle is None:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return  # gone, and collected
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, gone.set)
        try:
            async with asyncio.timeout(_END_S):
                await gone.wait()
        finally:
            loop.remove_reader(handle)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended
