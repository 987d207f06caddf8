"""The `genesis` command as a user runs it: a process with a workspace and a data folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from genesis import GenesisOrchestrator, OrchestrationResult
from infrastructure.config import load_settings

COMMAND = (sys.executable, "-m", "genesis.cli.app")


class Cli:
    """Runs the command in a workspace with a data folder of its own.

    Args:
        workspace: where it is started.
        data: where it keeps what it stores.
        environment: variables beside those of this process.
    """

    def __init__(self, workspace: Path, data: Path, **environment: str) -> None:
        self.workspace = workspace
        self._data = data
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GENESIS", "MEMORI"))},
            "GENESIS_DATA_DIR": str(data),
            "MEMORI_DB_PATH": self.database,
            **environment,
        }

    @property
    def database(self) -> str:
        """Where its store is."""
        return str(self._data / "memory.db")

    def result_of(
        self,
        request: str = "",
        *,
        resume: str = "",
        prepare: Callable[[GenesisOrchestrator], None] = lambda _: None,
        **asked: Any,
    ) -> OrchestrationResult:
        """What a program in this process gets, with the command's store and folder.

        Args:
            request: in plain English.
            resume: a run to go on with instead.
            prepare: what the program does with its orchestrator before.
            asked: what `execute_orchestrated_request` takes beside the request.
        """
        settings = load_settings(
            workspace=self.workspace, data_dir=self._data, db_path=self.database
        )

        async def work() -> OrchestrationResult:
            async with GenesisOrchestrator(settings=settings) as orchestrator:
                prepare(orchestrator)
                if resume:
                    return await orchestrator.resume(resume)
                return await orchestrator.execute_orchestrated_request(request, **asked)

        return asyncio.run(work())

    def __call__(
        self, *arguments: str, stdin: bytes | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.workspace,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            timeout=90,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The one document that the command prints with `--json`."""
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return cast("dict[str, Any]", json.loads(done.stdout))

    def start(self, *arguments: str, **environment: str) -> Started:
        """Start the command and leave it at work."""
        return Started(
            subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=self.workspace,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )


class Started:
    """A command at work; it is killed on leaving the `with` block."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def ended(self, number: signal.Signals | None = None) -> subprocess.CompletedProcess[str]:
        """What it left, after a signal if one is given."""
        if number is not None:
            self._process.send_signal(number)
        out, err = self._process.communicate(timeout=60)
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, out, err)
