"""Frozen dataclasses back from the plain JSON that they were written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")

_Reader: TypeAlias = Callable[[Any], Any]

# Plain JSON is taken as it is; the aliases name each other and cannot be taken apart.
_JSON: Final[dict[str, Any]] = {"JsonValue": Any, "JsonObject": Any}


class Unreadable(ValueError):
    """The JSON is not what such an object was written as."""


def revive(kind: type[T], value: object) -> T:
    """The object that a JSON value was made from.

    Keys that the class does not know are passed over, and fields that are missing take their
    defaults: what another version wrote is read as far as it is known here.

    Args:
        kind: a dataclass of JSON types, enumerations, tuples, mappings and other such classes.
        value: as `json.loads` gives it.

    Raises:
        Unreadable: a field without a default is missing, or a value is of a wrong type.
    """
    try:
        return cast("T", _reader(kind)(value))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(f"this is no {kind.__name__}: {type(error).__name__}: {error}") from error


@cache
def _reader(kind: Any) -> _Reader:
    if is_dataclass(kind):
        return _dataclass_reader(cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_reader(args)
    if origin in (dict, Mapping) and len(args) == 2 and _revived(args[1]):
        return _mapping_reader(_reader(args[1]))
    if origin in (Union, UnionType):
        return _union_reader(args)
    if kind in (str, bool, int, float):
        return _plain_reader(kind)
    if origin is Literal:
        return _literal_reader(args)
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _revived(kind: Any) -> bool:
    return is_dataclass(kind) or get_origin(kind) is tuple


def _dataclass_reader(kind: type[Any]) -> _Reader:
    hints = get_type_hints(kind, localns=_JSON)
    readers = [(f.name, _reader(hints[f.name]), _needed(f)) for f in fields(kind) if f.init]

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unreadable(f"{type(value).__name__} where {kind.__name__} belongs")
        given = cast("Mapping[str, Any]", value)
        return kind(
            **{
                name: reader(given[name])
                for name, reader, needed in readers
                if needed or name in given
            }
        )

    return read


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _tuple_reader(args: tuple[Any, ...]) -> _Reader:
    if len(args) == 2 and args[1] is Ellipsis:
        one = _reader(args[0])
        return lambda value: tuple(one(item) for item in _listed(value))
    readers = [_reader(arg) for arg in args]
    return lambda value: tuple(
        reader(item) for reader, item in zip(readers, _listed(value), strict=True)
    )


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Unreadable(f"{type(value).__name__} where a list belongs")
    return cast("Sequence[Any]", value)


def _mapping_reader(one: _Reader) -> _Reader:
    return lambda value: {name: one(item) for name, item in value.items()}


def _union_reader(args: tuple[Any, ...]) -> _Reader:
    """One class or nothing; unions of JSON types are taken as they are."""
    others = [arg for arg in args if arg is not NoneType]
    if len(others) != 1:
        return _as_it_is
    one = _reader(others[0])
    return lambda value: None if value is None else one(value)


def _plain_reader(kind: type[Any]) -> _Reader:
    allowed = (int, float) if kind is float else (kind,)

    def read(value: Any) -> Any:
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise Unreadable(f"{value!r:.80} where {kind.__name__} belongs")
        return float(value) if kind is float else value

    return read


def _literal_reader(allowed: tuple[Any, ...]) -> _Reader:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise Unreadable(f"{value!r:.80} where one of {', '.join(map(str, allowed))} belongs")
        return value

    return read
