"""Plain JSON to and from protobuf's `Struct`.

Numbers cross the wire as JSON's: integers keep their type and value up to 2**53, and larger ones
are refused rather than rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from google.protobuf.struct_pb2 import Struct, Value

from infrastructure.errors import AgentError, AgentMisbehaved
from infrastructure.jsonvalue import JsonObject, JsonValue

_EXACT = 2**53
_MAX_DEPTH = 60


def to_struct(value: JsonObject) -> Struct:
    """An object for the wire.

    Raises:
        AgentError: it holds what cannot cross the wire.
    """
    return to_value(value).struct_value if value else Struct()


def from_struct(struct: Struct) -> JsonObject:
    """An object from the wire."""
    return {key: from_value(value) for key, value in cast("Any", struct.fields).items()}


def to_value(value: JsonValue, depth: int = 0) -> Value:
    """Any JSON value for the wire.

    Raises:
        AgentError: a number is not finite or not exact there, or it is nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise AgentError(f"data nested deeper than {_MAX_DEPTH} levels cannot be sent")
    wire = Value()
    if value is None:
        wire.null_value = cast("Any", 0)
    elif isinstance(value, bool):
        wire.bool_value = value
    elif isinstance(value, str):
        wire.string_value = value
    elif isinstance(value, int | float):
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > _EXACT):
            raise AgentError(f"the number {value} cannot be sent exactly; send it as text")
        wire.number_value = value
    elif isinstance(value, Mapping):
        wire.struct_value.SetInParent()
        fields = cast("Any", wire.struct_value.fields)
        for key, item in value.items():
            fields[key].CopyFrom(to_value(item, depth + 1))
    else:
        wire.list_value.SetInParent()
        cast("Any", wire.list_value.values).extend(to_value(item, depth + 1) for item in value)
    return wire


def from_value(wire: Value) -> JsonValue:
    """Any JSON value from the wire.

    Raises:
        AgentMisbehaved: a number is not finite.
    """
    match wire.WhichOneof("kind"):
        case "bool_value":
            return wire.bool_value
        case "string_value":
            return wire.string_value
        case "number_value":
            number = wire.number_value
            if not math.isfinite(number):
                raise AgentMisbehaved("the agent sent a number that is not finite")
            whole = number.is_integer() and abs(number) <= _EXACT
            return int(number) if whole else number
        case "struct_value":
            return from_struct(wire.struct_value)
        case "list_value":
            return [from_value(item) for item in cast("Any", wire.list_value.values)]
        case _:
            return None
