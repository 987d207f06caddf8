"""`genesis memory forget`: what a source or a run caused leaves the store for good."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from genesis.cli.common import cli_settings, fail, print_json, run_async
from genesis.cli.console import console
from genesis.cli.runs import open_memory
from genesis.errors import InputError
from infrastructure.memory.memori.engine import shown_place
from infrastructure.memory.memori.forgetting import Forgotten
from infrastructure.text import counted


def forget_command(*, source: str | None, run_id: str | None, as_json: bool) -> None:
    """Forget what a source or a run caused, and print how much it was."""
    if (source is None) == (run_id is None):
        fail(
            InputError("say what to forget: --source agent:NAME, --source session:ID or --run RUN"),
            as_json=as_json,
        )

    async def work() -> Forgotten:
        _refuse_missing(cli_settings().db_path)
        async with open_memory() as memory:
            return await memory.forget(source=source, run_id=run_id)

    forgotten = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"forgotten": asdict(forgotten)})
        return
    told = f"{counted(forgotten.runs, 'run')} and {counted(forgotten.items, 'item')}"
    known = forgotten != Forgotten()
    console(soft_wrap=True).print(
        f"forgot {told} for good" if known else "nothing of it was known", markup=False
    )


def _refuse_missing(place: str) -> None:
    """Refuse a file that is not there: nothing could be forgotten in the one that would be made."""
    shown = shown_place(place)
    if "://" not in shown and not Path(shown).exists():
        raise InputError(
            f"there is no memory store at {shown}, so nothing was forgotten; correct "
            "MEMORI_DB_PATH, or `db_path` in the settings"
        )
