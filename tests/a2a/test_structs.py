from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.a2a.convert import message_from_wire, message_to_wire
from infrastructure.a2a.structs import from_value, to_value
from infrastructure.a2a.types import Message, Part
from infrastructure.errors import AgentError
from infrastructure.jsonvalue import JsonValue

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_crosses_the_wire_unchanged(value: JsonValue) -> None:
    back = from_value(to_value(value))
    assert back == value
    if isinstance(value, int):
        assert type(back) is type(value)


@pytest.mark.parametrize("wrong", [2**53 + 1, -(2**60), math.nan, math.inf])
def test_numbers_that_would_change_are_refused(wrong: float) -> None:
    with pytest.raises(AgentError, match="as text"):
        to_value({"n": [wrong]})


def test_endless_nesting_is_refused() -> None:
    nested: JsonValue = 1
    for _ in range(100):
        nested = [nested]
    with pytest.raises(AgentError, match="deeper"):
        to_value(nested)


def test_every_kind_of_part_crosses_the_wire() -> None:
    parts = (
        Part(text=""),
        Part(text="hi"),
        Part(data={}),
        Part(data=[]),
        Part(data=False),
        Part(raw=b"", filename="empty"),
        Part(raw=b"\x00\xff", media_type="image/png", filename="a.png"),
        Part(url="https://example.org/a"),
    )
    message = Message("m", "agent", parts, "c", "t", {"x": {"y": [1]}})
    assert message_from_wire(message_to_wire(message)) == message
