"""What a read or a write sees of the database: one open transaction of one tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

SqlValue: TypeAlias = str | bytes | int | float | None
Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")


class Rows(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int:
        """Rows that an INSERT, UPDATE or DELETE touched; -1 for a SELECT."""
        ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Tx(Protocol):
    """One open transaction, bound to the tenant whose rows it may touch."""

    @property
    def tenant(self) -> str: ...

    def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> Rows:
        """Run one statement; values go into `params`, never into `sql`."""
        ...


Write: TypeAlias = Callable[[Tx], T]
"""A plain function of a transaction. It may run twice, so it has no effect but through its Tx."""
