"""What all commands share: the command line's settings, exit codes, errors as text or JSON."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import orjson

from infrastructure.config import Settings, load_settings
from infrastructure.errors import BudgetExceeded, ConfigError, GenesisError, InputError
from infrastructure.text import strip_control

FAILED: Final = 1
USAGE: Final = 2
OVER_BUDGET: Final = 3
WAITING: Final = 4
SIGNALLED: Final = 128  # and the signal's number: 130 for Ctrl-C

T = TypeVar("T")


def user_data_dir() -> Path:
    """The user's data folder, made when missing."""
    from platformdirs import user_data_path

    return user_data_path("genesis", appauthor=False)


def cli_settings(**overrides: Any) -> Settings:
    """The settings, with data in the user's data folder unless another place is set.

    Raises:
        ConfigError: a setting is wrong.
    """
    shipped, settings = Settings(), load_settings()
    if settings.data_dir == shipped.data_dir:
        overrides.setdefault("data_dir", user_data_dir())
    if settings.db_path == shipped.db_path:
        folder = overrides.get("data_dir", settings.data_dir)
        overrides.setdefault("db_path", str(Path(folder) / "genesis_memori.db"))
    return load_settings(**overrides)


def run_async(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run a command's work; errors end the process with the code and words that fit them."""
    received: list[int] = []
    try:
        return asyncio.run(_until_told_to_stop(work, received))
    except KeyboardInterrupt:
        received.append(signal.SIGINT)
    except asyncio.CancelledError:
        if not received:
            raise
    except GenesisError as error:
        fail(error, as_json=as_json)
    said = "interrupted; what was finished is stored"
    if as_json:
        print_json({"error": {"kind": "Interrupted", "message": said}})
    print(said, file=sys.stderr)  # noqa: T201
    raise SystemExit(SIGNALLED + received[0])


async def _until_told_to_stop(work: Coroutine[Any, Any, T], received: list[int]) -> T:
    """Do the work; SIGTERM and SIGHUP cancel it as Ctrl-C does, so that its processes end too."""
    task = asyncio.ensure_future(work)

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    for name in ("SIGTERM", "SIGHUP"):
        with contextlib.suppress(AttributeError, NotImplementedError):  # Windows has neither
            number = getattr(signal, name)
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
    return await task


def fail(error: GenesisError, *, as_json: bool) -> NoReturn:
    """Say what went wrong and leave with the exit code of its kind."""
    if as_json:
        print_json({"error": {"kind": type(error).__name__, "message": str(error)}})
    print(f"error: {strip_control(str(error))}", file=sys.stderr)  # noqa: T201
    raise SystemExit(exit_code(error)) from None


def exit_code(error: GenesisError) -> int:
    """2 for what the caller can mend at once, 3 for money, 1 for the rest."""
    if isinstance(error, InputError | ConfigError):
        return USAGE
    return OVER_BUDGET if isinstance(error, BudgetExceeded) else FAILED


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    print(text)  # noqa: T201
