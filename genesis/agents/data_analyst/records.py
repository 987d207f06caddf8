"""JSON to columns of text: an array of records, JSON lines, or an object with one list inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from genesis.agents.data_analyst.reader import RawTable
from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonValue


def looks_like_json(text: str, name: str) -> bool:
    """Whether a text is to be read as JSON: by its name, or by how it begins."""
    ending = name.lower().removesuffix(".gz")
    return ending.endswith((".json", ".jsonl", ".ndjson", ".geojson")) or (
        text.lstrip()[:1] in ("{", "[") and not ending.endswith((".csv", ".tsv", ".txt"))
    )


def read_json(text: str, name: str) -> RawTable:
    """The table of a JSON text; nested objects become columns with dotted names.

    Raises:
        InputError: it is no JSON, or holds no records.
    """
    notes: list[str] = []
    records = _records(_parse(text, name), name, notes)
    flat: list[dict[str, JsonValue]] = []
    names: dict[str, None] = {}
    for record in records:
        row: dict[str, JsonValue] = {}
        _flatten(record, "", row)
        flat.append(row)
        names.update(dict.fromkeys(row))
    if any("." in column for column in names):
        notes.append("nested objects read as columns with dotted names")
    columns = tuple([_cell(row.get(column)) for row in flat] for column in names)
    return RawTable(_distinguish(tuple(names)), columns, "", tuple(notes))


def _parse(text: str, name: str) -> JsonValue:
    try:
        return json.loads(text)
    except json.JSONDecodeError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except (json.JSONDecodeError, RecursionError):
            raise InputError(f"{name} is not valid JSON: {whole}; repair or export it") from whole
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply to be a table") from error


def _records(data: JsonValue, name: str, notes: list[str]) -> list[Mapping[str, JsonValue]]:
    if isinstance(data, Mapping):
        found = _inner_records(data, notes)
        data = found if found is not None else [data]
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise InputError(f"{name} holds a single {type(data).__name__}, not a list of records")
    if data and all(isinstance(row, Sequence) and not isinstance(row, str) for row in data):
        return _from_arrays(cast("Sequence[Sequence[JsonValue]]", data), notes)
    return [row if isinstance(row, Mapping) else {"value": row} for row in data]


def _inner_records(data: Mapping[str, JsonValue], notes: list[str]) -> JsonValue:
    """The one list of records inside an object, or the rows of an object of equal columns."""
    lists = {
        key: value
        for key, value in data.items()
        if isinstance(value, Sequence) and not isinstance(value, str)
    }
    same_length = len(lists) == len(data) > 1 and len({len(v) for v in lists.values()}) == 1
    if same_length and not any(isinstance(c, Mapping) for v in lists.values() for c in v):
        rows = zip(*lists.values(), strict=True)
        return [dict(zip(lists, row, strict=True)) for row in rows]
    full = {k: v for k, v in lists.items() if v and all(isinstance(x, Mapping) for x in v)}
    if len(full) == 1 or len(lists) == 1:
        key, value = next(iter((full or lists).items()))
        notes.append(f"rows read from the list {key!r}")
        return value
    nested = [value for value in data.values() if isinstance(value, Mapping)]
    if len(nested) == 1 and len(data) <= 3:
        return _inner_records(nested[0], notes)
    return None


def _from_arrays(
    data: Sequence[Sequence[JsonValue]], notes: list[str]
) -> list[Mapping[str, JsonValue]]:
    header = data[0]
    if all(isinstance(cell, str) for cell in header):
        names, body = [str(cell) for cell in header], data[1:]
    else:
        names, body = [f"column_{i + 1}" for i in range(max(map(len, data)))], data
        notes.append("no header found: columns are named column_1, column_2, ...")
    return [dict(zip(names, row, strict=False)) for row in body]


def _flatten(value: Mapping[str, JsonValue], prefix: str, into: dict[str, JsonValue]) -> None:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            _flatten(inner, f"{prefix}{key}.", into)
        else:
            into[f"{prefix}{key}"] = inner


def _cell(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float) and value != value:
        return None
    return json.dumps(value, ensure_ascii=False)


def _distinguish(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that differ by more than case: "id" and "ID" become "id" and "ID.1"."""
    taken: set[str] = set()
    out: list[str] = []
    for name in names:
        unique, number = name, 0
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}.{number}"
        taken.add(unique.casefold())
        out.append(unique)
    return tuple(out)
