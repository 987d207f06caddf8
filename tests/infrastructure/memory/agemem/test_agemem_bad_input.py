"""What cannot be used is refused with what is wrong and what to do, and changes nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from infrastructure.errors import InputError
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst

LONG = "x" * 100_001


CALLS: list[tuple[Callable[[Any], Awaitable[object]], str]] = [
    (lambda m: m.add(""), "the content is empty"),
    (lambda m: m.add(" \n\t"), "the content is empty"),
    (lambda m: m.add(7), "must be a str, not int"),
    (lambda m: m.add(LONG), "100,001 characters, and at most 100,000"),
    (lambda m: m.add("a\x00b"), r"control character '\\x00' at place 1; remove"),
    (lambda m: m.add("bell \x07"), "control character"),
    (lambda m: m.add("half \ud83d"), "control character"),
    (lambda m: m.add("x", importance=math.nan), "importance must be a number from 0 to 1"),
    (lambda m: m.add("x", importance=math.inf), "importance"),
    (lambda m: m.add("x", importance=1.1), "importance"),
    (lambda m: m.add("x", importance=True), "importance"),
    (lambda m: m.add("x", importance="high"), "importance"),
    (lambda m: m.add("x", ["a"]), "metadata must be a dict, not list"),
    (lambda m: m.add("x", []), "metadata must be a dict, not list"),
    (lambda m: m.add("x", {"a": math.nan}), "metadata"),
    (lambda m: m.add("x", {"a": {1, 2}}), "is a set"),
    (lambda m: m.add("x", {1: "a"}), "must be a str"),
    (lambda m: m.add("x", {"a": "\x00"}), "NUL"),
    (lambda m: m.add("x", {"a": LONG}), "metadata takes"),
    (lambda m: m.add("x", memory_type=""), "memory_type is empty"),
    (lambda m: m.add("x", reason="y" * 2_001), "the reason has 2,001 characters"),
    (lambda m: m.update("", "x"), "id is empty"),
    (lambda m: m.update("a", ""), "the content is empty"),
    (lambda m: m.update("a", "x", importance=-0.1), "importance"),
    (lambda m: m.delete(None), "id must be a str"),
    (lambda m: m.delete("x" * 201), "201 characters"),
    (lambda m: m.retrieve(""), "the query is empty"),
    (lambda m: m.retrieve(None), "the query must be a str"),
    (lambda m: m.retrieve("x", 0), "top_k must be a whole number from 1"),
    (lambda m: m.retrieve("x", 2.5), "top_k"),
    (lambda m: m.retrieve("x", True), "top_k"),
    (lambda m: m.retrieve("x", 5, "topic"), "filter"),
    (lambda m: m.retrieve("x", 5, {"a": {"$regex": "x"}}), "operator"),
    (lambda m: m.summary(7), "a context is a text"),
    (lambda m: m.summary([b"bytes"]), "an item of a context must be a str"),
    (lambda m: m.summary("x", max_tokens=0), "max_tokens"),
    (lambda m: m.summary("x", goal=""), "the goal is empty"),
    (lambda m: m.summary([LONG] * 20), "give it in parts"),
    (lambda m: m.filter(["x"], math.nan), "relevance_threshold"),
    (lambda m: m.filter(["x"], 2), "relevance_threshold"),
    (lambda m: m.filter(["x"], criteria=7), "criteria are a function"),
    (lambda m: m.filter(["x"], criteria={"a": {"$x": 1}}), "operator"),
    (lambda m: m.filter([object()]), "an item of a context"),
    (lambda m: m.changes("x", 0), "limit"),
    (lambda m: m.undo(""), "a change's id is empty"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
async def test_a_wrong_argument_is_told(
    call: Callable[[Any], Awaitable[object]], message: str, analyst: TextAnalyst
) -> None:
    memory = AgeMem(InMemoryStore(), analyst=analyst)
    kept = await memory.add("kept", {"a": 1})
    with pytest.raises(InputError, match=message):
        await call(memory)
    (entry,) = memory.index.entries()
    assert (entry.entry_id, entry.content, entry.version) == (kept, "kept", 1)
    assert len(await memory.changes()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "capacity must be a whole number from 1"),
        ({"capacity": 1.5}, "capacity"),
        ({"context_tokens": 0}, "context_tokens must be a whole number from 1"),
        ({"context_tokens": "many"}, "context_tokens"),
        ({"model": "openai:gpt-4.1-mini"}, "model must be a ChatModel, not str"),
        ({"namespace": ()}, "namespace"),
        ({"namespace": "agemem"}, "namespace"),
        ({"namespace": ("a.b",)}, "period"),
        ({"namespace": ("langgraph", "x")}, "langgraph"),
        ({"namespace": ("", "x")}, "empty"),
        ({"source": ""}, "source is empty"),
        ({"journal": -1}, "journal"),
    ],
)
def test_a_memory_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AgeMem(InMemoryStore(), **options)


def test_only_stores_are_stores() -> None:
    with pytest.raises(InputError, match="BaseStore, such as MemoriStore"):
        AgeMem({})  # type: ignore[arg-type]


async def test_a_source_of_ids_that_gives_but_one_is_told(analyst: TextAnalyst) -> None:
    memory = AgeMem(InMemoryStore(), analyst=analyst, new_id=lambda: "the same")
    assert await memory.add("x") == "the same"
    with pytest.raises(InputError, match="CountedIds"):
        await memory.add("y")


async def test_what_looks_odd_and_is_text_is_kept(analyst: TextAnalyst) -> None:
    memory = AgeMem(InMemoryStore(), analyst=analyst)
    odd = "Zoë said:\r\n\t“‏שלום” 👩‍👩‍👧 — $100 <b>‮"
    entry_id = await memory.add(odd, {"deep": [{"ключ": None}, 1.5, True]})
    held = memory.index.get(entry_id)
    assert held is not None
    assert held.entry.content == odd


async def test_the_callers_metadata_is_copied(analyst: TextAnalyst) -> None:
    memory = AgeMem(InMemoryStore(), analyst=analyst)
    metadata: dict[str, Any] = {"tags": ["a"]}
    await memory.add("x", metadata)
    metadata["tags"].append("b")
    assert memory.index.entries()[0].metadata == {"tags": ["a"]}
    assert len(await memory.retrieve("x", 1, {"tags": ["a"]})) == 1


def test_importing_the_memory_loads_nothing_heavy() -> None:
    script = (
        "import sys\nimport infrastructure.memory.agemem.operations\nprint(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"torch", "langgraph", "langchain_core", "wordllama", "pydantic", "psycopg", "sqlite3"}
    assert heavy.isdisjoint(done.stdout.split())
