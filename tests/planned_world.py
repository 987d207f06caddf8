"""Orchestrators whose plans a test declares itself, on a store and a workspace of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from genesis import GenesisOrchestrator
from infrastructure.config import load_flags, load_settings

_CONFIG = Path(__file__).parent.parent / "config"


def declare_plans(folder: Path, plans: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `plans` the declared plan templates until the test ends.

    Args:
        folder: of the test; takes the configuration and the workspace.
        plans: the text of `plan_templates.yaml`.
        monkeypatch: ends it.
    """
    config = folder / "config"
    if not config.exists():
        shutil.copytree(_CONFIG, config)
        (folder / "workspace").mkdir()
    (config / "plan_templates.yaml").write_text(plans)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(config))


def open_orchestrator(folder: Path, **settings: Any) -> GenesisOrchestrator:
    """An orchestrator without agents on the store, data and workspace in a folder.

    Args:
        folder: one that `declare_plans` was given.
        settings: those that differ.
    """
    places = {
        "workspace": folder / "workspace",
        "data_dir": folder / "data",
        "db_path": str(folder / "memory.db"),
    }
    chosen = load_settings({}, **{**places, **settings})
    return GenesisOrchestrator(settings=chosen, flags=load_flags({}), agents=[])
