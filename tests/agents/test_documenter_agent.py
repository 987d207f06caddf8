"""The documenter on real sources, and what its acceptance check lets through."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from agent_inspection import Data, assert_garbage_is_rejected, assignment, corrupted, datum
from agent_inspection import verdict_of as verdict

from genesis.agents.assignment import Assignment
from genesis.agents.documenter.agent import CHECKS, CHECKS_OF_DATA, run
from genesis.agents.documenter.extract import parse_module
from genesis.agents.documenter.scan import canonical_signature, scan_module
from genesis.tasks.task import TaskOutput
from infrastructure.errors import AgentError, WorkspaceError

CHECK = CHECKS[CHECKS_OF_DATA["api_docs"]]

PACKAGE = {
    "__init__.py": (
        '"""Shapes.\n\nMore."""\nfrom ._hidden import Circle as Circle, area\nfrom .sub import *\n'
    ),
    "_hidden.py": (
        "class Circle:\n    def grow(self, by=1_0):\n        pass\n\n\n"
        "def area(c: 'Circle') -> float:\n    'Its area.'\n\n\ndef secret():\n    pass\n"
    ),
    "sub.py": (
        "from typing import overload\n\n__all__ = ['listed', '_odd']\n__all__ += ['Late']\n\n\n"
        "def listed(a, /, b: int = 2, *args, c='x', **kw):\n    return 1\n\n\n"
        "def not_listed():\n    pass\n\n\ndef _odd(): 'Listed all the same.'\n\n\n"
        "try:\n    import fast\nexcept ImportError:\n    class Late(Exception): pass\n"
    ),
    "kinds.py": (
        '# -*- coding: latin-1 -*-\n"""Caf\xe9s."""\nfrom typing import overload\n\n\n\n'
        "@overload\ndef f(x: int) -> int: ...\n@overload\ndef f(x: str) -> str: ...\n"
        "def f(x):\n    '''First\n    paragraph.\n\n    Second.'''\n    def inner(): pass\n\n\n"
        "class Outer(dict[str, int]):\n    class Inner:\n        def deep(self): ...\n\n"
        "    @property\n    def size(self): return 1\n\n"
        "    @size.setter\n    def size(self, value): pass\n\n"
        "    def _private(self): pass\n\n    async def go(self): 'Goes.'; return 2\n\n\n"
        "class _Private: pass\n"
    ),
    "_private.py": "def nobody(): pass\n",
    "broken.py": "def f(:\n",
    "binary.py": "\x00\x01",
    "tests/test_it.py": "def test_it(): pass\n",
}  # fmt: skip


@pytest.fixture
def given(tmp_path: Path) -> Assignment:
    for name, text in PACKAGE.items():
        path = tmp_path / "w" / "shapes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    inputs = {"source": str(tmp_path / "w" / "shapes")}
    return assignment(tmp_path / "w", inputs, "api_docs")


def names(data: Data) -> dict[str, list[str]]:
    return {
        module["name"]: [item["name"] for item in module["classes"]]
        + [item["name"] for item in module["functions"]]
        for module in data["modules"]
    }


async def test_what_is_public(given: Assignment) -> None:
    output = await run(given)
    found = datum(output, "api_docs")
    assert names(found) == {
        "shapes": [],
        "shapes._hidden": ["Circle", "area"],
        "shapes.kinds": ["Outer", "Outer.Inner", "f"],
        "shapes.sub": ["Late", "listed", "_odd"],
    }
    modules = {module["name"]: module for module in found["modules"]}
    assert modules["shapes"]["doc"] == "Shapes."
    assert modules["shapes.kinds"]["doc"] == "Caf\xe9s."
    function = modules["shapes.kinds"]["functions"][0]
    assert (function["signature"], function["line"], function["doc"]) == (
        "f(x)", 11, "First paragraph.",
    )  # fmt: skip
    listed = modules["shapes.sub"]["functions"][0]
    assert listed["signature"] == "listed(a, /, b: int=2, *args, c='x', **kw)"
    outer = modules["shapes.kinds"]["classes"][0]
    assert [method["name"] for method in outer["methods"]] == ["size", "go"]
    assert [(item["module"], item["name"]) for item in found["undocumented"]] == [
        ("shapes._hidden", "Circle"),
        ("shapes._hidden", "Circle.grow"),
        ("shapes.kinds", "Outer"),
        ("shapes.kinds", "Outer.Inner"),
        ("shapes.kinds", "Outer.Inner.deep"),
        ("shapes.kinds", "Outer.size"),
        ("shapes.sub", "listed"),
        ("shapes.sub", "Late"),
    ]
    assert {item["path"] for item in found["unreadable"]} == {"broken.py", "binary.py"}
    assert found["counts"]["documented_percent"] == 33.3
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason


@pytest.mark.parametrize("package", ["vega_datasets", "typer", "yaml"])
async def test_a_real_package(tmp_path: Path, package: str) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    given = assignment(source, {"source": str(source)}, "api_docs", tmp_path)
    output = await run(given)
    assert datum(output, "api_docs")["counts"]["classes"] > 3
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason


async def test_a_single_private_module(tmp_path: Path) -> None:
    source = tmp_path / "_one.py"
    source.write_text("def f(x): return x\n\n\ndef _g(): pass\n")
    given = assignment(tmp_path, {"source": str(source)}, "api_docs")
    output = await run(given)
    assert names(datum(output, "api_docs")) == {"_one": ["f"]}
    assert (await verdict(CHECK, given, output)).passed


def module(data: Data, name: str) -> Data:
    return next(item for item in data["modules"] if item["name"] == name)


def documented_by_decree(data: Data) -> None:
    data["undocumented"].pop(0)
    data["counts"]["undocumented"] -= 1
    data["counts"]["documented_percent"] = 41.7


CORRUPTIONS: dict[str, Callable[[Data], None]] = {
    "a wrong count": lambda d: d["counts"].update(classes=99),
    "a wrong percentage": lambda d: d["counts"].update(documented_percent=100.0),
    "a wrong line": lambda d: module(d, "shapes.sub")["functions"][0].update(line=8),
    "another function": lambda d: module(d, "shapes.sub")["functions"][0].update(name="other"),
    "another signature": lambda d: module(d, "shapes.sub")["functions"][0].update(
        signature="listed(a, /, b: int=3, *args, c='x', **kw)"
    ),
    "another docstring": lambda d: module(d, "shapes.kinds")["functions"][0].update(doc="Else."),
    "another class": lambda d: module(d, "shapes.kinds")["classes"][0].update(name="Oter"),
    "another module": lambda d: module(d, "shapes.sub").update(name="shapes.sup"),
    "an undocumented name left out": documented_by_decree,
    "an undocumented name too many": lambda d: d["undocumented"].append(
        {"module": "shapes.kinds", "name": "f", "line": 11}
    ),
    "a private name": lambda d: module(d, "shapes._hidden")["functions"].append(
        {"name": "secret", "signature": "secret()", "line": 10, "doc": ""}
    ),
    "a readable file said to be damaged": lambda d: d["unreadable"].append(
        {"path": "sub.py", "problem": "x"}
    ),
    "a damaged file passed over": lambda d: d["unreadable"].pop(),
    "truncated": lambda d: d["modules"].pop(),
    "another source": lambda d: d.update(source=d["source"] + "x"),
    "another document": lambda d: d.update(markdown_path=d["source"] + "/sub.py"),
    "emptied": lambda d: d.update(modules=[]),
}


async def test_corrupted_results_are_rejected(given: Assignment) -> None:
    output = await run(given)
    for name, change in CORRUPTIONS.items():
        result = await verdict(CHECK, given, corrupted(output, "api_docs", change))
        assert not result.passed, name
        assert result.reason


async def test_a_truncated_document_is_rejected(given: Assignment) -> None:
    output = await run(given)
    document = Path(output.artifacts[0])
    whole = document.read_text()
    for text in ("", whole[: len(whole) // 2], whole.replace("listed(a", "listed(b")):
        document.write_text(text)
        assert not (await verdict(CHECK, given, output)).passed
    document.unlink()
    assert not (await verdict(CHECK, given, output)).passed


async def test_a_stale_result_and_garbage_are_rejected(given: Assignment) -> None:
    output = await run(given)
    await assert_garbage_is_rejected(CHECK, given, output, "api_docs")
    path = given.workspace / "shapes" / "sub.py"
    path.write_text(path.read_text() + "\n# changed\n")
    result = await verdict(CHECK, given, output)
    assert not result.passed
    assert "changed" in result.reason


async def test_sources_that_cannot_be_documented(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "notes.txt").write_text("text")
    for name, message in (("empty", "no Python module"), ("bad.py", "can be read"),
                          ("notes.txt", "no Python module")):  # fmt: skip
        with pytest.raises(AgentError, match=message):
            await run(assignment(tmp_path, {"source": str(tmp_path / name)}, "api_docs"))
    with pytest.raises(WorkspaceError):
        await run(assignment(tmp_path / "empty", {"source": str(tmp_path / "bad.py")}, "api_docs"))


async def test_nothing_is_imported(tmp_path: Path) -> None:
    source = tmp_path / "danger.py"
    source.write_text("raise SystemExit('imported')\n\n\ndef f(): pass\n")
    output = await run(assignment(tmp_path, {"source": str(source)}, "api_docs"))
    assert isinstance(output, TaskOutput)
    assert names(datum(output, "api_docs")) == {"danger": ["f"]}


@pytest.mark.parametrize(
    "source",
    [
        "class A: x = 1; y = 2\n",
        "def f(x=lambda: {1: 2}, *, y: 'a' \"b\" = -0x10, **k) -> dict[str, (int)]: ...\n",
        "if True:\n    def f(): pass\nelse:\n    def f(): pass\n    def g(): pass\n",
        "match 1:\n    case 1:\n        def f(): pass\n",
        "class A:\n    '''One.\n\n      Two.'''\n    from b import c\n    def m(self):\n"
        "        class Inner: pass\n",
        "from . import (a as b,\n    c)\nfrom ..x.y import *\n__all__ = [\n  'f', # g\n  'h']\n"
        "__all__.extend(['i'])\n",
        "def f(): f'no doc'\ndef g(): b'none'\ndef h():\n    r'''a\\b'''\n",
        "async def f(a, b=(1, 2), /, c=[*()], d=x if y else z): 'Doc'; pass\n",
        "",
    ],
)
def test_both_ways_of_reading_agree(source: str) -> None:
    """The tokens tell the same as the syntax tree, but for the layout of signatures."""
    parsed, scanned = parse_module(source), scan_module(source)
    assert (scanned.doc, scanned.imports, scanned.exported) == (
        parsed.doc,
        parsed.imports,
        parsed.exported,
    )
    for mine, theirs in zip(scanned.definitions, parsed.definitions, strict=True):
        assert (mine.name, mine.line, mine.doc) == (theirs.name, theirs.line, theirs.doc)
        assert mine.signature == canonical_signature(theirs.signature)
        assert [m.name for m in mine.members] == [m.name for m in theirs.members]
