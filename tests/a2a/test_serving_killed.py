"""A serving process that is killed: its A2A tasks go on at the next start, under the same ids."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from serving_wires import JsonRpc, send, state_of, streamed

from infrastructure.a2a.serving import JSONRPC_PATH

SCRIPT = Path(__file__).parent / "serve_runs.py"


@asynccontextmanager
async def _serving(folder: Path, end: signal.Signals) -> AsyncGenerator[JsonRpc]:
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), str(folder)), stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(timeout=30) as http:
            url = (await process.stdout.readline()).decode().strip()
            assert url, (folder / "log").read_text()
            yield JsonRpc(http, url + JSONRPC_PATH)
    finally:
        process.send_signal(end)
        await process.wait()


async def test_a_task_goes_on_where_its_server_was_killed(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    async with _serving(tmp_path, signal.SIGKILL) as wire:
        at_once = {"configuration": {"returnImmediately": True}}
        task = await send(wire, "m1", "Tell me something", **at_once)
        async with asyncio.timeout(20):
            while not calls.exists():  # noqa: ASYNC110 - the file is another process's
                await asyncio.sleep(0.02)
        plan = {"metadata": {"urn:genesis:a2a:1": {"approve": ["plan"]}}}
        waiting = await send(wire, "m2", "Tell me something else", **plan)
        assert state_of(waiting) == "INPUT_REQUIRED", waiting["status"]
    async with _serving(tmp_path, signal.SIGTERM) as wire:
        (tmp_path / "go").touch()
        again = await send(wire, "m1", "Tell me something")
        assert (again["id"], state_of(again)) == (task["id"], "COMPLETED"), again["status"]
        events = await streamed(
            wire,
            "SendStreamingMessage",
            {
                "message": {
                    "messageId": "a1",
                    "role": "ROLE_USER",
                    "parts": [{"text": "approve"}],
                    "taskId": waiting["id"],
                }
            },
        )
        assert state_of(events[-1]["statusUpdate"]) == "COMPLETED", events[-1]
    keys = calls.read_text().split()
    assert len(set(keys)) == 2  # two tasks, whatever was sent again went under its old key
