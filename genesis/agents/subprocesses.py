"""Run a command within bounds: time, output, environment; nothing of it outlives the call."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genesis.agents.files import Bounded, run_folder
from genesis.tasks.received import received_folder, received_with
from infrastructure.errors import AgentError
from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.process import OUTPUT_CAP, Completed, GroupKeeper, Invocation, supervise
from infrastructure.sandbox.runner import run_sandboxed

__all__ = ["Completed", "Confinement", "clean_environment", "confinement_of", "run_bounded"]

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|PRIVATE|SIGNATURE|_PAT$|_DSN$",
    re.IGNORECASE,
)
_CREDENTIALS_IN_URL = re.compile(r"://[^/\s@]+@")
_PYTHON = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"}


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a command in the sandbox is given of the file system.

    Attributes:
        workspace: folder of which it gets a private copy; None when it needs nothing of it.
        artifacts: folder that it may write to; None for none.
        readable: further files that it may read.
        hidden: folders that are left out of the private copy.
        shown: what is copied all the same, below a hidden folder.
    """

    workspace: Path | None = None
    artifacts: Path | None = None
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()


def confinement_of(
    given: Bounded, artifacts: Path | None = None, readable: Sequence[Path] = ()
) -> Confinement | None:
    """The sandbox for code that a task or its check runs; None when it runs as the user does.

    The data folder, in which other runs and the memory lie, is out of sight, and so are the files
    that came with other requests.
    """
    if not given.sandboxed:
        return None
    data_folders = tuple(run.parent.parent for run in run_folder(given))
    return Confinement(
        given.workspace,
        artifacts,
        tuple(readable),
        (*data_folders, received_folder(given.workspace)),
        received_with(given.inputs.values(), given.workspace),
    )


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
    return {**kept, **_PYTHON, **(extra or {})}


async def run_bounded(
    command: Sequence[str],
    *,
    cwd: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    interrupt_s: float = 0.0,
    output_cap: int = OUTPUT_CAP,
    confined: Confinement | None = None,
) -> Completed:
    """Run a command in a process group or a sandbox of its own, and wait until all of it is gone.

    Args:
        command: program and arguments; no shell is involved.
        cwd: the folder to run in.
        timeout_s: seconds after which it is stopped.
        environment: variables added to `clean_environment()`; in the sandbox to next to none.
        interrupt_s: when its time is over, send SIGINT first and give it this many seconds to
            say where it was; 0 kills at once.
        output_cap: bytes kept of each of stdout and stderr.
        confined: the sandbox that it runs in; None runs it as this process does.

    Cancelling the call kills all of it before `CancelledError` goes on.

    Raises:
        AgentError: the command cannot be started, or the sandbox is missing or stopped it.
    """
    if confined is not None:
        return await _confined(
            command, cwd, timeout_s, environment, interrupt_s, output_cap, confined
        )
    invocation = Invocation(command, cwd, clean_environment(environment))
    try:
        return await supervise(
            invocation,
            GroupKeeper(),
            timeout_s=timeout_s,
            interrupt_s=interrupt_s,
            output_cap=output_cap,
        )
    except OSError as error:
        raise AgentError(f"cannot start {command[0]!r} in {cwd}: {error.strerror}") from error


async def _confined(
    command: Sequence[str],
    cwd: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None,
    interrupt_s: float,
    output_cap: int,
    confined: Confinement,
) -> Completed:
    done = await run_sandboxed(
        command,
        cwd=cwd,
        workspace=confined.workspace,
        artifacts=confined.artifacts,
        readable=confined.readable,
        hidden=confined.hidden,
        shown=confined.shown,
        environment={**_PYTHON, **(environment or {})},
        policy=SandboxPolicy(wall_s=timeout_s, stream_bytes=output_cap),
        interrupt_s=interrupt_s,
    )
    if done.stopped:
        raise AgentError(f"the sandbox stopped the code: {done.stopped}")
    return done
