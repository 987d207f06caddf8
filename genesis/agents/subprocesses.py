"""Run a command within bounds: time, output, environment; nothing of it outlives the call."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.errors import AgentError

OUTPUT_CAP = 1 << 20
_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|PRIVATE|SIGNATURE|_PAT$|_DSN$",
    re.IGNORECASE,
)
_CREDENTIALS_IN_URL = re.compile(r"://[^/\s@]+@")
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
    """

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool
    duration_s: float


class _Tail(asyncio.Protocol):
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


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without secrets, set so that Python writes no bytecode.

    A variable is left out when its name looks like a secret's (KEY, TOKEN, PASSWORD ...) or its
    value is an address with credentials in it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _SECRET_NAME.search(name) and not _CREDENTIALS_IN_URL.search(value)
    }
    fixed = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"}
    return {**kept, **fixed, **(extra or {})}


async def run_bounded(
    command: Sequence[str],
    *,
    cwd: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    interrupt_s: float = 0.0,
    output_cap: int = OUTPUT_CAP,
) -> Completed:
    """Run a command in a process group of its own and wait until all of that group is gone.

    Args:
        command: program and arguments; no shell is involved.
        cwd: the folder to run in.
        timeout_s: seconds after which it is stopped.
        environment: variables added to `clean_environment()`.
        interrupt_s: when its time is over, send SIGINT first and give it this many seconds to
            say where it was; 0 kills at once.
        output_cap: bytes kept of each of stdout and stderr.

    Cancelling the call kills the group before `CancelledError` goes on.

    Raises:
        AgentError: the command cannot be started.
    """
    started = time.monotonic()
    out, err = _Tail(output_cap), _Tail(output_cap)
    transports: list[asyncio.ReadTransport] = []
    try:
        process = await _known_when_started(
            _start(command, cwd, clean_environment(environment), (out, err), transports)
        )
        try:
            timed_out = await _wait(process, timeout_s, interrupt_s)
        finally:
            await _end(process)
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
    )


async def _known_when_started(
    start: Coroutine[Any, Any, asyncio.subprocess.Process],
) -> asyncio.subprocess.Process:
    """The started process; cancelled meanwhile, its group is ended before that goes on.

    asyncio, when its start is cancelled, ends the process alone and not what that has started.
    """
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await _end(starting.result())
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group, and wait until it is gone."""
    _kill_group(process.pid)
    await process.wait()
    await _group_ended(process.pid)


async def _start(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    tails: tuple[_Tail, _Tail],
    transports: list[asyncio.ReadTransport],
) -> asyncio.subprocess.Process:
    # Pipes of our own: asyncio's close only when every holder of the other end is gone, and a
    # grandchild in a session of its own can hold it for ever.
    loop = asyncio.get_running_loop()
    writing: list[int] = []
    try:
        for tail in tails:
            reading, write_end = os.pipe()
            writing.append(write_end)
            pipe = os.fdopen(reading, "rb", buffering=0)
            transport, _ = await loop.connect_read_pipe(lambda tail=tail: tail, pipe)
            transports.append(transport)
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing[0],
            stderr=writing[1],
            start_new_session=True,
        )
    except OSError as error:
        raise AgentError(f"cannot start {command[0]!r} in {cwd}: {error.strerror}") from error
    finally:
        for descriptor in writing:
            os.close(descriptor)


async def _wait(process: asyncio.subprocess.Process, timeout_s: float, interrupt_s: float) -> bool:
    """Wait for the leader; True when its time was over first."""
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        if interrupt_s > 0:
            await _interrupted(process, interrupt_s)
        return True
    return False


async def _interrupted(process: asyncio.subprocess.Process, grace_s: float) -> None:
    try:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(grace_s):
            await process.wait()
    except (TimeoutError, ProcessLookupError):
        return  # the caller kills what is left


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # every member has ended


async def _group_ended(group: int) -> None:
    """Wait until the killed children are gone too; bounded, as nobody may collect a zombie."""
    for _ in range(_ENDING_POLLS):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(_ENDING_POLL_S)


async def _drained(*tails: _Tail) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            for tail in tails:
                await tail.ended.wait()
    except TimeoutError:
        return  # a process outside the group holds the pipe; what it writes is not ours
