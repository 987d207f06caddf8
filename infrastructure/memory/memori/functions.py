"""The few SQL functions of ours, for what SQLite's own JSON functions do not do exactly."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any, Final

from infrastructure.memory.memori import filter_match
from infrastructure.memory.memori.values import decode, encode, equal

# A filter asks for its operand once a row, so parsed ones are kept; long ones, which may hold much
# of what somebody wrote, are not.
_PARSED_OPERANDS: Final = 256
_SHORT: Final = 200


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    connection.create_function("memori_field", 2, field, deterministic=True)
    connection.create_function("memori_real", 1, real, deterministic=True)
    connection.create_function("memori_equal", 2, equals, deterministic=True)
    connection.create_function("memori_in", 2, is_in, deterministic=True)
    connection.create_function("memori_contains", 2, contains, deterministic=True)


def field(value: str, keys: str) -> str | None:
    """The JSON at a path of keys given as a JSON list; None when there is no such path.

    SQLite's paths cannot name a key with quotes, backslashes or control characters in it.
    """
    found = filter_match.field_of(decode(value), _operand(keys))
    return None if found is filter_match.MISSING else encode(found)


def real(text: str) -> float:
    """A JSON number as the nearest float; SQLite's own conversion may miss the last digit."""
    return float(text)


def equals(value: str | None, operand: str) -> bool:
    """Whether a field, as JSON, equals the operand, as JSON."""
    return value is not None and equal(decode(value), _operand(operand))


def is_in(value: str | None, operands: str) -> bool:
    """Whether a field equals one of a JSON list; a missing field counts as null."""
    return filter_match.is_in(None if value is None else decode(value), _operand(operands))


def contains(value: str | None, operand: str) -> bool:
    """Whether a list has an element equal to the operand, or a text has it as a part."""
    return value is not None and filter_match.contains(decode(value), _operand(operand))


def _operand(text: str) -> Any:
    return decode(text) if len(text) > _SHORT else _short_operand(text)


@lru_cache(maxsize=_PARSED_OPERANDS)
def _short_operand(text: str) -> Any:
    return decode(text)
