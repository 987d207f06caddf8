"""Which kind each column of text cells is, decided and converted in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genesis.agents.data_analyst import formats
from genesis.agents.data_analyst.columns import words_of
from genesis.agents.data_analyst.reader import RawTable

if TYPE_CHECKING:
    import duckdb

_MOSTLY = 0.8
"""Share of cells that must be numbers or dates for the other cells to count as missing."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """How one column is read: its kind, the SQL over the table `raw`, and the repair, if any."""

    name: str
    kind: str
    sql: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many present cells of a column fit each way of writing."""

    present: int
    words: int
    plain: int
    integer: int
    groups: int
    comma: int
    surely_comma: int
    dots: int
    dotted: int
    truths: int
    dates: int
    junk: int
    plus: int
    first_over_12: int
    second_over_12: int
    numeric_dates: int
    dotted_dates: int
    sentinels: int
    epoch: int
    epoch_ms: int
    offsets: int


def text_list(values: Sequence[str]) -> str:
    """SQL text literals of constants, separated by commas."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def infer_types(connection: duckdb.DuckDBPyConnection, raw: RawTable) -> list[ColumnType]:
    """The types of all columns of the table `raw` (columns c0, c1, ...)."""
    missing = formats.MISSING if raw.delimiter else ()
    counts = [_count(connection, f"c{i}", missing) for i in range(len(raw.names))]
    decimal_comma = any(
        c.surely_comma and c.comma >= c.present - c.words and c.groups < c.comma for c in counts
    )
    prefer_comma = decimal_comma or raw.delimiter == ";"
    types = [
        _decide(connection, name, f"c{i}", counts[i], missing, prefer_comma, decimal_comma)
        for i, name in enumerate(raw.names)
    ]
    words = _missing_words(connection, types, counts) if raw.delimiter else []
    return [
        _text(name, f"c{i}", counts[i], missing, words) if types[i].kind == "text" else types[i]
        for i, name in enumerate(raw.names)
    ]


def _missing_words(
    connection: duckdb.DuckDBPyConnection, types: Sequence[ColumnType], counts: Sequence[_Counts]
) -> list[str]:
    """The words that stand for no value in columns of numbers or dates."""
    found: set[str] = set()
    for i, (type_, count) in enumerate(zip(types, counts, strict=True)):
        if type_.kind in ("number", "date") and count.words:
            rows = connection.execute(
                f"SELECT DISTINCT lower(trim(c{i}, ' \t\r\n')) AS x FROM raw "  # noqa: S608 - constants only
                f"WHERE x IN ({text_list(formats.FILE_WIDE)})"
            ).fetchall()
            found.update(str(row[0]) for row in rows)
    return sorted(found)


def _text(
    name: str, column: str, c: _Counts, missing: Sequence[str], words: Sequence[str]
) -> ColumnType:
    x = f"trim({column}, ' \t\r\n')"
    sentinels = formats.SENTINEL_TEXTS if 0 < c.sentinels == c.plain else ()
    blank = text_list((*missing, *(formats.PLACEHOLDERS if not c.plus else ()), *sentinels))
    tests = [f"{x} IN ({blank})"] if blank else []
    tests += [f"lower({x}) IN ({text_list(words)})"] if words else []
    sql = f"CASE WHEN {' OR '.join(tests)} THEN NULL ELSE {column} END" if tests else column
    return ColumnType(name, "text", sql)


def _matches(text: str, pattern: str) -> str:
    escaped = pattern.replace("'", "''")
    return f"regexp_full_match({text}, '{escaped}')"


def _count(connection: duckdb.DuckDBPyConnection, column: str, missing: Sequence[str]) -> _Counts:
    blank = text_list((*missing, *formats.PLACEHOLDERS))
    words = text_list(formats.NOT_NUMBERS)
    x = "x"
    number = rf"regexp_extract({x}, '^([0-9]+)[/.-]([0-9]+)[/.-]', %d)"
    numeric_date = _matches(x, formats.NUMERIC_DATE + "([T ].*)?")
    parts = {
        "present": "true",
        "words": f"lower({x}) IN ({words})",
        "plain": _matches(x, formats.PLAIN),
        "integer": _matches(x, formats.INTEGER),
        "groups": _matches(x, formats.COMMA_GROUPS),
        "comma": _matches(x, formats.DECIMAL_COMMA),
        "surely_comma": _matches(x, formats.SURELY_DECIMAL_COMMA),
        "dots": _matches(x, formats.DOT_GROUPS),
        "dotted": f"contains({x}, '.')",
        "truths": f"lower({x}) IN ({text_list(formats.TRUTHS)})",
        "dates": _matches(x, formats.DATE),
        "junk": f"NOT {_matches(x, '.*[0-9].*')} AND lower({x}) NOT IN ({words})",
        "plus": f"{x} = '+'",
        "first_over_12": f"{numeric_date} AND TRY_CAST({number % 1} AS INTEGER) > 12",
        "second_over_12": f"{numeric_date} AND TRY_CAST({number % 2} AS INTEGER) > 12",
        "numeric_dates": numeric_date,
        "dotted_dates": f"{numeric_date} AND {_matches(x, '[0-9]+[.].*')}",
        "sentinels": f"{x} IN ({text_list(formats.SENTINEL_TEXTS)})",
        "epoch": f"{_matches(x, '[0-9]{9,10}')} AND {_between(x, 1)}",
        "epoch_ms": f"{_matches(x, '[0-9]{12,13}')} AND {_between(x, 1000)}",
    }
    selected = ", ".join(f"count(*) FILTER ({part})" for part in parts.values())
    selected += f", count(DISTINCT {_minutes(x)})"
    row = connection.execute(
        f"SELECT {selected} FROM (SELECT trim({column}, ' \t\r\n') AS x FROM raw "  # noqa: S608 - constants only
        f"WHERE {column} IS NOT NULL) WHERE x NOT IN ({blank})"
    ).fetchall()[0]
    return _Counts(*row)


def _between(x: str, factor: int) -> str:
    low, high = (moment * factor for moment in formats.EPOCH_SECONDS)
    return f"TRY_CAST({x} AS BIGINT) BETWEEN {low} AND {high}"


def _minutes(x: str) -> str:
    """SQL for how far the zone of a moment is ahead of Greenwich, in minutes; NULL without one."""
    sign = (
        rf"CASE WHEN regexp_matches({x}, ':[0-9.]+ ?-[0-9]{{2}}:?[0-9]{{2}}$') THEN -1 ELSE 1 END"
    )
    zone = ":[0-9.]+ ?[+-]([0-9]{2}):?([0-9]{2})$"
    hours, minutes = (f"TRY_CAST(regexp_extract({x}, '{zone}', {i}) AS INTEGER)" for i in (1, 2))
    greenwich = rf"regexp_matches({x}, ':[0-9.]+( ?Z| UTC| GMT)$')"
    return f"CASE WHEN {greenwich} THEN 0 ELSE ({sign}) * ({hours} * 60 + {minutes}) END"


def _epoch(name: str, x: str, c: _Counts) -> ColumnType | None:
    """Seconds or milliseconds since 1970, in a column whose name says that it holds moments."""
    wanted = c.present - c.words
    named = {*formats.MOMENT_WORDS} & {*words_of(name)}
    if not named or not wanted or wanted not in (c.epoch, c.epoch_ms):
        return None
    unit, factor = ("seconds", 1_000_000) if wanted == c.epoch else ("milliseconds", 1000)
    sql = f"make_timestamp(TRY_CAST({x} AS BIGINT) * {factor})"
    return ColumnType(name, "date", sql, f"{name} read as {unit} since 1970")


def _decide(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    column: str,
    c: _Counts,
    missing: Sequence[str],
    prefer_comma: bool,
    decimal_comma: bool,
) -> ColumnType:
    x = f"trim({column}, ' \t\r\n')"
    wanted = c.present - c.words
    if not c.present:
        return ColumnType(name, "number", "NULL::DOUBLE")
    if c.truths and c.truths == wanted:
        return ColumnType(name, "boolean", f"TRY_CAST(lower({x}) AS BOOLEAN)")
    if found := _epoch(name, x, c):
        return found
    if wanted and (found := _number(name, x, c, prefer_comma, decimal_comma)):
        return found
    if c.dates >= max(1, wanted * _MOSTLY) and (
        found := _date(connection, name, column, c, wanted)
    ):
        return found
    return _text(name, column, c, missing, ())


def _number(
    name: str, x: str, c: _Counts, prefer_comma: bool, decimal_comma: bool
) -> ColumnType | None:
    wanted = c.present - c.words

    def fits(number: int) -> bool:
        return number == wanted or (
            c.junk > 0 and number + c.junk == wanted and number >= wanted * _MOSTLY
        )

    skipped = _skipped(name, c)
    if fits(c.plain):
        if decimal_comma and c.dotted and fits(c.dots):
            sql = f"TRY_CAST(replace({x}, '.', '') AS BIGINT)"
            return ColumnType(
                name,
                "number",
                _only(x, formats.DOT_GROUPS, sql),
                _join(f"dots read as thousands separators in {name}", skipped),
            )
        kind = "BIGINT" if c.integer == c.plain else "DOUBLE"
        sql = _only(x, formats.PLAIN, f"TRY_CAST(ltrim({x}, '+') AS {kind})")
        return ColumnType(name, "number", sql, skipped)
    comma_fits, groups_fit = fits(c.comma), fits(c.groups)
    if comma_fits and (not groups_fit or prefer_comma or c.surely_comma):
        bare = f"regexp_replace({x}, '{formats.DOT_JUNK.replace(chr(39), chr(39) * 2)}', '', 'g')"
        sql = f"TRY_CAST(ltrim(replace({bare}, ',', '.'), '+') AS DOUBLE)"
        note = _join(f"decimal commas read in {name}", skipped)
        return ColumnType(name, "number", _only(x, formats.DECIMAL_COMMA, sql), note)
    if groups_fit:
        bare = f"regexp_replace({x}, '{formats.COMMA_JUNK}', '', 'g')"
        sql = f"TRY_CAST(ltrim({bare}, '+') AS DOUBLE)"
        note = _join(f"thousands separators or units dropped in {name}", skipped)
        return ColumnType(name, "number", _only(x, formats.COMMA_GROUPS, sql), note)
    return None


def _only(x: str, pattern: str, sql: str) -> str:
    return f"CASE WHEN {_matches(x, pattern)} THEN {sql} END"


def _skipped(name: str, c: _Counts) -> str:
    number = c.words + c.junk
    cells = "cell" if number == 1 else "cells"
    return f"{number} {cells} of {name} not numbers: read as missing" if number else ""


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _date(
    connection: duckdb.DuckDBPyConnection, name: str, column: str, c: _Counts, wanted: int
) -> ColumnType | None:
    """A date column; whether the day or the month comes first is what the column itself shows.

    Dates with dots that leave it open put the day first, as all who write them so do.
    """
    shown = c.first_over_12 > 0 or c.dotted_dates * 2 > c.numeric_dates
    day_first = shown and c.first_over_12 >= c.second_over_12
    x = f"trim({column}, ' \t\r\n')"
    sql = date_sql(x, day_first)
    if c.offsets > 1:
        sql = f"{sql} - to_minutes(coalesce({_minutes(x)}, 0))"
    parsed = int(connection.execute(f"SELECT count({sql}) FROM raw").fetchall()[0][0])  # noqa: S608 - constants only
    if parsed < wanted * _MOSTLY:
        return None
    notes: list[str] = []
    if c.offsets > 1:
        notes.append(f"times in {name} are of several zones: read as UTC")
    if c.numeric_dates:
        seen = c.first_over_12 + c.second_over_12
        order = "day before month" if day_first else "month before day"
        notes.append(f"dates in {name} read as {order}" + ("" if seen else " (an assumption)"))
        if c.numeric_dates < c.dates or (c.first_over_12 and c.second_over_12):
            notes.append(f"several date formats in {name}")
    if parsed < c.present:
        notes.append(f"{c.present - parsed} cells of {name} are not dates: read as missing")
    return ColumnType(name, "date", sql, "; ".join(notes))


def date_sql(x: str, day_first: bool) -> str:
    """SQL that turns a date in any of the known ways of writing into a TIMESTAMP, or NULL."""
    plain = rf"regexp_replace({x}, '( ?Z| UTC| GMT)$', '')"
    plain = rf"regexp_replace({plain}, '(:[0-9.]+) ?[+-][0-9]{{2}}:?[0-9]{{2}}$', '\1')"
    plain = rf"regexp_replace({plain}, '^([0-9]+)[/.-]([0-9]+)[/.-]([0-9]+)', '\1-\2-\3')"
    plain = rf"regexp_replace({plain}, '^([0-9]{{4}})[/.]([0-9]{{1,2}})$', '\1-\2')"
    plain = rf"regexp_replace({plain}, '([0-9])T([0-9])', '\1 \2')"
    plain = rf"regexp_replace({plain}, '([A-Za-z]{{3,9}})\.', '\1')"
    plain = rf"regexp_replace({plain}, '([A-Za-z0-9]),? +', '\1 ', 'g')"
    plain = rf"regexp_replace({plain}, '([A-Za-z]{{3}})[A-Za-z]*([ -])', '\1\2')"
    plain = rf"regexp_replace({plain}, '([0-9]) ?([AaPp][Mm])$', '\1 \2')"
    orders = ("%d-%m", "%m-%d") if day_first else ("%m-%d", "%d-%m")
    long = ["%Y-%m-%d", *(f"{order}-%Y" for order in orders)]
    named = ["%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%b %Y", "%b-%Y", "%Y-%m"]
    clocks = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
    four = [f"{day}{clock}" for day in (*long, *named) for clock in clocks]
    two = [f"{order}-%y{clock}" for order in orders for clock in clocks]
    short = _matches(x, r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2}([T ].*)?")
    return (
        f"CASE WHEN NOT {_matches(x, formats.DATE)} THEN NULL WHEN {short} "
        f"THEN try_strptime({plain}, [{text_list(two)}]) "
        f"ELSE try_strptime({plain}, [{text_list(four)}]) END"
    )
