"""The debugger on real scripts, and what its acceptance check lets through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_inspection import (
    Data,
    assert_garbage_is_rejected,
    assignment,
    corrupted,
    datum,
    interruptible,
    verdict_of,
)

from genesis.agents.debugger.agent import CARD, CHECKS, CHECKS_OF_DATA, run
from genesis.agents.debugger.causes import explain, scene_of
from genesis.agents.debugger.traceback_text import parse_traceback
from infrastructure.errors import InputError, WorkspaceError

CHECK = CHECKS[CHECKS_OF_DATA["diagnosis"]]

CASES = {
    "name": ("total = 1\nprint(totl)\n", "NameError", 2, "'total'"),
    "key": ("d = {'price': 1}\n\n\nd['prise']\n", "KeyError", 4, "'price'"),
    "module": ("import nosuchmodule\n", "ModuleNotFoundError", 1, "nosuchmodule"),
    "index": ("def last(v):\n    return v[len(v)]\n\n\nlast([1])\n", "IndexError", 2, "beyond"),
    "zero": ("n = 0\nprint(1 / n)\n", "ZeroDivisionError", 2, "'n'"),
    "none": ("def f():\n    pass\n\n\nf() + 1\n", "TypeError", 5, "None"),
    "syntax": ("def f(:\n    pass\n", "SyntaxError", 1, "cannot parse"),
    "library": ("import json\n\njson.loads('{')\n", "json.decoder.JSONDecodeError", 3, "Expecting"),
    "recursion": ("def f():\n    f()\n\n\nf()\n", "RecursionError", 2, "calls itself"),
    "own": (
        "class Odd(Exception): pass\n\nx = Odd('two\\nlines')\nx.add_note('noted')\nraise x\n",
        "Odd", 5, "noted",
    ),
    "group": (
        "def f():\n    raise ExceptionGroup('many', [ValueError(1), KeyError('k')])\n\n\nf()\n",
        "ExceptionGroup", 2, "many (2 sub-exceptions)",
    ),
    "latin": ("# -*- coding: latin-1 -*-\nraise ValueError('é')\n", "ValueError", 2, "é"),
    "printed": (
        "import sys, traceback\ntry:\n    int('x')\nexcept ValueError:\n"
        "    traceback.print_exc()\nsys.exit(1)\n",
        "ValueError", 3, "invalid literal",
    ),
}  # fmt: skip


def script_in(folder: Path, source: str, name: str = "script.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(source.encode("latin-1" if "latin-1" in source else "utf-8"))
    return path


@pytest.mark.parametrize("case", CASES)
async def test_names_the_place_and_the_cause(tmp_path: Path, case: str) -> None:
    source, exception, line, said = CASES[case]
    script = script_in(tmp_path / "w", source)
    given = assignment(tmp_path / "w", {"script": str(script)}, "diagnosis")
    output = await run(given)
    found = datum(output, "diagnosis")
    assert (found["exception"], found["line"]) == (exception, line)
    assert found["file"] == str(script)
    assert said in found["cause"] + found["suggestion"]
    assert found["ran"] == (case != "syntax")
    verdict = await verdict_of(CHECK, given, output)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize(
    ("source", "outcome", "code", "said"),
    [
        ("print('fine')\n", "ok", 0, "ran clean"),
        ("import sys\n\nif True:\n    sys.exit(3)\n", "exit", 3, "line 4"),
        ("import sys\n\nsys.exit('no input given')\n", "exit", 1, "no input given"),
        (
            "import os\n\n\ndef f():\n    os.kill(os.getpid(), 11)\n\n\nf()\n",
            "signal", -11, "SIGSEGV",
        ),
        (
            "import threading as t\n\nt = t.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\n",
            "ok", 0, "ZeroDivisionError",
        ),
    ],
)  # fmt: skip
async def test_endings_without_an_uncaught_exception(
    tmp_path: Path, source: str, outcome: str, code: int, said: str
) -> None:
    script = script_in(tmp_path / "w", source)
    given = assignment(tmp_path / "w", {"script": str(script)}, "diagnosis")
    output = await run(given)
    found = datum(output, "diagnosis")
    assert (found["outcome"], found["exit_code"], found["exception"]) == (outcome, code, "")
    assert said in output.text
    assert found["line"] == (5 if outcome == "signal" else 0)
    verdict = await verdict_of(CHECK, given, output)
    assert verdict.passed, verdict.reason
    for change in ({"exit_code": 7}, {"exception": "KeyError"}, {"line": 77}, {"chained": ["x"]}):
        bad = corrupted(output, "diagnosis", lambda d, change=change: d.update(change))
        assert not (await verdict_of(CHECK, given, bad)).passed


async def test_a_hang_names_the_line(tmp_path: Path) -> None:
    source = "def spin():\n    while True:\n        pass\n\n\nspin()\n"
    script = script_in(tmp_path / "w", source)
    given = assignment(tmp_path / "w", {"script": str(script)}, "diagnosis", timeout_s=1.5)
    with interruptible():
        output = await run(given)
    found = datum(output, "diagnosis")
    assert (found["outcome"], found["exit_code"], found["function"]) == ("timeout", None, "spin")
    assert found["line"] in {2, 3}
    assert (await verdict_of(CHECK, given, output)).passed
    ended = corrupted(output, "diagnosis", lambda d: d.update(outcome="ok", exit_code=0))
    assert not (await verdict_of(CHECK, given, ended)).passed


async def test_chained_exceptions_arguments_and_findings(tmp_path: Path) -> None:
    source = (
        "import os\nimport sys\n\n\ndef read(name):\n    try:\n        return open(name)\n"
        "    except OSError as error:\n        raise RuntimeError(f'no {name}') from error\n"
        "\n\nread(sys.argv[1])\n"
    )
    script = script_in(tmp_path / "w", source)
    inputs = {"script": str(script), "script_args": ["missing.txt"]}
    given = assignment(tmp_path / "w", inputs, "diagnosis")
    output = await run(given)
    found = datum(output, "diagnosis")
    assert (found["exception"], found["message"]) == ("RuntimeError", "no missing.txt")
    assert found["chained"][0].startswith("FileNotFoundError")
    assert [(f["code"], f["line"]) for f in found["findings"]] == [("F401", 1)]
    assert (await verdict_of(CHECK, given, output)).passed
    unchained = corrupted(output, "diagnosis", lambda d: d.update(chained=[]))
    assert not (await verdict_of(CHECK, given, unchained)).passed


CORRUPTIONS: dict[str, Callable[[Data], None]] = {
    "a wrong line": lambda d: d.update(line=d["line"] - 1),
    "a wrong exit code": lambda d: d.update(exit_code=2),
    "another function": lambda d: d.update(function="other"),
    "another exception": lambda d: d.update(exception="KeyError"),
    "another message": lambda d: d.update(message="list index out of reach"),
    "another source line": lambda d: d.update(source_line="return v"),
    "it ran clean": lambda d: d.update(outcome="ok", exception="", message="", exit_code=0),
    "it never ran": lambda d: d.update(ran=False),
    "another script": lambda d: d.update(script=d["script"].replace("script", "another")),
    "truncated": lambda d: d.update(findings=[]),
    "an invented finding": lambda d: d["findings"].append(dict(d["findings"][0], line=9)),
    "no cause": lambda d: d.update(cause=" "),
    "emptied": lambda d: d.clear(),
}


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A script that fails and has a finding."""
    source = "import os\n\n\ndef last(v):\n    return v[len(v)]\n\n\nlast([1])\n"
    return script_in(tmp_path / "w", source)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
async def test_corrupted_results_are_rejected(judged: Path, corruption: str) -> None:
    given = assignment(judged.parent, {"script": str(judged)}, "diagnosis")
    bad = corrupted(await run(given), "diagnosis", CORRUPTIONS[corruption])
    verdict = await verdict_of(CHECK, given, bad)
    assert not verdict.passed
    assert verdict.reason


async def test_a_stale_result_and_garbage_are_rejected(judged: Path) -> None:
    given = assignment(judged.parent, {"script": str(judged)}, "diagnosis")
    output = await run(given)
    await assert_garbage_is_rejected(CHECK, given, output, "diagnosis")
    judged.write_text("# " + judged.read_text())
    verdict = await verdict_of(CHECK, given, output)
    assert not verdict.passed
    assert "changed" in verdict.reason


async def test_paths_are_bounded(tmp_path: Path) -> None:
    outside = script_in(tmp_path / "other", "print(1)\n")
    workspace = tmp_path / "w"
    link = script_in(workspace, "print(1)\n").with_name("link.py")
    link.symlink_to(outside)
    (workspace / "empty.py").touch()
    (workspace / "notes.txt").write_text("print(1)")
    for path in (outside, link, workspace / "none.py", workspace / "empty.py",
                 workspace / "notes.txt", workspace):  # fmt: skip
        with pytest.raises(WorkspaceError):
            await run(assignment(workspace, {"script": str(path)}, "diagnosis"))
    for value in (None, 3, "", "a\0b"):
        with pytest.raises(InputError):
            await run(assignment(workspace, {"script": value}, "diagnosis"))
    inputs = {"script": "script.py", "script_args": "--flag"}
    with pytest.raises(InputError, match="script_args"):
        await run(assignment(workspace, inputs, "diagnosis"))


def test_a_traceback_that_was_survived_is_not_the_last_one() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/a.py", line 1, in f\n    x\n'
        "ValueError: first\nsome log line\n"
        'Traceback (most recent call last):\n  File "/a.py", line 9, in g\n    y\n'
        "OSError: second\n"
    )
    assert [raised.message for raised in parse_traceback(text)] == ["second"]


@pytest.mark.parametrize("exception", ["AttributeError", "Odd", "ValueError", "AssertionError"])
def test_every_cause_speaks_of_its_exception(exception: str) -> None:
    cause, suggestion = explain(scene_of(exception, "m", "", ""))
    assert exception in cause
    assert suggestion


def test_the_card_declares_what_the_check_judges() -> None:
    assert CARD.skills[0].requires == ("script",)
    assert CARD.skills[0].produces == tuple(CHECKS_OF_DATA)
