"""Pieces of SQL: their text is made of constants, and whatever comes in is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from infrastructure.memory.memori.dialect import SqlValue


class Sql(NamedTuple):
    """A piece of SQL and the parameters that its question marks take."""

    text: str
    params: tuple[SqlValue, ...] = ()


@lru_cache(maxsize=1024)
def marks(rows: int, columns: int) -> str:
    """The question marks of so many rows after VALUES."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def join(separator: str, parts: Sequence[Sql]) -> Sql:
    """The pieces in a row."""
    return Sql(
        separator.join(part.text for part in parts),
        tuple(param for part in parts for param in part.params),
    )


def fill(template: str, *parts: Sql) -> Sql:
    """A constant template whose `{}` take the pieces in turn."""
    return Sql(
        template.format(*(part.text for part in parts)),
        tuple(param for part in parts for param in part.params),
    )
