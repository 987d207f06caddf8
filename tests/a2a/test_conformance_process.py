"""`genesis serve --a2a-test-mode` as the conformance kit meets it: a process, its card, ports."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import grpc.aio
import httpx
import pytest
from serving_wires import BINDINGS, Grpc, JsonRpc, Rest, Wire, message, send, state_of, streamed


@pytest.fixture
async def card(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """The card of a server of its own."""
    places = {
        "GENESIS_DATA_DIR": str(tmp_path / "data"),
        "MEMORI_DB_PATH": str(tmp_path / "genesis.db"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genesis.cli.app"),
        *("serve", "--a2a-test-mode", "--no-mcp", "--port", "0", "--grpc-port", "0"),
        *("--workspace", str(tmp_path)),
        env={**os.environ, **places},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        said = (await process.stdout.readline()).decode()
    url = said.split()[-1]
    async with httpx.AsyncClient() as http:
        yield (await http.get(url + "/.well-known/agent-card.json")).json()
    process.terminate()
    async with asyncio.timeout(30):
        assert await process.wait() == 0


@pytest.fixture
def hook() -> Iterator[tuple[str, Queue[tuple[str, dict[str, Any]]]]]:
    """A webhook of the standard library, on IPv4 alone, reached as localhost."""
    told: Queue[tuple[str, dict[str, Any]]] = Queue()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.put((self.headers["authorization"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
            """Say nothing."""

    server = HTTPServer(("0.0.0.0", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/hook", told
    server.shutdown()
    server.server_close()
    thread.join()


async def test_every_binding_that_the_card_names_answers(
    card: dict[str, Any], hook: tuple[str, Queue[tuple[str, dict[str, Any]]]]
) -> None:
    url, told = hook
    where = {way["protocolBinding"]: way["url"] for way in card["supportedInterfaces"]}
    assert set(where) == set(BINDINGS)
    assert card["signatures"]
    config = {"url": url, "authentication": {"scheme": "Bearer", "credentials": "cred"}}
    async with (
        httpx.AsyncClient(timeout=20) as http,
        # As the kit does it: no version among the metadata.
        grpc.aio.insecure_channel(where["GRPC"]) as channel,
    ):
        wires: list[Wire] = [
            JsonRpc(http, where["JSONRPC"]),
            Rest(http, where["HTTP+JSON"]),
            Grpc(channel, {"a2a-version": ""}),
        ]
        for wire in wires:
            # One id again and again, as the kit repeats its own.
            waiting = await send(
                wire, "tck-input-required", configuration={"taskPushNotificationConfig": config}
            )
            assert state_of(waiting) == "INPUT_REQUIRED"
            done = await send(wire, "tck-complete-task", taskId=waiting["id"])
            assert state_of(done) == "COMPLETED"
            authorization, event = await asyncio.to_thread(told.get, timeout=10)
            assert authorization == "Bearer cred"
            assert event["task"]["id"] == waiting["id"]
            asked = {"message": message("x", "tck-stream-003")}
            events = await streamed(wire, "SendStreamingMessage", asked)
            kinds = [next(iter(each)) for each in events]
            assert kinds == ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]
            await asyncio.to_thread(_quiet, told, done["id"])


def _quiet(told: Queue[tuple[str, dict[str, Any]]], task_id: str) -> None:
    """Take what is still told of a task, until its end was."""
    while True:
        _, event = told.get(timeout=10)
        if "COMPLETED" in json.dumps(event):
            assert task_id in json.dumps(event)
            return
