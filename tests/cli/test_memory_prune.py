"""`genesis memory prune` as a user runs it, on a store with old and new runs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from infrastructure.memory.finished_run import FinishedRun
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

DAYS: Final = (1, 40, 50)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with runs that ended so many days ago."""
    place = tmp_path / "memory.db"

    async def fill() -> None:
        memory = WorkflowMemory(Memori.open(place))
        for day in DAYS:
            await memory.finish(
                FinishedRun(
                    run_id=f"day-{day}",
                    session_id="s",
                    request="run the tests",
                    task_type="testing",
                    success=True,
                    steps=("testing:tester:",),
                    duration_s=1.0,
                    cost_usd=0.0,
                    finished_at=time.time() - day * 86_400,
                )
            )
        await memory.aclose()

    asyncio.run(fill())
    return place


def prune(store: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GENESIS")}
    return subprocess.run(
        [sys.executable, "-m", "genesis.cli.app", "memory", "prune", *arguments],
        env={**own, "MEMORI_DB_PATH": str(store), **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_old_journals_are_pruned_and_the_file_may_shrink(store: Path) -> None:
    done = prune(store, "--older-than", "30d", "--vacuum", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pruned"]["journals"] == 2
    assert told["given_back_bytes"] >= 0
    again = prune(store, "--keep", "0")
    assert again.stdout.startswith("pruned 1 journal ")


def test_the_setting_says_how_long_journals_are_kept(store: Path) -> None:
    nothing = prune(store)
    assert nothing.returncode == 2
    assert "keep_journals_days" in nothing.stderr
    done = prune(store, "--json", GENESIS_KEEP_JOURNALS_DAYS="45")
    assert json.loads(done.stdout)["pruned"]["journals"] == 1


def test_what_is_no_age_or_no_store_is_told(store: Path) -> None:
    wrong = prune(store, "--older-than", "a month")
    assert wrong.returncode == 2
    assert "--older-than 'a month'" in wrong.stderr
    missing = prune(store.with_name("memroy.db"), "--older-than", "30d")
    assert missing.returncode == 2
    assert "memroy.db" in missing.stderr
    assert not store.with_name("memroy.db").exists()
