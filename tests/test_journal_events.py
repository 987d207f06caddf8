"""Every event of a run comes back from its journal as it was written, whatever it holds."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.events import RunEvent, event_line
from genesis.execution.events import ExecutionEvent
from infrastructure.revive import Unreadable, revive

EVENTS: tuple[type[Any], ...] = tuple(
    kind
    for one in get_args(RunEvent)
    for kind in (get_args(one) if one is ExecutionEvent else (one,))
)
TEXTS = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(-(2**70), 2**70),
    float: NUMBERS,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Everything that a field of this type can hold."""
    if kind in PLAIN:
        return PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        return instances(cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin in (dict, Mapping):
        return st.dictionaries(TEXTS, values(args[1]), max_size=2)
    if origin in (Union, UnionType):
        return st.one_of([st.none() if a is NoneType else values(a) for a in args])
    raise AssertionError(f"no values of {kind} are known")


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    # The aliases of JSON types name each other and cannot be taken apart.
    hints = get_type_hints(kind, localns={"JsonObject": _Object, "JsonValue": _Json})
    made = {f.name: values(hints[f.name]) for f in dataclasses.fields(kind) if f.init}
    return st.builds(kind, **made)


class _Json:
    """Any JSON value."""


class _Object:
    """Any JSON object."""


PLAIN[_Json] = JSON
PLAIN[_Object] = OBJECTS


def test_all_events_are_known_here() -> None:
    assert len(EVENTS) == len(set(EVENTS)) >= 19


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_an_event_comes_back_as_it_was_written(kind: type[Any], data: st.DataObject) -> None:
    event = data.draw(instances(kind))
    told = json.loads(event_line(event, 1.5))
    assert told["type"] == kind.__name__
    assert math.isfinite(told["at"])
    assert revive(kind, told) == event
    # A later version may tell more; an earlier one may not have told what has a default.
    assert revive(kind, {**told, "of a later version": [1]}) == event
    for field in dataclasses.fields(kind):
        less = {name: value for name, value in told.items() if name != field.name}
        needed = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if needed:
            with pytest.raises(Unreadable, match=kind.__name__):
                revive(kind, less)
        else:
            assert isinstance(revive(kind, less), kind)


@pytest.mark.parametrize("value", [None, 1, "x", [], {"run_id": 1}])
def test_what_is_no_event_is_refused(value: object) -> None:
    for kind in EVENTS:
        if all(
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            for f in dataclasses.fields(kind)[:1]
        ):
            with pytest.raises(Unreadable):
                revive(kind, value)
