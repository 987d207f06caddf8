"""docs/mcp.md is true, and whoever does not use MCP does not pay for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from genesis.server.mcp_handlers import memory_server
from genesis.server.mcp_models import MAX_METADATA_BYTES, MAX_RESULTS, MAX_TEXT
from genesis.server.mcp_tools import TOOLS
from infrastructure.callers import Caller
from infrastructure.memory.memori.engine import Memori

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mcp.md").read_text()


def run(code: str, folder: Path) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS_", "MEMORI_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pages_code_runs(tmp_path: Path) -> None:
    code = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    printed = run(code, tmp_path)
    assert printed.startswith("True []"), printed
    assert "The gate opens at nine." in printed


def test_the_page_names_every_tool_and_the_bounds() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", PAGE, re.MULTILINE))))
    assert named == set(TOOLS)
    for told in (
        f"{MAX_TEXT:,} characters; {MAX_METADATA_BYTES:,} bytes",
        f"| {MAX_RESULTS}, whose",
    ):
        assert told in PAGE


def test_neither_genesis_nor_its_agents_import_the_sdk(tmp_path: Path) -> None:
    code = (
        "import sys, genesis, genesis.agents.registry, genesis.cli.app;"
        "print([name for name in sys.modules if name.split('.')[0] in ('mcp', 'mcp_types')])"
    )
    assert run(code, tmp_path).strip() == "[]"


async def test_fixtures_are_there_in_test_mode_only() -> None:
    from mcp import Client

    memori = Memori.open(":memory:")
    try:
        for test_mode in (False, True):
            server = memory_server(memori, lambda: Caller("t", "n"), test_mode=test_mode)
            async with Client(server) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
            assert any(name.startswith("test_") for name in names | prompts) is test_mode
            assert set(TOOLS) <= names
    finally:
        await memori.aclose()
