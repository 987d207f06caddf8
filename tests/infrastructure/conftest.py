"""Where the memory's tests keep their stores: one of each kind that Memori can be opened on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `Memori.open` takes, of a new and empty store."""
    return _place(request, tmp_path)


@pytest.fixture(params=["file", "postgres"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Like `place`, of a store that can be opened twice."""
    return _place(request, tmp_path)


def _place(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return ":memory:" if request.param == "memory" else str(folder / "new" / "genesis.db")
