"""JSON values as they are stored: what is accepted, written exactly and read back the same."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from infrastructure.errors import InputError, StoreError
from infrastructure.jsonvalue import JsonValue

MAX_DEPTH: Final = 200
# PostgreSQL's jsonb holds 256 MiB, and takes up to six times the bytes of the text.
MAX_BYTES: Final = 32 * 1024 * 1024
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_ORJSON_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
# Floats among the 64-bit integers of which JSON's shortest text may leave out digits.
_SHORTENED: Final = re.compile(rb"e\+?1[6-9]")
_SHORTENED_FROM: Final = 1e16
_SHORTENED_TO: Final = 2.0**64


class InvalidItem(InputError, ValueError):
    """A key, a value, a filter or another argument of the store cannot be used."""


def encode(value: object, what: str = "value") -> str:
    """The compact JSON of a plain value.

    Accepted are None, booleans, text, 64-bit integers, finite floats, lists, and dicts with text
    keys, each nested at most MAX_DEPTH deep and MAX_BYTES long altogether: what reads back equal
    and of the same type on every backend. Objects of a subclass of these, such as a `StrEnum`, an
    `OrderedDict` or NumPy's `float64`, are stored as the plain value that they hold. Tuples,
    datetimes, other objects, NaN, infinities and NUL characters are refused. A dict that looks
    like a serialised object (an `lc` key) is plain data and never becomes one.

    A float has the shortest text that reads back to it, but all of its digits where integers are
    stored too: a database that compares decimals then orders the two as Python does.

    Raises:
        InvalidItem: names the place within the value and what is wrong there.
    """
    if not _is_plain(value, 0):
        value = _plain(value, what, 0)
    text = _dump(value, what)
    if _SHORTENED.search(text):  # perhaps in a text, where there is nothing to do
        text = _dump(_with_all_digits(value), what)
    if len(text) > MAX_BYTES:
        raise InvalidItem(
            f"{what} takes {len(text):,} bytes as JSON, and at most {MAX_BYTES:,} are stored; keep "
            "it in a file and its path here"
        )
    return text.decode()


def decode(text: str | bytes) -> Any:
    """The value that `encode` wrote.

    Raises:
        StoreError: it was damaged since.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StoreError(
            f"a stored value is damaged, it is not JSON any more ({error}); restore a backup, or "
            "put or delete the item anew"
        ) from error


def encode_object(value: object) -> str:
    """`encode` for a stored record, which is a mapping at its top."""
    if not isinstance(value, Mapping):
        raise InvalidItem(f"the value must be a dict, not {type(value).__name__}")
    if type(value) is dict:  # pyright: ignore[reportUnknownArgumentType]  # of whatever
        return encode(cast("object", value))
    return encode(dict(cast("Mapping[Any, Any]", value)))


def check_text(text: object, what: str) -> str:
    """The text itself, when every backend can hold it.

    Raises:
        InvalidItem: not a str, or it has NUL characters or lone surrogates.
    """
    if not isinstance(text, str):
        raise InvalidItem(f"{what} must be a str, not {type(text).__name__}")
    if "\x00" in text:
        raise InvalidItem(f"{what} contains a NUL character, which cannot be stored; remove it")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidItem(f"{what} is not valid Unicode ({error.reason})") from error
    return text


def _dump(value: object, what: str) -> bytes:
    try:
        return orjson.dumps(value, option=_ORJSON_OPTIONS)
    except TypeError as error:
        _plain(value, what, 0)  # names the place of a lone surrogate, which only orjson looks for
        raise InvalidItem(f"{what} cannot be stored as JSON: {error}") from error


def _with_all_digits(value: object) -> object:
    if isinstance(value, float) and _SHORTENED_FROM <= abs(value) < _SHORTENED_TO:
        return orjson.Fragment(f"{value:.1f}")
    if isinstance(value, dict):
        children = cast("dict[str, object]", value)
        return {key: _with_all_digits(child) for key, child in children.items()}
    if isinstance(value, list):
        return [_with_all_digits(child) for child in cast("list[object]", value)]
    return value


def _is_plain(value: object, depth: int) -> bool:
    """Whether a value needs no closer look; quick, for it is asked of everything stored."""
    kind = type(value)
    if kind is str:
        return "\x00" not in cast("str", value)
    if kind is int:
        return _INT64_MIN <= cast("int", value) <= _INT64_MAX
    if kind is float:
        return math.isfinite(cast("float", value))
    if kind is dict and depth < MAX_DEPTH:
        for key, child in cast("dict[object, object]", value).items():
            if type(key) is not str or "\x00" in key or not _is_plain(child, depth + 1):
                return False
        return True
    if kind is list and depth < MAX_DEPTH:
        return all(_is_plain(child, depth + 1) for child in cast("list[object]", value))
    return value is None or kind is bool


def _plain(value: object, what: str, depth: int) -> object:
    """The value without subclasses; raises for the first thing that cannot be stored."""
    if value is None or isinstance(value, bool):
        return value
    # The types' own methods: a subclass may have others, and an enum another `value`.
    if isinstance(value, str):
        return str.__str__(check_text(value, what))
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise InvalidItem(f"{what} is an integer beyond 64 bits; store it as text")
        return int.__int__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidItem(f"{what} is {value}, which JSON does not have; use None or text")
        return float.__float__(value)
    return _plain_container(value, what, depth + 1)


def _plain_container(value: object, what: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise InvalidItem(f"the value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        plain: dict[str, object] = {}
        for key, child in cast("dict[object, object]", value).items():
            name = str.__str__(check_text(key, f"a key of {what}"))
            plain[name] = _plain(child, f"{what}[{name!r}]", depth)
        return plain
    if isinstance(value, list):
        return [
            _plain(child, f"{what}[{index}]", depth)
            for index, child in enumerate(cast("list[object]", value))
        ]
    raise InvalidItem(
        f"{what} is a {_full_name(type(value))}, which would not read back the same; give None, "
        f"bool, int, float, str, list or dict{_remedy(value)}"
    )


def _full_name(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _remedy(value: object) -> str:
    """How NumPy's and its likes' values become plain ones."""
    dimensions: object = getattr(value, "ndim", None)
    if not isinstance(dimensions, int):
        return ""
    return f" (it becomes one by {'.tolist()' if dimensions else '.item()'})"


def equal(left: JsonValue, right: JsonValue) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, but neither is true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return left == right
