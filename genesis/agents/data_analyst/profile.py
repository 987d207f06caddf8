"""What is in a table: the kind, gaps, variety and range of every column."""

from __future__ import annotations

from typing import cast

from genesis.agents.data_analyst.columns import ColumnFacts
from genesis.agents.data_analyst.ingest import Table, quoted
from genesis.agents.data_analyst.query import Query
from genesis.agents.data_analyst.sql import fetch, plain
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.text import counted

TOP_VALUES = 5


def profile(table: Table) -> JsonObject:
    """The datum `data_profile` of a table."""
    facts = table.facts
    return {
        "file": facts.file,
        "sha256": table.sha256,
        "rows": facts.rows,
        "columns": [_column(table, column) for column in facts.columns],
        "duplicates": fetch(Query("duplicates"), table)[0][0] if facts.columns else 0,
        "notes": list(table.notes),
    }


def _column(table: Table, column: ColumnFacts) -> JsonObject:
    common: dict[str, JsonValue] = {
        "name": column.name,
        "kind": column.kind,
        "missing": column.missing,
        "distinct": column.distinct,
    }
    if column.kind == "number":
        row = fetch(Query("describe", (column.name,)), table)[0]
        names = ("mean", "std", "min", "median", "max")
        common.update(zip(names, row[1:], strict=True))
    elif column.kind == "date":
        common["first"], common["last"] = plain_time(column.first), plain_time(column.last)
    else:
        name = quoted(column.name)
        top = table.fetch(
            f"SELECT {name}, count(*) FROM data WHERE {name} IS NOT NULL GROUP BY 1 "  # noqa: S608 - a quoted identifier
            f"ORDER BY 2 DESC, 1 LIMIT {TOP_VALUES}"
        )
        common["top"] = [{"value": value, "count": count} for value, count in top]
    return common


def plain_time(moment: object) -> JsonValue:
    """A moment as ISO text, or None."""
    return None if moment is None else str(plain(moment))


def summary(profile: JsonObject) -> str:
    """A profile in a sentence or two."""
    columns = profile["columns"]
    assert isinstance(columns, list)
    gaps = [
        f"{column['name']} {column['missing']}"
        for column in columns
        if isinstance(column, dict) and column["missing"]
    ]
    names = ", ".join(f"{c['name']} ({c['kind']})" for c in columns if isinstance(c, dict))
    missing = f"Missing values: {', '.join(gaps)}." if gaps else "No values are missing."
    return f"{profile['file']}: {size_of(profile)}. Columns: {names}. {missing}"


def size_of(profile: JsonObject) -> str:
    """How many rows, columns and duplicates, in words."""
    columns = cast("list[JsonValue]", profile["columns"])
    rows, duplicates = cast("int", profile["rows"]), cast("int", profile["duplicates"])
    return (
        f"{counted(rows, 'row')}, {counted(len(columns), 'column')}, "
        f"{counted(duplicates, 'duplicate row')}"
    )
