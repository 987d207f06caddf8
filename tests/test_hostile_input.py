"""What others wrote (names, cells, messages) meets the terminal; a broken set-up meets the user."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from genesis.cli.console import SafeConsole
from genesis.errors import InputError
from genesis.planning.given import find_given

ESCAPES = "\x1b[31mred\x1b[2J\x1b]0;title\x07\u202ertl\x9b1m"
QUESTION = "How many rows are in data.csv?"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "data.csv").write_text("city;price\nOslo;1,5\nRome;2,5\n")
    return folder


def genesis(
    workspace: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in a workspace, its data beside it."""
    ours = ("GENESIS", "MEMORI", "COLUMNS")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    data = str(workspace.parent / "data")
    return subprocess.run(
        [sys.executable, "-m", "genesis.cli.app", *arguments],
        cwd=workspace,
        env={**inherited, "GENESIS_DATA_DIR": data, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )


def test_no_control_character_of_a_text_reaches_the_terminal() -> None:
    written = io.StringIO()
    console: Console = SafeConsole(file=written, color_system=None, force_terminal=True, width=60)
    table = Table(box=None)
    table.add_row("cell " + ESCAPES)
    console.print(table)
    console.print("line " + ESCAPES, markup=False)
    console.print("plain\nlines")
    assert "plain\nlines" in written.getvalue()
    assert not set(written.getvalue()) & set("\x1b\x07\u202e\x9b")


def test_the_colours_of_the_command_itself_stay() -> None:
    written = io.StringIO()
    console = SafeConsole(file=written, color_system="standard", force_terminal=True)
    console.print("line", style="red")
    assert written.getvalue() == "\x1b[31mline\x1b[0m\n"


def test_errors_of_scripts_and_names_of_files_cannot_steer_the_terminal(workspace: Path) -> None:
    (workspace / "crash.py").write_text(f"raise ValueError({ESCAPES!r})\n", encoding="utf-8")
    (workspace / "esc\x1b[31mred.csv").write_text("a\n1\n")
    debugged = genesis(workspace, "run", "Debug crash.py")
    missing = genesis(workspace, "run", "How many rows are in escred.csv?")
    assert "ValueError" in debugged.stdout
    assert "red.csv" in missing.stderr
    shown = genesis(workspace, "runs")
    for done in (debugged, missing, shown):
        assert not set(done.stdout + done.stderr) & set("\x1b\x07\u202e\x9b")


def test_brackets_of_the_user_are_no_markup(workspace: Path) -> None:
    """What `show` and `metrics` print may hold what Rich would take for a style's end."""
    done = genesis(workspace, "run", QUESTION, "--session", "[/x]", "--json")
    run = str(json.loads(done.stdout)["run_id"])
    shown = genesis(workspace, "show", run)
    assert (shown.returncode, "session [/x]" in shown.stdout) == (0, True), shown.stderr
    assert genesis(workspace, "feedback", run, "--task-type", "[/y]").returncode == 0
    metrics = genesis(workspace, "metrics")
    assert (metrics.returncode, "[/y]" in metrics.stdout) == (0, True), metrics.stderr
    in_a_pipe = genesis(workspace, "runs").stdout
    narrow = genesis(workspace, "runs", COLUMNS="80").stdout
    assert QUESTION in in_a_pipe
    for listed in (in_a_pipe, narrow):
        assert run in listed
        assert "How many" in listed


def test_a_path_is_shown_whole_in_a_narrow_terminal(workspace: Path) -> None:
    shown = genesis(workspace, "doctor", COLUMNS="60").stdout
    assert "…" not in shown
    listed = genesis(workspace, "agents", "list", COLUMNS="80").stdout
    assert "answer_questions" in listed


@pytest.mark.parametrize("name", ["prices.yaml", "routing_rules.yaml", "settings.yaml"])
def test_the_doctor_reads_every_configuration_file(workspace: Path, name: str) -> None:
    (workspace / "config").mkdir()
    (workspace / "config" / name).write_text("a: [1,\n")
    done = genesis(workspace, "doctor", "--json")
    assert done.returncode == 1
    wrong = [f for f in json.loads(done.stdout)["findings"] if f["state"] == "error"]
    assert [finding["subject"] for finding in wrong] == [name]
    assert "line 2 column 1" in wrong[0]["detail"]


def test_the_doctor_says_that_a_model_cannot_be_set_up(workspace: Path) -> None:
    done = genesis(workspace, "doctor", "--json", GENESIS_MODEL="nonsense:model")
    wrong = [f for f in json.loads(done.stdout)["findings"] if f["state"] == "error"]
    assert [finding["subject"] for finding in wrong] == ["chat model"]
    assert "nonsense" in wrong[0]["detail"]


@pytest.mark.parametrize(
    ("request_", "context", "complaint"),
    [
        (None, {}, "must be text, not NoneType"),
        (b"How many rows?", {}, "must be text, not bytes"),
        (QUESTION, {"thing": object()}, "'thing' must be plain JSON data"),
        (QUESTION, {"a name": 1}, "names no datum"),
    ],
)
def test_what_is_no_text_or_no_data_is_refused_by_name(
    workspace: Path, request_: Any, context: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        find_given(request_, workspace, context)


def test_a_failure_is_not_padded_with_planners_that_had_nothing_to_say(workspace: Path) -> None:
    done = genesis(workspace, "run", "Run the tests")
    assert done.returncode == 1
    assert "lacks a folder with tests" in done.stderr
    assert "has no plan" not in done.stderr
    late = genesis(workspace, "run", QUESTION, "--timeout", "0")
    assert "the run's deadline passed" in late.stderr
    assert "-0.0" not in late.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_stop_ends_its_script_and_can_be_gone_on_with(
    workspace: Path, number: signal.Signals
) -> None:
    """The script writes its process id into a pipe, whose other end closes when it is gone."""
    pipe = workspace / "pipe"
    os.mkfifo(pipe)
    (workspace / "waits.py").write_text(
        "import os, signal\n"
        "pipe = os.open('pipe', os.O_WRONLY)\n"
        "os.write(pipe, str(os.getpid()).encode())\n"
        "signal.pause()\n"
    )
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    environment = {**os.environ, "GENESIS_DATA_DIR": str(workspace.parent / "data")}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit "ignored"
    try:
        command = subprocess.Popen(
            [sys.executable, "-m", "genesis.cli.app", "run", "Debug waits.py"],
            cwd=workspace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert select.select([reader], [], [], 60)[0], "the script was not started"
        assert os.read(reader, 100)
        command.send_signal(number)
        _, said = command.communicate(timeout=60)
        assert select.select([reader], [], [], 60)[0]
        assert os.read(reader, 100) == b"", "the script goes on"
    finally:
        os.close(reader)
        command.kill()
    assert command.returncode == 128 + number
    assert "interrupted" in said
    listed = json.loads(genesis(workspace, "runs", "--json").stdout)["runs"]
    assert [run["state"] for run in listed] == ["interrupted"]
