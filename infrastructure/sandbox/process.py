"""A command in a process of its own, within bounds of time and output.

`supervise` is the one loop that runs a command; a `Keeper` knows what belongs to it and how all of
that is interrupted and ended. `GroupKeeper` keeps a plain process group.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

OUTPUT_CAP = 1 << 20
T = TypeVar("T")
_DRAIN_S = 1.0
_ENDING_POLLS, _ENDING_POLL_S = 100, 0.005


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended.

    Attributes:
        returncode: exit code; negative when a signal ended it (-9: SIGKILL).
        stdout, stderr: what it wrote; of more than the cap, the end.
        timed_out: whether it was stopped because its time was over.
        truncated: whether output was dropped.
        duration_s: wall time, seconds.
        stopped: why it was stopped before its time was over (a limit that it crossed); else empty.
    """

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool
    duration_s: float
    stopped: str = ""


class Keeper(Protocol):
    """What belongs to a started command, and how that is let go on, interrupted and ended."""

    async def begin(self, process: asyncio.subprocess.Process) -> None:
        """Called as soon as the process runs."""
        ...

    async def crossed(self) -> str:
        """Returns why it must be stopped now; while it keeps its limits, never."""
        ...

    def interrupt(self, process: asyncio.subprocess.Process) -> None:
        """Sends SIGINT to the command itself."""
        ...

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """Kills whatever is left, and returns when it is gone. Called once, always."""
        ...


class GroupKeeper:
    """Keeps the process group that the command leads."""

    async def begin(self, process: asyncio.subprocess.Process) -> None:
        """Nothing to do: the group is there from the start."""

    async def crossed(self) -> str:
        """A plain group has no limits to cross."""
        await asyncio.Event().wait()
        return ""

    def interrupt(self, process: asyncio.subprocess.Process) -> None:
        """Interrupt the leader."""
        process.send_signal(signal.SIGINT)

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """Kill the group, and wait until it is gone."""
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        # Children that were killed take a moment; bounded, as nobody may collect a zombie.
        for _ in range(_ENDING_POLLS):
            if not _signal_group(process.pid, 0):
                return
            await asyncio.sleep(_ENDING_POLL_S)


class Tail(asyncio.Protocol):
    """Keeps the end of a stream: at most twice the cap in memory, the cap in the result."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._data = bytearray()
        self.dropped = False
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._cap:
            self._trim()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def text(self) -> str:
        if len(self._data) > self._cap:
            self._trim()
        return self._data.decode("utf-8", errors="replace")

    def _trim(self) -> None:
        self.dropped = True
        del self._data[: -self._cap]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command as the operating system takes it.

    Attributes:
        command: program and arguments; no shell is involved.
        cwd: the folder to start in.
        environment: all of its variables.
        stdin: a file descriptor to read from; None for nothing.
        descriptors: further file descriptors that it inherits.
    """

    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    stdin: int | None = None
    descriptors: tuple[int, ...] = ()


async def supervise(
    invocation: Invocation,
    keeper: Keeper,
    *,
    timeout_s: float,
    interrupt_s: float = 0.0,
    output_cap: int = OUTPUT_CAP,
) -> Completed:
    """Run a command and wait until all that belongs to it is gone.

    Args:
        invocation: what is run.
        keeper: knows what belongs to it.
        timeout_s: seconds after which it is stopped.
        interrupt_s: when its time is over, send SIGINT first and give it this many seconds to
            say where it was; 0 kills at once.
        output_cap: bytes kept of each of stdout and stderr.

    Cancelling the call ends all of it before `CancelledError` goes on.

    Raises:
        OSError: the command cannot be started.
    """
    started = time.monotonic()
    out, err = Tail(output_cap), Tail(output_cap)
    transports: list[asyncio.ReadTransport] = []
    try:
        process = await _known_when_started(_start(invocation, (out, err), transports), keeper)
        try:
            await keeper.begin(process)
            timed_out, stopped = await _wait(process, keeper, timeout_s, interrupt_s)
        finally:
            await see_through(keeper.end(process))
        await _drained(out, err)
    finally:
        for transport in transports:
            transport.close()
    return Completed(
        returncode=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=out.text(),
        stderr=err.text(),
        timed_out=timed_out,
        truncated=out.dropped or err.dropped,
        duration_s=time.monotonic() - started,
        stopped=stopped,
    )


async def _known_when_started(
    start: Coroutine[Any, Any, asyncio.subprocess.Process], keeper: Keeper
) -> asyncio.subprocess.Process:
    """The started process; cancelled meanwhile, all of it is ended before that goes on.

    asyncio, when its start is cancelled, ends the process alone and not what that has started.
    """
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await see_through(keeper.end(starting.result()))
        raise


async def see_through(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end, also when it is cancelled meanwhile: then it is cancelled after."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    done = task.result()
    if cancelled is not None:
        raise cancelled
    return done


async def _start(
    invocation: Invocation, tails: tuple[Tail, Tail], transports: list[asyncio.ReadTransport]
) -> asyncio.subprocess.Process:
    # Pipes of our own: asyncio's close only when every holder of the other end is gone, and a
    # grandchild in a session of its own can hold it for ever.
    writing: list[int] = []
    try:
        for tail in tails:
            writing.append(await read_pipe(tail, transports))  # noqa: PERF401 - closed in any case
        return await asyncio.create_subprocess_exec(
            *invocation.command,
            cwd=invocation.cwd,
            env=invocation.environment,
            stdin=asyncio.subprocess.DEVNULL if invocation.stdin is None else invocation.stdin,
            stdout=writing[0],
            stderr=writing[1],
            pass_fds=invocation.descriptors,
            start_new_session=True,
        )
    finally:
        for descriptor in writing:
            os.close(descriptor)


async def read_pipe(protocol: asyncio.Protocol, transports: list[asyncio.ReadTransport]) -> int:
    """Open a pipe that `protocol` reads; its writing end, which the caller closes."""
    reading, writing = os.pipe()
    try:
        pipe = os.fdopen(reading, "rb", buffering=0)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, pipe)
    except BaseException:
        os.close(writing)
        raise
    transports.append(transport)
    return writing


async def _wait(
    process: asyncio.subprocess.Process, keeper: Keeper, timeout_s: float, interrupt_s: float
) -> tuple[bool, str]:
    """Wait for the command; whether its time was over first, or why it had to be stopped."""
    ended = asyncio.ensure_future(process.wait())
    crossed = asyncio.ensure_future(keeper.crossed())
    try:
        await asyncio.wait([ended, crossed], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return False, ""
        if crossed.done():
            return False, crossed.result()
        if interrupt_s > 0:
            await _interrupted(process, keeper, interrupt_s)
        return True, ""
    finally:
        for task in (ended, crossed):
            task.cancel()
        await asyncio.gather(ended, crossed, return_exceptions=True)


async def _interrupted(process: asyncio.subprocess.Process, keeper: Keeper, grace_s: float) -> None:
    try:
        keeper.interrupt(process)
        async with asyncio.timeout(grace_s):
            await process.wait()
    except (TimeoutError, ProcessLookupError):
        return  # the keeper kills what is left


def _signal_group(group: int, number: int) -> bool:
    """Signal a process group; whether any member was left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


async def _drained(*tails: Tail) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            for tail in tails:
                await tail.ended.wait()
    except TimeoutError:
        return  # a process outside the group holds the pipe; what it writes is not ours
