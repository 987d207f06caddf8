"""JSON as text that reads back to exactly what was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final, cast

from infrastructure.errors import InputError, StoreError
from infrastructure.jsonvalue import JsonValue


def dump_json(value: JsonValue, what: str = "value") -> str:
    """The value as compact JSON text, keys in the order given.

    Raises:
        InputError: it is not plain JSON: NaN, a foreign object, a key that is not text.
    """
    return _dump(value, what, sort_keys=False)


def digest(value: JsonValue, what: str = "value") -> str:
    """32 hexadecimal characters that are equal for equal JSON, whatever the order of its keys."""
    text = _dump(value, what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load_object(text: str) -> dict[str, JsonValue]:
    """A JSON object that `dump_json` wrote; sequences come back as lists.

    Raises:
        StoreError: it was damaged since.
    """
    return cast("dict[str, JsonValue]", _load(text))


def load_strings(text: str) -> list[str]:
    """A list of strings that `dump_json` wrote.

    Raises:
        StoreError: it was damaged since.
    """
    return cast("list[str]", _load(text))


def _load(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(
            f"a stored record is damaged, it is not JSON any more ({error}); restore a backup"
        ) from error


def _dump(value: JsonValue, what: str, *, sort_keys: bool) -> str:
    _check_keys(value, what)
    try:
        text = (_SORTING if sort_keys else _ENCODER).encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{what} is not plain JSON: {error}") from error
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate cannot be UTF-8, but it can be escaped and read back.
        text = json.dumps(json.loads(text), sort_keys=sort_keys, separators=(",", ":"))
    return text


def _check_keys(value: JsonValue, what: str) -> None:
    # json.dumps would turn keys 1 and None into "1" and "null": a silent change.
    if isinstance(value, list | tuple):
        nested: Iterable[JsonValue] = value
    elif isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
                raise InputError(f"{what} is not plain JSON: the key {key!r} is not a string")
        nested = value.values()
    else:
        return
    for inner in nested:
        # Nearly all are plain, and there are hundreds in a run's records: these need no call.
        if type(inner) not in _PLAIN:
            _check_keys(inner, what)


def _mapping(value: object) -> dict[str, JsonValue]:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, JsonValue]", value))
    raise TypeError(f"{type(value).__name__} is not a JSON type")


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_mapping
)
_SORTING: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_mapping, sort_keys=True
)
