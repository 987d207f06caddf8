"""`genesis mcp`: a real process that speaks MCP on stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import orjson
import pytest
from mcp import Client, StdioServerParameters

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

COMMAND = [sys.executable, "-m", "genesis.cli.app", "mcp"]
ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MEMORI_DB_PATH": str(folder / "memory.db"),
        "GENESIS_TENANT": "acme",
        "PYTHONPATH": str(ROOT),
    }


@asynccontextmanager
async def connected(folder: Path, *options: str) -> AsyncGenerator[Client]:
    server = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], *options], env=environment(folder), cwd=folder
    )
    async with Client(server) as client:
        yield client


async def test_the_configured_tenants_memory_is_served(tmp_path: Path) -> None:
    async with connected(tmp_path, "--name", "desk") as client:
        assert client.server_info is not None
        assert client.server_info.name == "genesis-memory"
        result = await client.call_tool("add", {"text": "Tea at four.", "key": "tea"})
        assert not result.is_error, result.content
        results = await asyncio.gather(
            *(client.call_tool("add", {"text": f"note {n}", "key": str(n)}) for n in range(20))
        )
        assert not any(each.is_error for each in results)
    memori = Memori.open(str(tmp_path / "memory.db"), tenant="acme")
    try:
        item = await MemoriStore(memori).aget(("notes",), "tea")
        assert item is not None
        assert item.value["text"] == "Tea at four."
        assert item.provenance.source == "mcp:desk"
        assert len(await MemoriStore(memori).asearch((), limit=100)) == 21
    finally:
        await memori.aclose()


class Raw:
    """The server by its bare lines, to be killed at any moment."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.number = 0
        capabilities = {"capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        self.ask("initialize", {"protocolVersion": "2025-11-25", **capabilities})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A request's answer."""
        self.number += 1
        self._send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        return self.read()

    def read(self) -> dict[str, Any]:
        return orjson.loads(_pipe(self.process.stdout).readline())

    def write(self, line: bytes) -> None:
        stdin = _pipe(self.process.stdin)
        stdin.write(line + b"\n")
        stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                _pipe(pipe).close()

    def _send(self, message: dict[str, Any]) -> None:
        self.write(orjson.dumps(message))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    for round_ in range(2):
        server = Raw(tmp_path)
        for number in range(5 + round_):
            text = f"round {round_} note {number}"
            answer = server.ask("tools/call", {"name": "add", "arguments": {"text": text}})
            acknowledged[answer["result"]["structuredContent"]["key"]] = text
        server.kill()
    memori = Memori.open(str(tmp_path / "memory.db"), tenant="acme")
    try:
        found = await MemoriStore(memori).asearch(("notes",), limit=100)
        assert {item.key: item.value["text"] for item in found} == acknowledged
    finally:
        await memori.aclose()


def test_garbage_on_stdin_ends_nothing(tmp_path: Path) -> None:
    server = Raw(tmp_path)
    for line in (b"{", b"\xff\xfe", b"[]", b'{"jsonrpc": "2.0", "id": 7}', b"x" * 9_000_000):
        server.write(line)
    lists = [server.ask("tools/list", {})]
    while "result" not in lists[-1]:  # what is garbage may be answered by an error first
        lists.append(server.read())
    assert {tool["name"] for tool in lists[-1]["result"]["tools"]} >= {"add", "retrieve"}
    server.kill()


def test_the_end_of_stdin_ends_the_server(tmp_path: Path) -> None:
    server = Raw(tmp_path)
    _, errors = server.process.communicate(timeout=20)
    assert server.process.returncode == 0, errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_while_the_client_is_silent(
    tmp_path: Path, number: signal.Signals
) -> None:
    server = Raw(tmp_path)
    server.ask("tools/call", {"name": "add", "arguments": {"text": "x", "key": "k"}})
    server.process.send_signal(number)
    assert server.process.wait(timeout=20) == 128 + number
    server.process.communicate()


def test_a_client_that_is_gone_ends_the_server_quietly(tmp_path: Path) -> None:
    server = Raw(tmp_path)
    _pipe(server.process.stdout).close()
    server.write(b'{"jsonrpc": "2.0", "id": 9, "method": "tools/list"}')
    assert server.process.wait(timeout=20) == 0
    assert b"Traceback" not in _pipe(server.process.stderr).read()
    server.close()


def test_requests_may_come_from_a_file(tmp_path: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "file", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    (tmp_path / "requests").write_bytes(orjson.dumps(request) + b"\n")
    with (tmp_path / "requests").open("rb") as file:
        done = subprocess.run(
            COMMAND,
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=file,
            capture_output=True,
            timeout=30,
            check=True,
        )
    assert b'"add"' in done.stdout


def test_a_store_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"this is no database" * 1_000)
    server = Raw(tmp_path)
    answer = server.ask("tools/call", {"name": "add", "arguments": {"text": "x"}})
    assert answer["result"]["isError"]
    assert "memory.db" in answer["result"]["content"][0]["text"]
    server.kill()
