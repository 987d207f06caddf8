"""In whose name a task writes, for stores that several share (see `sourced_store`)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from infrastructure.memory.memori.provenance import UNKNOWN, Provenance

_ORIGIN: Final[ContextVar[Provenance]] = ContextVar("genesis_origin", default=UNKNOWN)


@contextmanager
def writing_as(origin: Provenance) -> Generator[None]:
    """Mark what this task writes meanwhile."""
    token = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(token)


def current_origin() -> Provenance:
    """In whose name this task writes now."""
    return _ORIGIN.get()
