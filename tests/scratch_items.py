"""Tables of items in real databases, for what is written in SQL for each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol, cast

import psycopg

from infrastructure.memory.memori.dialect import Dialect
from infrastructure.memory.memori.functions import register
from infrastructure.memory.memori.sql import Sql
from infrastructure.memory.memori.values import encode

_COLUMNS = "(id bigint, key text, value text, created_at bigint, updated_at bigint)"


@dataclass(frozen=True)
class ScratchItem:
    """An item as the databases order and filter it."""

    id: int
    value: Any
    key: str = ""
    created_at: int = 0
    updated_at: int = 0


class ScratchItems(Protocol):
    """A table of items in one database."""

    dialect: Dialect

    def fill(self, items: Sequence[ScratchItem]) -> None:
        """Have these items and no others."""
        ...

    def ids(self, tail: Sql) -> list[int]:
        """The ids of a query that ends so."""
        ...

    def plan(self, tail: Sql) -> str:
        """How PostgreSQL runs a query that ends so."""
        ...


class _Scratch:
    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.dialect: Dialect = dialect
        self._connection = connection
        self._run("CREATE TABLE items " + _COLUMNS)

    def fill(self, items: Sequence[ScratchItem]) -> None:
        self._run("DELETE FROM items")
        for item in items:
            self._run(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                (item.id, item.key, encode(item.value), item.created_at, item.updated_at),
            )

    def ids(self, tail: Sql) -> list[int]:
        rows = self._run("SELECT items.id FROM items " + tail.text, tail.params)
        return [item_id for (item_id,) in rows.fetchall()]

    def plan(self, tail: Sql) -> str:
        rows = self._run("EXPLAIN SELECT items.id FROM items " + tail.text, tail.params)
        return "\n".join(line for (line,) in rows.fetchall())

    def _run(self, sql: str, params: Sequence[Any] = ()) -> Any:
        if self.dialect == "postgres":
            sql = cast("LiteralString", sql.replace("%", "%%").replace("?", "%s"))
        return self._connection.execute(sql, params)


@contextmanager
def sqlite_items() -> Generator[ScratchItems]:
    """A table in an SQLite database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    register(connection)
    yield _Scratch(connection, "sqlite")
    connection.close()


@contextmanager
def postgres_items(url: str) -> Generator[ScratchItems]:
    """A table in a PostgreSQL database, in a transaction that is rolled back."""
    with psycopg.connect(url) as connection:
        yield _Scratch(connection, "postgres")
        connection.rollback()
