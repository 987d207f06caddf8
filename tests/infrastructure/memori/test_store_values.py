"""Values: what is stored reads back the same, and what would not is refused."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import MAX_DEPTH, InvalidItem

NS = ("v",)


@pytest.fixture(scope="module")
def store() -> Iterator[MemoriStore]:
    memori = Memori.open(":memory:")
    yield MemoriStore(memori)
    memori.close()


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(texts, child, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(key=texts, value=st.dictionaries(texts, json_values, max_size=4))
def test_what_is_stored_reads_back_the_same(
    store: MemoriStore, key: str, value: dict[str, Any]
) -> None:
    store.put(NS, key, value)
    item = store.get(NS, key)
    assert item is not None
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0.
    assert repr(item.value) == repr(value)
    assert item.key == key
    store.delete(NS, key)


def test_what_looks_like_a_serialised_object_stays_plain_data(store: MemoriStore) -> None:
    value = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"}}
    store.put(NS, "lc", value)
    item = store.get(NS, "lc")
    assert item is not None
    assert item.value == value
    assert type(item.value) is dict
    assert [hit.key for hit in store.search(NS, filter={"lc": 1})] == ["lc"]


def test_a_large_value_is_stored(store: MemoriStore) -> None:
    text = "0123456789" * 1_000_000
    store.put(NS, "large", {"text": text}, index=False)
    item = store.get(NS, "large")
    assert item is not None
    assert item.value["text"] == text
    store.delete(NS, "large")


class Colour(enum.StrEnum):
    RED = "red"


class Celsius(float):
    """A subclass, as NumPy's float64 is."""


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**63,
        -(2**63) - 1,
        (1, 2),
        {1, 2},
        b"bytes",
        "nul\x00",
        "\ud800",
        {1: "key"},
        {None: "key"},
        {"\x00": 1},
        datetime(2026, 1, 1, tzinfo=UTC),
        date(2026, 1, 1),
        Decimal(1),
        uuid.UUID(int=1),
        Point(1),
        1j,
        object(),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_would_not_read_back_the_same_is_refused(store: MemoriStore, value: Any) -> None:
    with pytest.raises(InvalidItem, match="operation 0"):
        store.put(NS, "k", {"outer": [value]})
    assert store.get(NS, "k") is None


def test_the_message_names_the_place(store: MemoriStore) -> None:
    with pytest.raises(InvalidItem, match=r"value\['a'\]\[1\]\['b'\] is a tuple"):
        store.put(NS, "k", {"a": [0, {"b": ()}]})


def test_a_value_nested_too_deep_is_refused(store: MemoriStore) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    store.put(NS, "k", {"deep": value})
    assert [hit.key for hit in store.search(NS, filter={"deep": value[0]})] == []
    store.delete(NS, "k")
    with pytest.raises(InvalidItem, match="nested"):
        store.put(NS, "k", {"deep": [value]})


def test_subclasses_of_text_and_numbers_are_stored_as_what_they_equal(store: MemoriStore) -> None:
    store.put(NS, "k", {"colour": Colour.RED, "temperature": Celsius(1.5)})
    item = store.get(NS, "k")
    assert item is not None
    assert repr(item.value) == repr({"colour": "red", "temperature": 1.5})
    store.delete(NS, "k")


def test_a_value_that_contains_itself_is_refused(store: MemoriStore) -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(InvalidItem, match="nested"):
        store.put(NS, "k", value)


def test_the_callers_dict_is_not_kept(store: MemoriStore) -> None:
    value = {"list": [1]}
    store.put(NS, "k", value)
    value["list"].append(2)
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == {"list": [1]}
    store.delete(NS, "k")
