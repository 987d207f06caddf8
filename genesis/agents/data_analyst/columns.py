"""What is known of a table without looking at its rows: names, kinds and values of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

YES = frozenset(("yes", "y", "true", "t"))
_NO = frozenset(("no", "n", "false", "f"))
MAX_VALUES = 20_000
"""Distinct texts of a column that questions may name; a column with more is not searched."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column.

    Attributes:
        name: as in the file.
        kind: "number", "text", "date" or "boolean".
        missing: cells without a value.
        distinct: different values, missing ones apart.
        values: the different texts of a text column, sorted; empty beyond `MAX_VALUES`.
        first: earliest time of a date column.
        last: latest time of a date column.
        timed: whether a date column holds times of day.
        flag: whether the column says yes or no: as booleans, as the numbers 0 and 1, or as words.
    """

    name: str
    kind: str
    missing: int = 0
    distinct: int = 0
    values: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    timed: bool = False
    flag: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table: the file's name, how many rows, and its columns in order."""

    file: str
    rows: int
    columns: tuple[ColumnFacts, ...]

    def column(self, name: str) -> ColumnFacts:
        """The column of this exact name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def of_kind(self, *kinds: str) -> tuple[ColumnFacts, ...]:
        """The columns of these kinds, in order."""
        return tuple(column for column in self.columns if column.kind in kinds)

    def is_label(self, column: ColumnFacts) -> bool:
        """Whether a column's values tell its rows apart."""
        return column.missing == 0 and column.distinct == self.rows > 0


def says_yes_or_no(values: Iterable[str]) -> bool:
    """Whether texts are yes and no, in any of the usual words."""
    said = {value.strip().casefold() for value in values}
    return bool(said & YES) and bool(said & _NO) and said <= YES | _NO


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORDS = re.compile(r"[^\W_]+", re.UNICODE)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column name in lower case: "tempMax", "temp_max" and "Temp Max" agree."""
    return tuple(word.casefold() for word in _WORDS.findall(_CAMEL.sub(" ", name)))


def stem(word: str) -> str:
    """A word without its plural ending, for comparison only."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    if word.endswith("ie") and len(word) > 3:
        return word[:-2] + "y"  # as "movies" becomes
    return word
