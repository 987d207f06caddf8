"""MCP's official conformance kit against the memory as it is served, its fixtures added.

Runs with PEERS=1 (`make slow`): npm installs the kit, and the Node that it needs, into `build/`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_serving import served

from infrastructure.memory.memori.engine import Memori

PACKAGES = ("@modelcontextprotocol/conformance@0.2.0-alpha.12", "node@22")
FOLDER = Path(__file__).parents[2] / "build" / "peers" / "mcp"
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


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_scored_scenario_passes(kit: Path, revision: str, tmp_path: Path) -> None:
    required: dict[str, Any] = yaml.safe_load(
        (KIT / "requirements" / f"{revision}.yaml").read_text()
    )
    memori = Memori.open(":memory:")
    try:
        async with served(memori, test_mode=True) as url:
            process = await asyncio.create_subprocess_exec(
                NODE,
                kit,
                *("server", "--url", url, "--requirements", revision),
                *("--output-dir", str(tmp_path)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output = (await process.communicate())[0].decode()
    finally:
        await memori.aclose()
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
    assert process.returncode == 0, output[-6_000:]
