"""`genesis memory`: forget what a source or a run caused, prune the journals of old runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from genesis.cli.common import cli_settings, fail, print_json, run_async
from genesis.cli.console import console
from genesis.cli.runs import open_memory, since_time
from genesis.errors import InputError
from infrastructure.config import Settings
from infrastructure.memory.memori.engine import Memori, shown_place
from infrastructure.memory.memori.forgetting import Forgotten
from infrastructure.memory.memori.retention import Pruned, prune_journals
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


def prune_command(*, older_than: str | None, keep: int | None, vacuum: bool, as_json: bool) -> None:
    """Delete journals of runs that are over, by age or number, and print how much that was."""

    async def work() -> tuple[Pruned, int]:
        settings = cli_settings()
        _refuse_missing(settings.db_path)
        older_than_s = _age_s(older_than, keep, settings)
        memori = Memori.open(settings.db_path, tenant=settings.tenant)
        try:
            pruned = await prune_journals(memori, older_than_s=older_than_s, keep=keep)
            return pruned, await memori.vacuum() if vacuum else 0
        finally:
            await memori.aclose()

    pruned, given_back = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"pruned": asdict(pruned), "given_back_bytes": given_back})
        return
    told = f"pruned {counted(pruned.journals, 'journal')} of {pruned.bytes / 1e6:.1f} MB"
    if vacuum:
        told += f"; gave back {given_back / 1e6:.1f} MB"
    console(soft_wrap=True).print(told, markup=False)


def _age_s(older_than: str | None, keep: int | None, settings: Settings) -> float | None:
    """The age from which journals are pruned, in seconds; None where only their number counts."""
    if older_than is None:
        if keep is None and settings.keep_journals_days is None:
            raise InputError(
                "say which journals to prune: --older-than 30d, --keep 1000, or set "
                "keep_journals_days"
            )
        days = settings.keep_journals_days if keep is None else None
        return None if days is None else days * 86_400
    try:
        begun = since_time(older_than, 0.0)
    except InputError as error:
        raise InputError(str(error).replace("--since", "--older-than")) from None
    return None if begun is None else -begun


def _refuse_missing(place: str) -> None:
    """Refuse a file that is not there: nothing could be removed from the one that would be made."""
    shown = shown_place(place)
    if "://" not in shown and not Path(shown).exists():
        raise InputError(
            f"there is no memory store at {shown}, so nothing was removed; correct "
            "MEMORI_DB_PATH, or `db_path` in the settings"
        )
