"""The documentation is true: its code runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest
import typer
import typer.main
import yaml
from loopback import Serve
from typer.core import TyperGroup

from genesis.cli.app import app
from genesis.testing import FakeAgent
from infrastructure.memory.memori import filters, indexer, items, nearest, tokens, values
from infrastructure.memory.memori.store import MemoriStore

# Typer carries a copy of Click, and names no more of it than this.
ClickException: Any = typer.BadParameter.__mro__[2]

ROOT = Path(__file__).parent.parent
MEMORY = ROOT / "docs" / "memory.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in _BLOCK.findall(page.read_text()) if kind == language]


def code_of(page: Path) -> str:
    """All Python of a page as one script, as a reader would collect it."""
    return "\n\n".join(blocks(page, "python"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the files that the pages speak of."""
    (tmp_path / "data.csv").write_text("city,price\nOslo,3\nRome,8\nOslo,5\nRome,6\n")
    (tmp_path / "notes.md").write_text("one two  three\n\nfour\n")
    return tmp_path


def run_in(folder: Path, code: str) -> str:
    return run_python(folder, "-c", code)


def run_python(folder: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS_", "MEMORI_"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_additions(shipped: Any, added: Any) -> Any:
    """What a user gets who puts the new entries of a page into a copy of a shipped file."""
    if isinstance(shipped, dict) and isinstance(added, dict):
        old, new = cast("dict[str, Any]", shipped), cast("dict[str, Any]", added)
        return old | {key: with_additions(old.get(key), value) for key, value in new.items()}
    if isinstance(shipped, list) and added and isinstance(added[0], dict):
        return [*cast("list[Any]", shipped), *added]
    return added


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_compiles(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, page.name, "exec")


def test_the_readmes_code_runs(folder: Path) -> None:
    printed = run_in(folder, code_of(ROOT / "README.md"))
    assert "4 rows" in printed
    assert "Rome" in printed
    assert "[execute]" in printed
    assert "Ada took a train to Oslo." in printed


def test_a_plan_is_repaired_as_described(folder: Path) -> None:
    printed = run_in(folder, code_of(ROOT / "docs" / "planning.md"))
    assert "duplicate again rows" in printed
    assert "exact 11.0" in printed


def test_a_policy_is_trained_as_described(folder: Path) -> None:
    check, training = blocks(ROOT / "docs" / "routing.md", "python")
    ask = "\n".join(
        [
            "import asyncio",
            "from genesis import GenesisOrchestrator",
            "async def main():",
            "    async with GenesisOrchestrator() as orchestrator:",
            "        for _ in range(3):",
            "            await orchestrator.execute_orchestrated_request('Profile data.csv')",
            "asyncio.run(main())",
        ]
    )
    printed = run_in(folder, "\n\n".join((check, ask, training)))
    assert "profile_data/data_analyst//" in printed


def test_an_agent_of_ones_own_works_as_described(folder: Path) -> None:
    page = ROOT / "docs" / "agents.md"
    (addition,) = blocks(page, "yaml")
    shipped = yaml.safe_load((ROOT / "config" / "plan_templates.yaml").read_text())
    merged = with_additions(shipped, yaml.safe_load(addition))
    (folder / "config").mkdir()
    (folder / "config" / "plan_templates.yaml").write_text(yaml.safe_dump(merged))
    assert run_in(folder, code_of(page)).split("\n")[0] == "4 words []"

    # Its check guards the datum: the same page with an agent that counts wrongly.
    wrong = code_of(page).replace(".split())\n    return", ".split()) + 1\n    return")
    assert wrong != code_of(page)
    assert "5 words reported, 4 counted" in run_in(folder, wrong)


def test_the_page_on_execution_runs(folder: Path) -> None:
    printed = run_in(folder, code_of(ROOT / "docs" / "execution.md")).splitlines()
    assert printed[0].startswith("completed")
    assert "completed" in printed[1:]
    assert any(line.startswith("data_analyst 0 0 ") for line in printed)


def test_the_page_on_agemem_runs(folder: Path) -> None:
    assert run_in(folder, code_of(ROOT / "docs" / "agemem.md")) == ""


async def test_an_agent_is_served_and_asked_as_the_page_on_a2a_says(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    _, ask, serving = blocks(ROOT / "docs" / "a2a.md", "python")
    page: dict[str, Any] = {"__name__": "page", "agent": FakeAgent("word counter")}

    def app(url: str) -> Any:
        exec(compile(serving.replace("http://127.0.0.1:8400", url), "a2a.md", "exec"), page)
        return page["app"]

    exec(compile(ask, "a2a.md", "exec"), page)
    served = await serve(app)
    await page["ask"](served.url, "How many words?")
    printed = capsys.readouterr().out
    assert "TaskState.COMPLETED" in printed
    assert "ArtifactUpdate" in printed


def test_an_agent_elsewhere_is_registered_as_the_page_on_a2a_says(folder: Path) -> None:
    assert run_in(folder, blocks(ROOT / "docs" / "a2a.md", "python")[0]) == ""


GIVEN: Final = {"place", "store", "other"}
"""What an example of the memory page may ask for: a place to open, one open store, or two."""


def memory_examples() -> list[str]:
    """The coroutine functions of the memory page that need nothing but what is given."""
    return [
        node.name
        for node in ast.parse(code_of(MEMORY)).body
        if isinstance(node, ast.AsyncFunctionDef)
        and {argument.arg for argument in node.args.args} <= GIVEN
    ]


@pytest.mark.parametrize("name", memory_examples())
@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_every_example_of_memory_works_on_both_databases(
    name: str,
    backend: str,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    page: dict[str, Any] = {"__name__": "page"}
    exec(compile(code_of(MEMORY), MEMORY.name, "exec"), page)
    place = request.getfixturevalue("postgres_url") if backend == "postgres" else "example.db"
    asyncio.run(with_what_it_asks_for(page[name], str(place)))


async def with_what_it_asks_for(example: Any, place: str) -> None:
    asked = set(inspect.signature(example).parameters)
    if "place" in asked:
        await example(place=place)
        return
    async with (
        MemoriStore.from_conn_string(place) as store,
        MemoriStore.from_conn_string("other.db") as other,
    ):
        given = {"store": store, "other": other}
        await example(**{name: given[name] for name in asked})


def test_the_example_of_moving_works_on_stores_that_hold_items(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    page: dict[str, Any] = {"__name__": "page"}
    exec(compile(code_of(MEMORY), MEMORY.name, "exec"), page)

    async def move(store: MemoriStore, other: MemoriStore) -> None:
        for opened in (store, other):
            await opened.aput(("facts",), "1", {"text": "The fee is 3 euros."})
        await page["move"](store, other)

    asyncio.run(with_what_it_asks_for(move, "one.db"))


@pytest.mark.parametrize(
    "told",
    [
        f"{values.MAX_BYTES // 2**20} MiB as JSON, nested {values.MAX_DEPTH} deep",
        f"{items.MAX_KEY_BYTES:,} bytes of UTF-8 each",
        f"{filters.MAX_CONDITIONS} conditions, nested {filters.MAX_NESTED} deep",
        f"{tokens.MAX_CHARACTERS:,} characters, {tokens.MAX_TERM_CHARACTERS} of a word",
        f"| terms of a query | {tokens.MAX_QUERY_TERMS} |",
        f"When more than {indexer.MAX_BACKLOG:,} items wait",
        f"by at most {indexer.STALL_S:g} seconds",
        f"Up to {nearest.EXACT_ROWS:,} vectors every one is compared",
    ],
)
def test_the_limits_told_are_those_of_the_store(told: str) -> None:
    assert told in MEMORY.read_text()


def test_a_store_of_ones_own_is_tried_as_described(folder: Path) -> None:
    (folder / "test_mine.py").write_text(code_of(MEMORY))
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    printed = run_python(folder, "-m", "pytest", "-q", "-k", "undo or undelete or brought_back")
    assert " passed" in printed


def test_tests_of_ones_own_pass_as_described(folder: Path) -> None:
    (folder / "test_mine.py").write_text(code_of(ROOT / "docs" / "testing.md"))
    settings = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    (folder / "pytest.ini").write_text(f"[pytest]\n{settings}")
    assert "3 passed" in run_python(folder, "-m", "pytest", "-q")


def console_lines() -> Iterator[str]:
    """The commands of the pages, with and without a prompt, up to a pipe or redirection."""
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if (command := line.removeprefix("$ ")).startswith("genesis "):
                    yield command


@pytest.mark.parametrize("line", sorted(set(console_lines())))
def test_every_command_parses(line: str) -> None:
    _, *arguments = shlex.split(line, comments=True)
    for number, word in enumerate(arguments):
        if word in ("|", ">", "&&"):
            arguments = arguments[:number]
            break
    assert arguments, "genesis by itself is no command"
    parse(typer.main.get_command(app), "genesis", arguments)


def parse(command: Any, name: str, arguments: list[str], above: Any = None) -> None:
    """Parse as the command would, and run nothing.

    Raises for an unknown command or option, a missing argument, or one too many.
    """
    context = command.make_context(name, list(arguments), parent=above)
    if not isinstance(command, TyperGroup):
        return
    rest = command.make_parser(context).parse_args(list(arguments))[1]
    if not rest:
        assert command.invoke_without_command, f"{name} by itself is no command"
        return
    found_name, found, others = command.resolve_command(context, rest)
    assert found is not None, f"there is no command {found_name!r}"
    parse(found, str(found_name), others, context)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("genesis serv", "No such command"),
        ("genesis serve --prot 1", "No such option"),
        ("genesis serve tokn a", "No such command"),
        ("genesis serve token", "Missing argument"),
        ("genesis agents --json", "No such option"),
    ],
)
def test_a_line_that_is_no_command_is_noticed(line: str, why: str) -> None:
    with pytest.raises(ClickException) as raised:
        test_every_command_parses(line)
    assert why in raised.value.format_message()


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake (\w+)$", page.read_text())}
    named |= {
        line.split()[1]
        for page in PAGES
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("make ")
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
