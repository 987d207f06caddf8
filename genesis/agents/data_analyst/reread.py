"""A data file read a second time without SQL, so that figures can be proved by another path.

Only the splitting of bytes into cells is shared with `ingest`; kinds and values are decided here,
cell by cell, in plain Python. Of a Parquet file the database hands over the rows and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from genesis.agents.data_analyst import formats
from genesis.agents.data_analyst.columns import (
    MAX_VALUES,
    ColumnFacts,
    TableFacts,
    says_yes_or_no,
    words_of,
)
from genesis.agents.data_analyst.ingest import is_parquet, is_sentinel, load, read_raw
from genesis.agents.data_analyst.reader import RawTable, sha256_of
from genesis.agents.data_analyst.vocabulary import MONTHS

Value: TypeAlias = "str | int | float | bool | datetime | None"
_BLANKS = " \t\r\n"
_MOSTLY = 0.8


@dataclass(frozen=True, slots=True)
class Reread:
    """A file's table as columns of Python values.

    Attributes:
        facts: names, kinds and values, derived from `cells` alone.
        cells: the values of each column, by name, in the order of the rows.
        sha256: of the file's bytes.
    """

    facts: TableFacts
    cells: Mapping[str, Sequence[Value]]
    sha256: str


def reread(path: Path) -> Reread:
    """Read a data file again.

    Raises:
        InputError: it cannot be read as a table.
    """
    if is_parquet(path):
        kinds, cells, rows = _parquet(path)
    else:
        raw = read_raw(path)
        kinds, cells, rows = _typed(raw)
    columns = tuple(_facts(name, kinds[name], values) for name, values in cells.items())
    return Reread(TableFacts(path.name, rows, columns), cells, sha256_of(path))


def _parquet(path: Path) -> tuple[dict[str, str], dict[str, list[Value]], int]:
    table = load(path)
    try:
        rows = table.fetch("SELECT * FROM data")
    finally:
        table.close()
    names = [column.name for column in table.facts.columns]
    cells = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return {column.name: column.kind for column in table.facts.columns}, cells, len(rows)


def _typed(raw: RawTable) -> tuple[dict[str, str], dict[str, list[Value]], int]:
    missing = frozenset(formats.MISSING) if raw.delimiter else frozenset[str]()
    columns = [_Column(cells, missing) for cells in raw.columns]
    decimal_comma = any(column.surely_decimal_comma() for column in columns)
    kinds: dict[str, str] = {}
    typed: dict[str, list[Value]] = {}
    for name, column in zip(raw.names, columns, strict=True):
        kind, convert = column.decide(name, decimal_comma or raw.delimiter == ";", decimal_comma)
        kinds[name] = kind
        known = {text: convert(text) for text in column.counts}
        if kind == "text":
            typed[name] = [
                None if cell is None or known.get(cell.strip(_BLANKS)) is None else cell
                for cell in column.cells
            ]
        else:
            typed[name] = [
                None if cell is None else known.get(cell.strip(_BLANKS)) for cell in column.cells
            ]
        if kind == "number":
            for sentinels in (formats.SENTINELS, formats.HIGH_SENTINELS):
                typed[name] = _without_sentinels(typed[name], sentinels)
    words = {
        word
        for name, column in zip(raw.names, columns, strict=True)
        if raw.delimiter and kinds[name] in ("number", "date")
        for word in column.missing_words()
    }
    for name, column in zip(raw.names, columns, strict=True):
        if kinds[name] == "text":
            typed[name] = column.without(words, typed[name])
    return kinds, typed, raw.rows


class _Column:
    """The different cells of one column, how often each occurs, and what they can be read as."""

    def __init__(self, cells: Sequence[str | None], missing: frozenset[str]) -> None:
        self.cells = cells
        self._missing = missing
        self.counts = Counter(cell.strip(_BLANKS) for cell in cells if cell is not None)
        blank = missing | frozenset(formats.PLACEHOLDERS)
        self._present = {text: n for text, n in self.counts.items() if text not in blank}
        self._words = self._sum(lambda text: text.lower() in formats.NOT_NUMBERS)
        self._wanted = sum(self._present.values()) - self._words
        self._junk = self._sum(
            lambda text: not re.search("[0-9]", text) and text.lower() not in formats.NOT_NUMBERS
        )

    def _sum(self, test: Callable[[str], object]) -> int:
        return sum(n for text, n in self._present.items() if test(text))

    def _matching(self, pattern: str) -> int:
        compiled = re.compile(pattern, re.ASCII)
        return self._sum(compiled.fullmatch)

    def _fits(self, number: int) -> bool:
        with_junk = self._junk > 0 and number + self._junk == self._wanted
        return number == self._wanted or (with_junk and number >= self._wanted * _MOSTLY)

    def missing_words(self) -> set[str]:
        """The words among the cells that stand for no value in columns of numbers."""
        return {text.lower() for text in self._present} & {*formats.FILE_WIDE}

    def without(self, words: set[str], values: Sequence[Value]) -> list[Value]:
        """The values of a text column, None where a cell is one of `words` or a sentinel."""
        numbers = {text for text in self._present if re.fullmatch(formats.PLAIN, text, re.ASCII)}
        gone = numbers if numbers <= {*formats.SENTINEL_TEXTS} else set[str]()
        stripped = (None if cell is None else cell.strip(_BLANKS) for cell in self.cells)
        return [
            None if text is None or text.lower() in words or text in gone else value
            for text, value in zip(stripped, values, strict=True)
        ]

    def _epoch(self, name: str) -> Callable[[str], Value] | None:
        numbers = {text for text in self._present if text.lower() not in formats.NOT_NUMBERS}
        whole = numbers and all(re.fullmatch("[0-9]{9,13}", text, re.ASCII) for text in numbers)
        if not whole or not {*formats.MOMENT_WORDS} & {*words_of(name)}:
            return None
        low, high = formats.EPOCH_SECONDS
        for factor in (1, 1000):
            if all(low * factor <= int(text) <= high * factor for text in numbers):
                start, step = datetime(1970, 1, 1), timedelta(milliseconds=1000 // factor)
                return lambda text: start + int(text) * step if text in numbers else None
        return None

    def surely_decimal_comma(self) -> bool:
        """Whether the column can only be read with decimal commas."""
        comma = self._matching(formats.DECIMAL_COMMA)
        if not comma or comma < self._wanted:
            return False
        surely = self._matching(formats.SURELY_DECIMAL_COMMA)
        return surely > 0 and self._matching(formats.COMMA_GROUPS) < comma

    def decide(
        self, name: str, prefer_comma: bool, decimal_comma: bool
    ) -> tuple[str, Callable[[str], Value]]:
        """The column's kind, and how one stripped cell becomes a value."""
        if not self._present:
            return "number", lambda _: None
        truths = self._sum(lambda text: text.lower() in formats.TRUTHS)
        if truths and truths == self._wanted:
            return "boolean", lambda text: {"true": True, "false": False}.get(text.lower())
        if epoch := self._epoch(name):
            return "date", epoch
        if self._wanted and (number := self._number(prefer_comma, decimal_comma)):
            return "number", number
        if self._matching(formats.DATE) >= max(1, self._wanted * _MOSTLY):
            day_first = self._day_first()
            zones = {zone for text in self._present if (zone := zone_of(text)) is not None}
            dates = {text: date_of(text, day_first) for text in self._present}
            if len(zones) > 1:
                dates = {
                    text: moment and moment - (zone_of(text) or timedelta())
                    for text, moment in dates.items()
                }
            read = sum(n for text, n in self._present.items() if dates[text] is not None)
            if read >= self._wanted * _MOSTLY:
                return "date", dates.get
        plus = "+" in self._present
        blank = self._missing | (frozenset[str]() if plus else frozenset(formats.PLACEHOLDERS))
        return "text", lambda text: None if text in blank else text

    def _number(self, prefer_comma: bool, decimal_comma: bool) -> Callable[[str], Value] | None:
        plain = self._matching(formats.PLAIN)
        if self._fits(plain):
            dotted = self._sum(lambda text: "." in text)
            if decimal_comma and dotted and self._fits(self._matching(formats.DOT_GROUPS)):
                return _reader(formats.DOT_GROUPS, lambda text: int(text.replace(".", "")))
            whole = self._matching(formats.INTEGER) == plain
            return _reader(formats.PLAIN, int if whole else float)
        comma = self._fits(self._matching(formats.DECIMAL_COMMA))
        groups = self._fits(self._matching(formats.COMMA_GROUPS))
        surely = self._matching(formats.SURELY_DECIMAL_COMMA) > 0
        if comma and (not groups or prefer_comma or surely):
            return _reader(
                formats.DECIMAL_COMMA,
                lambda text: float(re.sub(formats.DOT_JUNK, "", text).replace(",", ".")),
            )
        if groups:
            return _reader(
                formats.COMMA_GROUPS, lambda text: float(re.sub(formats.COMMA_JUNK, "", text))
            )
        return None

    def _day_first(self) -> bool:
        first = second = dotted = 0
        for text, n in self._present.items():
            if re.fullmatch(formats.NUMERIC_DATE + "([T ].*)?", text, re.ASCII):
                parts = re.split("[/.-]", text)
                first += n * (int(parts[0]) > 12)
                second += n * (int(parts[1]) > 12)
                dotted += n if "." in text.split()[0] else -n
        return (first > 0 or dotted > 0) and first >= second


def _reader(pattern: str, convert: Callable[[str], Value]) -> Callable[[str], Value]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: convert(text) if compiled.fullmatch(text) else None


def _without_sentinels(values: list[Value], sentinels: Sequence[float]) -> list[Value]:
    numbers = [v for v in values if isinstance(v, int | float)]
    found = [v for v in numbers if v in sentinels]
    others = [v for v in numbers if v not in sentinels]
    if not found or len(found) > len(others):
        return values
    if not is_sentinel(min(found), min(others), max(others), len(found)):
        return values
    return [None if v in sentinels else v for v in values]


_CLOCK = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(?: ?([AaPp])[Mm])?"
    r"(?: ?Z| ?[+-]\d{2}:?\d{2}| UTC| GMT)?",
    re.ASCII,
)
_DAY = re.compile(
    r"(?P<y>\d{4})[/.-](?P<m>\d{1,2})(?:[/.-](?P<d>\d{1,2}))?"
    r"|(?P<a>\d{1,2})[/.-](?P<b>\d{1,2})[/.-](?P<z>\d{4}|\d{2})"
    r"|(?P<n1>[A-Za-z]{3,9})\.? (?P<d1>\d{1,2}),? (?P<y1>\d{4})"
    r"|(?P<d2>\d{1,2})[ -](?P<n2>[A-Za-z]{3,9})\.?[ ,-]+(?P<y2>\d{4})"
    r"|(?P<n3>[A-Za-z]{3,9})\.?[ -](?P<y3>\d{4})",
    re.ASCII,
)


_ZONE = re.compile(r":[\d.]+ ?(?:(Z|UTC|GMT)|([+-])(\d{2}):?(\d{2}))$", re.ASCII)


def zone_of(text: str) -> timedelta | None:
    """How far the zone written after a time is ahead of Greenwich, or None without one."""
    found = _ZONE.search(text)
    if found is None:
        return None
    ahead = timedelta(hours=int(found[3] or 0), minutes=int(found[4] or 0))
    return -ahead if found[2] == "-" else ahead


def date_of(text: str, day_first: bool) -> datetime | None:
    """A moment written in any of the known ways, or None."""
    if not re.fullmatch(formats.DATE, text, re.ASCII):
        return None
    found = _DAY.match(text)
    if found is None:
        return None
    for year, month, day in _days(found.groupdict(), day_first):
        try:
            moment = datetime(year, month, day)
        except ValueError:
            continue
        return _at_clock(moment, text[found.end() :].lstrip(" T"))
    return None


def _days(part: Mapping[str, str | None], day_first: bool) -> list[tuple[int, int, int]]:
    """Year, month and day as they may be meant, the likeliest first."""
    if year := part["y"]:
        return [(int(year), int(part["m"] or 0), int(part["d"] or 1))]
    if year := part["z"]:
        full = int(year) if len(year) == 4 else int(year) + (1900 if int(year) > 68 else 2000)
        a, b = int(part["a"] or 0), int(part["b"] or 0)
        orders = [(full, a, b), (full, b, a)]
        return orders[::-1] if day_first else orders
    for which in ("1", "2", "3"):
        if year := part["y" + which]:
            name = (part["n" + which] or "").lower()[:3]
            month = next((i for i, m in enumerate(MONTHS, 1) if m[:3] == name), 0)
            return [(int(year), month, int(part.get("d" + which) or 1))]
    return []


def _at_clock(day: datetime, text: str) -> datetime | None:
    if not text:
        return day
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour, minute, second = (int(found[i] or 0) for i in (1, 2, 3))
    if half := found[5]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    try:
        return day.replace(
            hour=hour,
            minute=minute,
            second=second,
            microsecond=int((found[4] or "0").ljust(6, "0")[:6]),
        )
    except ValueError:
        return None


def _facts(name: str, kind: str, values: Sequence[Value]) -> ColumnFacts:
    present = [value for value in values if value is not None]
    different = set(present)
    missing = len(values) - len(present)
    if kind == "text" and len(different) <= MAX_VALUES:
        texts = tuple(sorted(str(value) for value in different))
        return ColumnFacts(name, kind, missing, len(different), texts, flag=says_yes_or_no(texts))
    if kind == "date":
        moments = [value for value in different if isinstance(value, datetime)]
        timed = any(value.time() != value.min.time() for value in moments)
        first, last = min(moments, default=None), max(moments, default=None)
        return ColumnFacts(name, kind, missing, len(different), (), first, last, timed)
    flag = kind == "boolean" or (len(different) == 2 and different == {0, 1})
    return ColumnFacts(name, kind, missing, len(different), flag=flag and kind != "text")
