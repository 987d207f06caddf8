"""MCP's official conformance kit: `genesis serve` with the fixtures it asks for, and our client.

Runs with PEERS=1 (`make slow`): npm installs the kit, and the Node that it needs, into `build/`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGES = ("@modelcontextprotocol/conformance@0.2.0-alpha.12", "node@22")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peers" / "mcp"
KIT = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance"
NODE = FOLDER / "node_modules" / "node" / "bin" / "node"
REVISIONS = ("2025-11-25", "2026-07-28")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("PEERS"), reason="PEERS is not set (make slow sets it)"),
]


@pytest.fixture(scope="module")
def kit() -> Path:
    """The kit's script, installed when missing."""
    script = KIT / "dist" / "index.js"
    if not (script.exists() and NODE.exists()):
        npm = shutil.which("npm")
        assert npm, "npm is not installed: `make slow` installs it"
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "package.json").write_text('{"private": true}')
        command = [npm, "install", "--no-audit", "--no-fund", *PACKAGES]
        subprocess.run(command, cwd=FOLDER, check=True, timeout=300)
    return script


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where a served memory is."""
    options = ("--port", "0", "--no-a2a", "--mcp-test-mode")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS_", "MEMORI_"))}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "genesis.cli.app", "serve", *options],
            cwd=tmp_path,
            env={
                **inherited,
                "PYTHONPATH": str(ROOT),
                "MEMORI_DB_PATH": str(tmp_path / "memory.db"),
                "GENESIS_DATA_DIR": str(tmp_path / "data"),
            },
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert server.stdout is not None
        told = server.stdout.readline()
        assert told.startswith("listening on "), (tmp_path / "log").read_text()
        yield f"{told.removeprefix('listening on ').strip()}/mcp"
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_scored_scenario_passes(kit: Path, url: str, revision: str, tmp_path: Path) -> None:
    required: dict[str, Any] = yaml.safe_load(
        (KIT / "requirements" / f"{revision}.yaml").read_text()
    )
    options = ("--url", url, "--requirements", revision, "--output-dir", str(tmp_path / "results"))
    done = subprocess.run(
        [NODE, kit, "server", *options], capture_output=True, text=True, timeout=500, check=False
    )
    output = done.stdout + done.stderr
    passed = {
        name
        for mark, name, checks, failed in re.findall(
            r"^(\S) (\S+): (\d+) passed, (\d+) failed", output, re.MULTILINE
        )
        if mark == "✓" and int(checks) > 0 and int(failed) == 0
    }
    scored = set(required["server"])
    print(f"{revision}: {len(scored & passed)} of {len(scored)} scored scenarios pass")  # noqa: T201
    assert scored, "the kit names no scored scenario"
    assert scored - passed == set(), output[-6_000:]
    assert done.returncode == 0, output[-6_000:]


# Those that need no OAuth server and no person to ask: our client has neither.
CLIENT_SCENARIOS = (
    "initialize",
    "tools_call",
    "sse-retry",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
)


@pytest.mark.parametrize("scenario", CLIENT_SCENARIOS)
def test_our_client_passes(kit: Path, scenario: str, tmp_path: Path) -> None:
    client = f"{sys.executable} {Path(__file__).with_name('mcp_kit_client.py')}"
    options = ("--command", client, "--scenario", scenario, "--output-dir", str(tmp_path))
    done = subprocess.run(
        [NODE, kit, "client", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    assert "PASSED" in done.stdout + done.stderr
