"""The serving process: what it refuses, how it ends, and that a killed one loses nothing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_teller import serve_folder

from genesis.server.tokens import make_token

SLOWLY = "Tell me something nice slowly"
PATIENCE_S = 60.0
FORKS = multiprocessing.get_context("forkserver")
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def forks() -> None:
    """A process that has imported a server and waits to be forked, or the one that others made."""
    FORKS.set_forkserver_preload(["serve_teller"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parents[1])]))
        forkserver.ensure_running()


class Process:
    """A serving process over one folder, started as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "workspace").mkdir()
        self.go, self.calls = folder / "go", folder / "calls"
        self.running: BaseProcess | None = None
        self.client = httpx.AsyncClient(timeout=30)

    async def start(self, grace_s: float = 0.2) -> None:
        hears, says = FORKS.Pipe(duplex=False)
        self.running = FORKS.Process(target=serve_folder, args=(self.folder, grace_s, says))
        await asyncio.to_thread(self.running.start)
        says.close()
        try:
            assert await asyncio.to_thread(hears.poll, PATIENCE_S)
            url: str = hears.recv()
        except EOFError:
            pytest.fail((self.folder / "log").read_text())
        finally:
            hears.close()
        await self.client.aclose()
        self.client = httpx.AsyncClient(base_url=url, timeout=30)

    def signal(self, number: int) -> None:
        assert self.running is not None
        assert self.running.pid is not None
        os.kill(self.running.pid, number)

    async def ended(self) -> int | None:
        assert self.running is not None
        await asyncio.to_thread(self.running.join, 20)
        return self.running.exitcode

    async def accept(self, text: str, key: str) -> str:
        answer = await self.client.post(
            "/v1/runs", json={"request": text}, headers={"idempotency-key": key}
        )
        assert answer.status_code == 202, answer.text
        return answer.json()["run_id"]

    async def finished(self, run_id: str) -> dict[str, Any]:
        """A run that is over, as soon as it is."""
        await self.stream(run_id)
        return (await self.client.get(f"/v1/runs/{run_id}")).json()

    async def stream(self, run_id: str) -> list[str]:
        """The names of a run's events until its stream ends."""
        async with self.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
            lines = [line async for line in response.aiter_lines()]
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]

    async def called(self) -> None:
        """Wait until the agent was asked."""
        async with asyncio.timeout(30):
            while not self.calls.exists():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)

    async def unready(self) -> None:
        """Wait until the server says that it takes no more runs."""
        async with asyncio.timeout(30):
            while (await self.client.get("/readyz")).status_code != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def process(tmp_path: Path, forks: None) -> AsyncIterator[Process]:
    made = Process(tmp_path)
    yield made
    await made.client.aclose()
    if made.running is not None:
        made.running.kill()
        made.running.join()


async def test_killed_or_told_to_end_a_server_finishes_what_it_accepted(process: Process) -> None:
    await process.start()
    run_ids = [await process.accept(f"{SLOWLY} {n}", f"k{n}") for n in range(4)]
    await process.called()
    process.signal(signal.SIGKILL)
    assert await process.ended() == -signal.SIGKILL

    process.go.touch()
    await process.start(grace_s=20)
    assert await process.accept(f"{SLOWLY} 0", "k0") == run_ids[0]
    for number, run_id in enumerate(run_ids):
        run = await process.finished(run_id)
        assert run["state"] == "completed", run
        assert f"{SLOWLY} {number}" in run["result"]["output"]
    listed = (await process.client.get("/v1/runs")).json()["runs"]
    assert {run["run_id"] for run in listed} == set(run_ids)

    process.go.unlink()
    process.calls.unlink()
    last = await process.accept(f"{SLOWLY} at last", "last")
    await process.called()
    stream = asyncio.create_task(process.stream(last))
    process.signal(signal.SIGTERM)
    await process.unready()
    refused = await process.client.post("/v1/runs", json={"request": "Tell me something nice"})
    assert (refused.status_code, refused.json()["code"]) == (503, "ShuttingDown")
    assert "retry-after" in refused.headers
    assert (await process.client.get(f"/v1/runs/{last}")).json()["state"] == "running"
    process.go.touch()
    names = await stream
    assert "TaskEnded" in names, "the attempt under way has its time"
    assert names[-1] in ("end", "stopping")
    assert await process.ended() == 0
    assert len(process.calls.read_text().splitlines()) == 1


async def test_told_twice_it_ends_at_once_and_goes_on_at_its_next_start(process: Process) -> None:
    await process.start(grace_s=600)
    run_id = await process.accept(SLOWLY, "k")
    await process.called()
    stream = asyncio.create_task(process.stream(run_id))
    process.signal(signal.SIGTERM)
    await process.unready()
    process.signal(signal.SIGTERM)
    assert (await stream)[-1] in ("end", "stopping"), "the stream must end, not break"
    await process.ended()

    process.go.touch()
    await process.start()
    assert (await process.finished(run_id))["state"] == "completed"
    keys = process.calls.read_text().splitlines()
    assert len(set(keys)) == 1, "sent again under the same key"


def _genesis(folder: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "GENESIS_DATA_DIR": str(folder), "GENESIS_TOKEN": "", **environ}
    return subprocess.run(
        [sys.executable, "-m", "genesis.cli.app", *args],
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
        timeout=60,
        check=False,
    )


def test_the_command_binds_elsewhere_only_with_a_token(tmp_path: Path) -> None:
    refused = _genesis(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "genesis serve token" in refused.stderr

    made = _genesis(tmp_path, "serve", "token", "ann", "--tenant", "team-a", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("key-")
    assert token not in made.stderr
    assert token not in (tmp_path / "tokens.yaml").read_text()
    again = _genesis(tmp_path, "serve", "token", "ann")
    assert (again.returncode, "already" in again.stderr) == (2, True)


def test_a_port_that_is_taken_is_an_error_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = _genesis(tmp_path, "serve", "--port", port, "--workspace", str(tmp_path.parent))
    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_several_tenants_are_refused_where_one_could_name_anothers_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_token(tmp_path / "tokens.yaml", name, name)
    refused = _genesis(tmp_path, "serve", "--port", "0", "--workspace", str(tmp_path))
    assert refused.returncode == 2
    assert "inside the workspace" in refused.stderr
