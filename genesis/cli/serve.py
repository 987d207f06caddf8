"""`genesis serve` and `genesis serve token`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from genesis.cli.common import SIGNALLED, cli_settings, fail, print_json
from genesis.errors import ConfigError, GenesisError, InputError
from infrastructure.clock import SystemClock
from infrastructure.config import Settings

_MISSING: Final = "install it with: pip install 'genesis-orchestrator[serve]'"
_SPAN: Final = re.compile(r"(\d{1,5})([hdw])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True, slots=True)
class ServeFlags:
    """What the command line gave to `genesis serve`; `logs_json` writes log lines as JSON."""

    host: str
    port: int
    grpc_port: int | None
    url: str
    a2a: bool
    mcp: bool
    a2a_test_mode: bool
    mcp_test_mode: bool
    grace_s: float
    workspace: str | None
    logs_json: bool


def serve_command(flags: ServeFlags) -> None:
    """Serve until told to end; 0 when everything came to rest."""
    from infrastructure.observability.logs import configure_logs

    try:
        _require("fastapi", "uvicorn")
        configure_logs(as_json=flags.logs_json)
        asyncio.run(_serve(flags))
    except GenesisError as error:
        fail(error, as_json=False)
    except asyncio.CancelledError:
        raise SystemExit(SIGNALLED + 15) from None


async def _serve(flags: ServeFlags) -> None:
    from genesis.server.auth import Callers
    from genesis.server.beside import BesideOptions
    from genesis.server.process import ServeOptions, serve

    settings = cli_settings(workspace=flags.workspace)
    callers = Callers.of_environment(
        SystemClock(), tokens_path(settings), settings.tenant, os.environ
    )
    beside = BesideOptions(
        a2a=flags.a2a,
        mcp=flags.mcp,
        grpc_port=flags.grpc_port,
        a2a_test_mode=flags.a2a_test_mode,
        mcp_test_mode=flags.mcp_test_mode,
        public_url=flags.url,
    )
    options = ServeOptions(flags.host, flags.port, flags.grace_s, beside)

    def listening(url: str) -> None:
        print(f"listening on {url}", flush=True)  # noqa: T201

    await serve(settings, callers, options, listening)


def token_command(
    name: str, tenant: str | None, expires: str | None, *, operator: bool, as_json: bool
) -> None:
    """Make a token, keep its hash, and print it: once, and nowhere else."""
    from genesis.server.tokens import make_token

    try:
        settings = cli_settings()
        path = tokens_path(settings)
        until = _until(expires)
        made = make_token(path, name, tenant or settings.tenant, expires=until, operator=operator)
    except GenesisError as error:
        fail(error, as_json=as_json)
    if as_json:
        about = made.entry.model_dump(mode="json", exclude={"sha256"})
        print_json({"token": made.token, **about, "tokens_file": str(path)})
        return
    print(made.token)  # noqa: T201
    print(  # noqa: T201
        f"the token of {name!r} for tenant {made.entry.tenant!r}; it is not shown again. "
        f"Its hash is in {path}",
        file=sys.stderr,
    )


def tokens_path(settings: Settings) -> Path:
    """Where the hashes of tokens are."""
    return settings.tokens_file or settings.data_dir / "tokens.yaml"


def _until(span: str | None) -> datetime | None:
    if span is None:
        return None
    match = _SPAN.fullmatch(span.strip())
    if match is None:
        raise InputError(f"--expires {span!r} is no span of time: use 12h, 90d or 26w")
    return datetime.now(UTC) + timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError("genesis serve", "", f"needs {', '.join(missing)}: {_MISSING}")
