"""The tester on real projects, and what its acceptance check lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_inspection import Data, assert_garbage_is_rejected, assignment, corrupted, datum
from agent_inspection import verdict_of as verdict

from genesis.agents.assignment import Assignment
from genesis.agents.tester.agent import CHECKS, CHECKS_OF_DATA, run
from genesis.agents.tester.statements import statements_of
from infrastructure.errors import AgentError, WorkspaceError

CHECK = CHECKS[CHECKS_OF_DATA["test_report"]]

SHOP = '''\
"""A shop."""

import functools
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class OutOfStock(Exception):
    """Nothing left."""


@functools.lru_cache(
    maxsize=None,
)
def price(
    kind,
    factor=1,
):
    """The price of one."""
    table = {
        "tea": 3,
        "cake": 5,
    }
    match kind:
        case "tea":
            return table[
                "tea"
            ] * factor
        case _:
            pass
    try:
        return table[kind]
    except KeyError as error:
        raise OutOfStock(f"no {kind}\\nat all") from error
    finally:
        json.dumps(kind)


def unused(x: int) -> int:
    y: int
    if x:
        return 1
    return (
        2
    )


def debug():  # pragma: no cover
    return 1


def load(text):
    return json.loads(text)
'''
TESTS = """\
import pytest
import shop


class TestPrice:
    def test_tea(self):
        assert shop.price("tea") == 3

    @pytest.mark.parametrize("kind", ["cake", "a-b[c]"])
    def test_kinds(self, kind):
        assert shop.price(kind) == 5


def test_wrong():
    total = shop.price("tea")
    assert total == 4


def test_load():
    shop.load("{")


@pytest.fixture
def broken():
    raise RuntimeError("no setup")


def test_broken(broken):
    pass


def test_no_fixture(nothing_like_it):
    pass


@pytest.mark.skip
def test_later():
    pass


@pytest.mark.xfail
def test_expected():
    assert False


@pytest.mark.xfail(strict=True)
def test_unexpected():
    pass
"""


@pytest.fixture(autouse=True)
def few_plugins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed plugins make each start of pytest slow; one test keeps them."""
    if request.node.name != "test_projects_that_cannot_be_tested[no functions]":
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def project_in(folder: Path, files: dict[str, str]) -> Assignment:
    for name, text in files.items():
        path = folder / "w" / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return assignment(folder / "w", {"project": str(folder / "w" / "shop")}, "test_report")


def snapshot(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


async def test_counts_causes_and_coverage(tmp_path: Path) -> None:
    given = project_in(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": TESTS})
    before = snapshot(given.workspace)
    output = await run(given)
    assert snapshot(given.workspace) == before
    found = datum(output, "test_report")
    counts = {key: found[key] for key in ("passed", "failed", "errors", "skipped", "total")}
    assert counts == {"passed": 2, "failed": 4, "errors": 2, "skipped": 2, "total": 10}
    causes = {
        item["test"].split("::")[-1]: (item["exception"], item["message"].splitlines()[:1],
                                       item["file"], item["line"])
        for item in found["failures"]
    }  # fmt: skip
    expecting = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert causes == {
        "test_kinds[a-b[c]]": ("OutOfStock", ["no a-b[c]"], "shop.py", 37),
        "test_wrong": ("AssertionError", ["assert 3 == 4"], "tests/test_shop.py", 16),
        "test_load": ("JSONDecodeError", [expecting], "shop.py", 56),
        "test_broken": ("RuntimeError", ["no setup"], "tests/test_shop.py", 25),
        "test_no_fixture": (
            "FixtureLookupError", ["fixture 'nothing_like_it' not found"], "tests/test_shop.py", 32,
        ),
        "test_unexpected": ("", ["[XPASS(strict)]"], "", 0),
    }  # fmt: skip
    coverage = found["coverage"]
    assert [file["path"] for file in coverage["files"]] == ["shop.py"]
    assert coverage["files"][0]["missing_lines"] == [8, 44, 45, 46]
    assert "6 of 10 tests fail" in output.text
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason


async def test_the_tests_of_a_package_import_it_by_its_name(tmp_path: Path) -> None:
    tests = "from shop.cart import one\n\n\ndef test_one():\n    assert one() == 1\n"
    given = project_in(
        tmp_path,
        {
            "__init__.py": "from shop.cart import one\n",
            "cart.py": "def one():\n    return 1\n",
            "tests/test_cart.py": tests,
        },
    )
    output = await run(given)
    found = datum(output, "test_report")
    assert (found["passed"], found["total"]) == (1, 1), output.text
    measured = {file["path"]: file["percent"] for file in found["coverage"]["files"]}
    assert measured == {"__init__.py": 100.0, "cart.py": 100.0}
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason


async def test_src_layout_collection_errors_and_threads(tmp_path: Path) -> None:
    package = "import threading\n\n\ndef go(out):\n    t = threading.Thread(target=out.append, args=[1])\n    t.start()\n    t.join()\n    return out\n"  # noqa: E501
    given = project_in(
        tmp_path,
        {
            "src/pack/__init__.py": "",
            "src/pack/run.py": package,
            "src/pack/unused.py": "def f():\n    return 1\n",
            "tests/test_run.py": "from pack.run import go\n\n\ndef test_go():\n    assert go([])\n",
            "tests/test_lost.py": "import nosuchmodule\n",
            "tests/test_syntax.py": "def test_x(:\n",
            "tests/test_value.py": "x = int('a')\n",
        },
    )
    output = await run(given)
    found = datum(output, "test_report")
    assert (found["passed"], found["errors"], found["total"]) == (0, 3, 3)
    causes = {f["test"]: (f["exception"], f["file"], f["line"]) for f in found["failures"]}
    assert causes == {
        "tests/test_lost.py": ("ModuleNotFoundError", "tests/test_lost.py", 1),
        "tests/test_syntax.py": ("SyntaxError", "tests/test_syntax.py", 1),
        "tests/test_value.py": ("ValueError", "tests/test_value.py", 1),
    }
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason


SMALL = {
    "broken.py": "def f(:\n",
    "binary.py": "\0",
    "calc.py": "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n",
    "extra.py": "def more(x):\n    if x:\n        return 1\n    return 2\n",
    "test_calc.py": (
        "import calc\nimport extra\n\n\ndef test_add():\n    assert calc.add(1, 2) == 3\n\n\n"
        "def test_bad():\n    assert extra.more(1) == 2\n\n\n"
        "def test_other():\n    assert calc.add(1, 1) == 2\n"
    ),
}


def recount(d: Data, file: int, missing: list[int]) -> None:
    """A lie that is consistent in itself: other missing lines, and percentages to match."""
    entry = d["coverage"]["files"][file]
    entry["missing_lines"] = missing
    entry["percent"] = round(100 * (entry["statements"] - len(missing)) / entry["statements"], 2)
    all_missing = sum(len(f["missing_lines"]) for f in d["coverage"]["files"])
    statements = d["coverage"]["statements"]
    d["coverage"]["percent"] = round(100 * (statements - all_missing) / statements, 2)


CORRUPTIONS: dict[str, Callable[[Data], None]] = {
    "a wrong count": lambda d: d.update(passed=3, total=4),
    "all passed": lambda d: d.update(passed=3, failed=0, failures=[]),
    "a wrong percentage": lambda d: d["coverage"].update(percent=100.0),
    "a wrong percentage of a file": lambda d: d["coverage"]["files"][0].update(percent=99.0),
    "another test": lambda d: d["failures"][0].update(test="test_calc.py::test_other"),
    "another exception": lambda d: d["failures"][0].update(exception="ValueError"),
    "another message": lambda d: d["failures"][0].update(message="assert 1 == 3"),
    "another line": lambda d: d["failures"][0].update(line=6),
    "another file": lambda d: d["failures"][0].update(file="calc.py"),
    "executed lines named as missing": lambda d: recount(d, 0, [2, 6]),
    "full coverage": lambda d: recount(d, 0, []),
    "lines of another file": lambda d: recount(d, 1, [6]),
    "another file's coverage": lambda d: d["coverage"]["files"][0].update(path="extra2.py"),
    "another project": lambda d: d.update(project=d["project"] + "2"),
    "truncated": lambda d: d.update(failures=[]),
    "a file left out": lambda d: d["coverage"].update(files=d["coverage"]["files"][:1]),
    "an incredible duration": lambda d: d.update(duration_s=1e6),
    "emptied": lambda d: d.clear(),
}


async def test_corrupted_stale_and_garbage_results_are_rejected(tmp_path: Path) -> None:
    given = project_in(tmp_path, SMALL)
    output = await run(given)
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason
    await assert_garbage_is_rejected(CHECK, given, output, "test_report")
    results = await asyncio.gather(
        *(
            verdict(CHECK, given, corrupted(output, "test_report", change))
            for change in CORRUPTIONS.values()
        )
    )
    passed = [name for name, result in zip(CORRUPTIONS, results, strict=True) if result.passed]
    assert passed == []
    assert all(result.reason for result in results)
    calc = given.workspace / "shop" / "calc.py"
    calc.write_text(calc.read_text() + "# changed\n")
    result = await verdict(CHECK, given, output)
    assert not result.passed
    assert "changed" in result.reason


async def test_a_flaky_test_does_not_condemn_an_honest_report(tmp_path: Path) -> None:
    """It fails in every other run: the report's, not the check's first, the check's second."""
    state = tmp_path / "state"
    flaky = (
        f"import pathlib\n\n\ndef test_flaky():\n    state = pathlib.Path({str(state)!r})\n"
        "    text = state.read_text() if state.exists() else ''\n    state.write_text(text + 'x')\n"
        "    assert len(text) % 2\n"
    )
    given = project_in(tmp_path, {"test_flaky.py": flaky})
    output = await run(given)
    assert datum(output, "test_report")["failed"] == 1
    result = await verdict(CHECK, given, output)
    assert result.passed, result.reason
    assert state.read_text() == "xxx"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"calc.py": "x = 1\n"}, "no tests found"),
        pytest.param(
            {"test_x.py": "def helper():\n    pass\n"}, "no tests found", id="no functions"
        ),
        (
            {"test_x.py": "def test_x(): pass\n", "pytest.ini": "[pytest]\naddopts = --nosuch\n"},
            "--nosuch",
        ),
        ({"test_x.py": "def test_x(): pass\n", "conftest.py": "import nosuchmodule\n"}, "nosuch"),
        ({"test_x.py": "import os\n\n\ndef test_x():\n    os.abort()\n"}, "test_x.py::test_x"),
    ],
)
async def test_projects_that_cannot_be_tested(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(AgentError, match=message):
        await run(project_in(tmp_path, files))


async def test_a_hanging_test_is_named(tmp_path: Path) -> None:
    code = "def test_good():\n    pass\n\n\ndef test_hang():\n    while True:\n        pass\n"
    base = project_in(tmp_path, {"test_x.py": code})
    given = assignment(base.workspace, base.inputs, "test_report", timeout_s=4.0)
    with pytest.raises(AgentError, match=r"did not end within 3\.2 s.*test_x.py::test_hang"):
        await run(given)


async def test_paths_are_bounded(tmp_path: Path) -> None:
    given = project_in(tmp_path, SMALL)
    for path in (tmp_path, given.workspace / "none", given.workspace / "shop" / "calc.py"):
        with pytest.raises(WorkspaceError):
            await run(assignment(given.workspace, {"project": str(path)}, "test_report"))


def test_lines_on_which_tools_differ_are_told_apart() -> None:
    known = statements_of(
        '"""Doc."""\nx = (\n    1,\n)\nif x:  # pragma: no cover\n    y = 1\n\n\n'
        "@deco\ndef f():\n    global z\n    return x\n"
    )
    assert known.certain == {2, 12}
    assert {1, 5, 6, 9, 10, 11} <= known.possible
    assert known.executed([3, 12]) == {2, 12}
