"""The JavaScript SDK's client and a server of ours: an implementation that shares no code.

Runs with PEERS=1 (`make slow`): npm installs the SDK into `build/`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from loopback import Serve
from serving_world import Worlds

from genesis.server.test_mode import TestModeAgent
from infrastructure.a2a.serving import A2AServer, CardSigner
from infrastructure.callers import Caller

pytestmark = [
    pytest.mark.peers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("PEERS"), reason="PEERS is not set (make slow sets it)"),
]

PROJECT = Path(__file__).parent / "a2a_js"
FOLDER = Path(__file__).parents[2] / "build" / "peers" / "a2a-js"
COMPLETED, CANCELED, INPUT_REQUIRED = 3, 5, 6


@pytest.fixture(scope="module")
def installed() -> Path:
    """The SDK in a folder of its own, installed once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "client.mjs"):
        shutil.copy(PROJECT / name, FOLDER / name)
    return FOLDER


async def _seen(folder: Path, *arguments: str) -> dict[str, Any]:
    if not (folder / "node_modules" / "@a2a-js").exists():
        npm = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
        install = await asyncio.create_subprocess_exec(*npm, cwd=folder)
        assert await install.wait() == 0
    process = await asyncio.create_subprocess_exec(
        "node", "client.mjs", *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)


def _authenticate(token: str | None) -> Caller | None:
    return Caller("acme", "js") if token == "t0ken" else None


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_its_client_works_with_our_server(
    serve: Serve, installed: Path, binding: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    worlds = Worlds(serve)
    world = await worlds(
        lambda url, address: A2AServer(
            TestModeAgent(),
            url=url,
            grpc_url=address,
            authenticate=_authenticate,
            signer=CardSigner(pem),
        )
    )
    try:
        seen = await _seen(installed, world.url, binding, "t0ken")
    finally:
        await worlds.aclose()
    assert seen == {
        "signed": "yes",
        "sent": [COMPLETED, {"$case": "text", "value": "Generated text content"}],
        "again": True,
        "message": {"$case": "text", "value": "Direct message response"},
        "streamed": ["task", "statusUpdate", "artifactUpdate", "statusUpdate"],
        "waiting": INPUT_REQUIRED,
        "gone_on": COMPLETED,
        "heard": ["task", "statusUpdate"],
        "got": COMPLETED,
        "listed": 2,
        "canceled": CANCELED,
        "errors": ["TaskNotFoundError", "TaskNotCancelableError"],
        "push": ["js"],
    }
