"""Any messy data file into a DuckDB table with typed columns; every repair becomes a note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from genesis.agents.data_analyst.columns import (
    MAX_VALUES,
    ColumnFacts,
    TableFacts,
    says_yes_or_no,
)
from genesis.agents.data_analyst.infer import ColumnType, infer_types
from genesis.agents.data_analyst.reader import (
    RawTable,
    decode,
    read_bytes,
    read_delimited,
    sha256_of,
)
from genesis.agents.data_analyst.records import looks_like_json, read_json
from infrastructure.errors import InputError, WorkspaceError

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Table:
    """A file as the table `data` of an in-memory database that can reach no other file.

    Attributes:
        facts: names, kinds and values of the columns.
        sha256: of the file's bytes.
        notes: what was repaired while reading.
        connection: close it after use.
    """

    facts: TableFacts
    sha256: str
    notes: tuple[str, ...]
    connection: duckdb.DuckDBPyConnection = field(repr=False)

    def fetch(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query; the values of `parameters` stand for its question marks."""
        return self.connection.execute(sql, list(parameters)).fetchall()

    def close(self) -> None:
        """Free the memory."""
        self.connection.close()


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def dataset_path(dataset: object, *folders: Path) -> Path:
    """The data file as a resolved path inside one of `folders`.

    Raises:
        WorkspaceError: it is outside of them, missing, or no file.
        InputError: no path was given.
    """
    if not isinstance(dataset, str) or not dataset.strip() or "\0" in dataset:
        raise InputError("no data file was given; name one in the request or pass `dataset`")
    try:
        path = (folders[0] / dataset).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in folders):
            raise WorkspaceError(f"{path.name} lies outside the workspace; copy it there first")
        if not path.exists():
            raise WorkspaceError(f"{path.name} does not exist in {path.parent}; check the name")
        if not path.is_file():
            raise WorkspaceError(f"{path.name} is a folder; name one data file in it")
    except OSError as error:
        raise WorkspaceError(f"{dataset[:200]!r} cannot be read: {error}") from error
    return path


def is_parquet(path: Path) -> bool:
    """Whether a file says it is Parquet, by its first bytes or its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")


def read_raw(path: Path) -> RawTable:
    """The cells of a CSV-like or JSON file as text.

    Raises:
        InputError: see `read_bytes`, `decode`, `read_delimited` and `read_json`.
    """
    data = read_bytes(path)
    text, encoding = decode(data, path.name)
    if looks_like_json(text, path.name):
        return read_json(text, path.name)
    return read_delimited(text, encoding, path.name)


def load(path: Path) -> Table:
    """Read a data file into memory.

    Raises:
        InputError: the file cannot be read as a table; the message says why and what to do.
    """
    import duckdb

    sha256 = _fingerprint(path)
    connection = duckdb.connect(":memory:")
    try:
        if is_parquet(path):
            notes = _load_parquet(connection, path)
        else:
            notes = _load_text(connection, read_raw(path))
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        facts = _facts(connection, path.name)
    except BaseException:  # whatever it was, the connection must not stay open
        connection.close()
        raise
    return Table(facts, sha256, notes, connection)


def _fingerprint(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty; give a file with a header and rows")
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error}; check the file") from error


def _load_text(connection: duckdb.DuckDBPyConnection, raw: RawTable) -> tuple[str, ...]:
    if not raw.names:
        raise InputError("the file holds no columns; give a file with a header and rows")
    arrays = {
        f"c{i}": np.array(cells, dtype=object) if cells else np.array([], dtype=object)
        for i, cells in enumerate(raw.columns)
    }
    cells_as_text = ", ".join(f"c{i}::VARCHAR AS c{i}" for i in range(len(raw.names)))
    if raw.rows:
        connection.register("arrays", cast("Any", arrays))  # the stub knows only data frames
        connection.execute(f"CREATE TABLE raw AS SELECT {cells_as_text} FROM arrays")  # noqa: S608 - names made here
        connection.unregister("arrays")
    else:
        empty = ", ".join(f"c{i} VARCHAR" for i in range(len(raw.names)))
        connection.execute(f"CREATE TABLE raw ({empty})")
    types = infer_types(connection, raw)
    typed = ", ".join(f"{t.sql} AS {quoted(t.name)}" for t in types)
    connection.execute(f"CREATE TABLE data AS SELECT {typed} FROM raw")  # noqa: S608 - quoted identifiers
    connection.execute("DROP TABLE raw")
    sentinels = _clear_sentinels(connection, types)
    return (*raw.notes, *(t.note for t in types if t.note), *sentinels)


def _clear_sentinels(
    connection: duckdb.DuckDBPyConnection, types: Sequence[ColumnType]
) -> list[str]:
    from genesis.agents.data_analyst.formats import HIGH_SENTINELS, SENTINELS

    notes: list[str] = []
    numbers = [column for column in types if column.kind == "number"]
    for column, sentinels in product(numbers, (SENTINELS, HIGH_SENTINELS)):
        listed = ", ".join(str(number) for number in sentinels)
        name = quoted(column.name)
        given, other = f"{name} IN ({listed})", f"{name} NOT IN ({listed})"
        used, count, low, high, others = connection.execute(
            f"SELECT min({name}) FILTER ({given}), count(*) FILTER ({given}), "  # noqa: S608 - a quoted identifier and constants
            f"min({name}) FILTER ({other}), max({name}) FILTER ({other}), "
            f"count(*) FILTER ({other}) FROM data"
        ).fetchall()[0]
        if not count or count > others or not is_sentinel(used, low, high, count):
            continue
        connection.execute(f"UPDATE data SET {name} = NULL WHERE {name} IN ({listed})")  # noqa: S608 - as above
        notes.append(f"{count} cells of {column.name} hold the sentinel {used:g}: read as missing")
    return notes


def is_sentinel(value: float, low: float, high: float, times: int) -> bool:
    """Whether a number such as -999 is plainly a placeholder beside others in [low, high]."""
    if value > 0:
        return times > 1 and high <= value / 10 and low >= -value / 10
    return low >= 0 or (low > value / 5 and high < abs(value) / 2)


def _load_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    import duckdb

    try:
        connection.execute("CREATE TABLE raw AS SELECT * FROM read_parquet(?)", [str(path)])
    except duckdb.Error as error:
        raise InputError(
            f"{path.name} is not a readable Parquet file: {str(error).splitlines()[0]}; "
            "write it again"
        ) from error
    notes: list[str] = []
    while _flatten_structs(connection):
        notes = ["nested objects read as columns with dotted names"]
    described = connection.execute("DESCRIBE raw").fetchall()
    typed = ", ".join(_parquet_column(str(row[0]), str(row[1])) for row in described)
    connection.execute(f"CREATE TABLE data AS SELECT {typed} FROM raw")  # noqa: S608 - quoted identifiers
    connection.execute("DROP TABLE raw")
    return tuple(notes)


def _flatten_structs(connection: duckdb.DuckDBPyConnection) -> bool:
    described = connection.execute("DESCRIBE raw").fetchall()
    if not any(str(row[1]).startswith("STRUCT") and str(row[1]).endswith(")") for row in described):
        return False
    parts: list[str] = []
    for row in described:
        name, kind = str(row[0]), str(row[1])
        if not (kind.startswith("STRUCT") and kind.endswith(")")):
            parts.append(quoted(name))
            continue
        found = connection.execute(
            f"SELECT json_keys(to_json({quoted(name)})) FROM raw "  # noqa: S608 - a quoted identifier
            f"WHERE {quoted(name)} IS NOT NULL LIMIT 1"
        ).fetchall()
        keys = cast("list[str]", found[0][0]) if found else []
        parts += [f"{quoted(name)}.{quoted(key)} AS {quoted(f'{name}.{key}')}" for key in keys]
    connection.execute(f"CREATE OR REPLACE TABLE raw AS SELECT {', '.join(parts)} FROM raw")  # noqa: S608 - quoted identifiers
    return True


def _parquet_column(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "BOOLEAN":
        return column
    if kind.startswith(("DATE", "TIMESTAMP")):
        return f"{column}::TIMESTAMP AS {column}"
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return f"{column}::BIGINT AS {column}"
    if kind.startswith(("DECIMAL", "HUGEINT", "UBIGINT", "FLOAT", "DOUBLE")):
        number = f"{column}::DOUBLE"
        return f"CASE WHEN isnan({number}) THEN NULL ELSE {number} END AS {column}"
    return f"{column}::VARCHAR AS {column}"


def _facts(connection: duckdb.DuckDBPyConnection, file: str) -> TableFacts:
    rows = int(connection.execute("SELECT count(*) FROM data").fetchall()[0][0])
    described = connection.execute("DESCRIBE data").fetchall()
    columns = [_column_facts(connection, str(row[0]), str(row[1])) for row in described]
    return TableFacts(file, rows, tuple(columns))


def _column_facts(connection: duckdb.DuckDBPyConnection, name: str, type_: str) -> ColumnFacts:
    column = quoted(name)
    kind = {"VARCHAR": "text", "TIMESTAMP": "date", "BOOLEAN": "boolean"}.get(type_, "number")
    missing, distinct = connection.execute(
        f"SELECT count(*) - count({column}), count(DISTINCT {column}) FROM data"  # noqa: S608 - a quoted identifier
    ).fetchall()[0]
    if kind == "text" and distinct <= MAX_VALUES:
        found = connection.execute(
            f"SELECT DISTINCT {column} FROM data WHERE {column} IS NOT NULL"  # noqa: S608 - as above
        ).fetchall()
        texts = tuple(sorted(row[0] for row in found))
        return ColumnFacts(name, kind, missing, distinct, texts, flag=says_yes_or_no(texts))
    if kind == "date":
        first, last, timed = connection.execute(
            f"SELECT min({column}), max({column}), count(*) FILTER ({column} <> "  # noqa: S608 - as above
            f"date_trunc('day', {column})) > 0 FROM data"
        ).fetchall()[0]
        return ColumnFacts(name, kind, missing, distinct, (), first, last, bool(timed))
    flag = kind == "boolean"
    if kind == "number" and distinct == 2:
        flag = connection.execute(
            f"SELECT count(*) = 0 FROM data WHERE {column} NOT IN (0, 1)"  # noqa: S608 - as above
        ).fetchall()[0][0]
    return ColumnFacts(name, kind, missing, distinct, flag=flag)
