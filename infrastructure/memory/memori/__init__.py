"""The memory store: `MemoriStore` for LangGraph, on a `Memori`, on SQLite or PostgreSQL."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from infrastructure.memory.memori.checkpoints import MemoriSaver as MemoriSaver
    from infrastructure.memory.memori.engine import Memori as Memori
    from infrastructure.memory.memori.provenance import Provenance as Provenance
    from infrastructure.memory.memori.ranking import Ranking as Ranking
    from infrastructure.memory.memori.store import MemoriStore as MemoriStore

_HOMES: Final = {
    "Memori": "engine",
    "MemoriSaver": "checkpoints",
    "MemoriStore": "store",
    "Provenance": "provenance",
    "Ranking": "ranking",
}


def __getattr__(name: str) -> object:
    # On first use: the store needs LangGraph, which an open database does not.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
