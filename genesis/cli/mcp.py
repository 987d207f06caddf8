"""`genesis mcp`: the memory as an MCP server over stdin and stdout, started by an MCP client."""

from __future__ import annotations

import importlib.util
import logging
import sys

from genesis.cli.common import cli_settings, fail, run_async
from genesis.errors import InputError
from infrastructure.callers import Caller

_INSTALL = (
    "`genesis mcp` needs the MCP SDK: pip install 'genesis-orchestrator[mcp]', then start it again"
)
_WAITING = (
    "the memory is served over MCP on stdin and stdout: an MCP client is meant to start this "
    "command; Ctrl-C ends it"
)


def mcp_command(*, name: str, tenant: str | None, test_mode: bool) -> None:
    """Serve until the client closes stdin; stdout carries the protocol and nothing else."""
    if importlib.util.find_spec("mcp") is None:
        fail(InputError(_INSTALL), as_json=False)
    if not name.strip():
        fail(InputError("--name must not be empty"), as_json=False)
    if sys.stdin.isatty():
        print(_WAITING, file=sys.stderr)  # noqa: T201
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

    async def work() -> None:
        from genesis.server.mcp_stdio import serve_stdio
        from infrastructure.embeddings.builtin import BuiltinEmbedder
        from infrastructure.memory.memori.engine import Memori

        settings = cli_settings()
        memori = Memori.open(settings.db_path, tenant=tenant or settings.tenant)
        try:
            caller = Caller(tenant or settings.tenant, name.strip())
            await serve_stdio(memori, caller, embedder=BuiltinEmbedder(), test_mode=test_mode)
        finally:
            await memori.aclose()

    run_async(work(), as_json=False)
