"""The documentation is true: its code runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import typer.main
import yaml
from typer.core import TyperGroup

from genesis.cli.app import app

ROOT = Path(__file__).parent.parent
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
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GENESIS_", "MEMORI_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
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


def console_lines() -> Iterator[str]:
    for page in PAGES:
        for block in blocks(page, "console"):
            yield from (line for line in block.splitlines() if line.startswith("genesis "))


@pytest.mark.parametrize("line", sorted(set(console_lines())))
def test_every_command_parses(line: str) -> None:
    _, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    context = typer.Context(command)
    while isinstance(command, TyperGroup):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None, f"there is no command {name!r}"
        command, context = found, typer.Context(found, parent=context, info_name=name)
    # Parses only: raises for an unknown option, a missing argument, or one too many.
    command.make_context(context.info_name, arguments)


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
