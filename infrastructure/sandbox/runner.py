"""Run a command that is not trusted: inside bubblewrap, or not at all.

    done = await run_sandboxed([sys.executable, "script.py"], cwd=folder, workspace=folder)

The program has namespaces of its own (processes, network, mounts, IPC, host name; users, unless
root starts it), no network, no variables of this process, a filter of system calls, and limits. It
sees the system and this Python read-only, a private copy of the workspace, and an artifacts folder
from which plain files are brought back. Where any part of that is missing nothing is run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infrastructure.errors import SandboxError, SandboxUnavailable
from infrastructure.sandbox.cgroup import ControlGroup
from infrastructure.sandbox.copies import Packed, collect
from infrastructure.sandbox.identity import Identity, new_identity
from infrastructure.sandbox.keeper import SandboxKeeper, Status
from infrastructure.sandbox.layout import View, arguments_for, environment_for
from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.prepare import Files, prepare
from infrastructure.sandbox.process import (
    Completed,
    Invocation,
    read_pipe,
    see_through,
    supervise,
)
from infrastructure.sandbox.seccomp import filter_program

_UNPACK_FAILED = 125
_UNPACK = (
    f'tar -xf - -C "$1" || exit {_UNPACK_FAILED}; cd "$2" || exit {_UNPACK_FAILED};'
    ' shift 2; exec "$@" </dev/null'
)
_BY_SIGNAL = 128
_DEFAULT = SandboxPolicy()


@dataclass(frozen=True, slots=True)
class _Call:
    """All of one call, once its files are in place."""

    program: str
    command: Sequence[str]
    view: View
    packed: Packed | None
    identity: Identity
    environment: dict[str, str]
    policy: SandboxPolicy
    interrupt_s: float


async def run_sandboxed(
    command: Sequence[str],
    *,
    cwd: Path,
    workspace: Path | None = None,
    artifacts: Path | None = None,
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    shown: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    policy: SandboxPolicy = _DEFAULT,
    interrupt_s: float = 0.0,
) -> Completed:
    """Run a command in a sandbox of its own and wait until all that it started is gone.

    Args:
        command: program and arguments; no shell is involved.
        cwd: the folder to start in, within `workspace` or `artifacts`, or a folder of its own.
        workspace: folder of which the program gets a private copy in the same place, when `cwd`
            lies in it; of one that is larger than the policy allows, only `cwd` is copied.
        artifacts: existing folder; the program sees its files and may write to it, within the
            policy's bounds, and plain files are brought back when it has ended, unless it was
            stopped for crossing a limit.
        readable: further files and folders that it may read.
        hidden: files and folders that are left out of the private copy.
        shown: what is copied all the same, below a hidden folder.
        environment: its variables, besides a few fixed ones.
        policy: its limits.
        interrupt_s: when its time is over, send SIGINT first and give it this many seconds.

    Cancelling the call ends all of the sandbox before `CancelledError` goes on.

    Raises:
        SandboxUnavailable: there is no sandbox on this machine; says what to install.
        SandboxError: a folder is too large to be copied, or the sandbox could not be made.
    """
    program = _bubblewrap()
    files = Files(cwd, workspace, artifacts, tuple(readable), tuple(hidden), tuple(shown))
    identity = new_identity()
    with ExitStack() as stack:
        view, packed = await see_through(asyncio.to_thread(prepare, files, identity, policy, stack))
        variables = dict(environment or {})
        done = await _run(
            _Call(program, command, view, packed, identity, variables, policy, interrupt_s)
        )
        if view.artifacts is not None and not done.stopped:
            place, staged = view.artifacts
            await see_through(asyncio.to_thread(collect, staged, place, policy))
    return done


async def why_unavailable() -> str:
    """What keeps this machine from sandboxing; empty when nothing does. Takes about 50 ms."""
    try:
        done = await run_sandboxed(["/bin/true"], cwd=Path("/tmp"))  # noqa: S108 - its own
    except SandboxError as error:
        return str(error)
    return "" if done.returncode == 0 else f"a trial run failed: {done.stderr.strip()[-300:]}"


def _bubblewrap() -> str:
    if sys.platform != "linux":
        raise SandboxUnavailable("code of strangers runs only on Linux, in its sandbox")
    for name in ("bwrap", "tar", "setpriv"):
        if shutil.which(name) is None:
            package = {"bwrap": "bubblewrap", "tar": "tar", "setpriv": "util-linux"}[name]
            raise SandboxUnavailable(
                f"the sandbox needs {name}, which is not installed, so that nothing was run;"
                f" install it with: apt-get install {package}"
            )
    return shutil.which("bwrap") or "bwrap"


async def _run(call: _Call) -> Completed:
    policy, status, transports = call.policy, Status(), list[asyncio.ReadTransport]()
    with ExitStack() as stack:
        stack.callback(lambda: [transport.close() for transport in transports])
        filtered = stack.enter_context(_memory_file("filter", filter_program()))
        accounts = {
            name: stack.enter_context(_memory_file(name, text))
            for name, text in _accounts(call.identity)
        }
        told = await read_pipe(status, transports)
        waits, release = os.pipe()
        stack.callback(os.close, waits)
        stack.callback(os.close, release)
        group = ControlGroup.make(policy)
        staged = call.view.artifacts[1] if call.view.artifacts else None
        keeper = SandboxKeeper(policy, status, told, release, staged, group)
        stack.callback(keeper.close)
        line = [call.program, *arguments_for(call.view, call.identity, policy, accounts)]
        line += ["--seccomp", str(filtered), "--json-status-fd", str(told)]
        line += ["--block-fd", str(waits), "--", *_inside(call)]
        done = await supervise(
            Invocation(
                line,
                Path("/"),
                environment_for(call.environment),
                call.packed.file.fileno() if call.packed is not None else None,
                (filtered, *accounts.values(), told, waits),
            ),
            keeper,
            timeout_s=policy.wall_s,
            interrupt_s=call.interrupt_s,
            output_cap=policy.stream_bytes,
        )
    if keeper.out_of_memory and not done.stopped:
        done = replace(
            done, stopped=f"it used more than {policy.memory_bytes >> 20:,} MiB of memory"
        )
    return _judged(done, status.exit_code(), call.packed is not None)


def _inside(call: _Call) -> list[str]:
    """The command line inside: hand over from root, unpack the private copy, then the command."""
    line: list[str] = []
    if call.identity.from_root:
        number, program = call.identity.number, shutil.which("setpriv") or "setpriv"
        line += [program, f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        line += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    if call.packed is not None:
        folders = (str(call.packed.folder), str(call.view.cwd))
        line += ["/bin/sh", "-c", _UNPACK, "sh", *folders]
    return [*line, *call.command]


def _judged(done: Completed, code: int | None, unpacked: bool) -> Completed:
    """The result with the command's own exit code, once it is sure that the command was run."""
    if code is None and not done.timed_out and not done.stopped:
        said = done.stderr.strip()[-500:] or "it said nothing"
        raise SandboxUnavailable(
            f"the sandbox could not be made, so that nothing was run: {said}; bubblewrap needs"
            " user namespaces (or root with CAP_SYS_ADMIN), which containers often forbid"
        )
    if code == _UNPACK_FAILED and unpacked and done.stderr.startswith(("tar:", "sh:")):
        raise SandboxError(f"the private copy could not be made: {done.stderr.strip()[-300:]}")
    if code is None:
        return done
    return replace(done, returncode=_BY_SIGNAL - code if code > _BY_SIGNAL else code)


def _accounts(identity: Identity) -> Iterator[tuple[str, bytes]]:
    number = identity.number
    yield "passwd", f"sandbox:x:{number}:{number}::/tmp:/bin/sh\n".encode()
    yield "group", f"sandbox:x:{number}:\n".encode()
    yield "hosts", b"127.0.0.1 localhost sandbox\n::1 localhost\n"


@contextmanager
def _memory_file(name: str, content: bytes) -> Generator[int]:
    """A file descriptor that reads `content` from its start."""
    descriptor = os.memfd_create(name)
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
