"""The command on a terminal: colours unless they are not wanted, and never a question."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from cli_process import COMMAND, Cli

QUESTION = "How many rows are in data.csv?"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def on_a_terminal(cli: Cli, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and all that is written, where stdin, stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cli.workspace,
        env={**cli.environment, "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        written = b"".join(iter(lambda: _read(ours), b""))
        return process.wait(timeout=60), written.decode()
    finally:
        process.kill()
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # EIO: everybody has closed the other end
        return b""


def test_colours_are_left_out_where_they_are_not_wanted(cli: Cli) -> None:
    code, coloured = on_a_terminal(cli, "plan", QUESTION)
    assert (code, bool(COLOUR.search(coloured))) == (0, True)
    code, plain = on_a_terminal(cli, "plan", QUESTION, NO_COLOR="1")
    assert (code, bool(COLOUR.search(plain))) == (0, False)
    assert "data_analyst" in plain


def test_a_run_that_needs_a_person_does_not_ask_at_the_terminal(cli: Cli) -> None:
    code, written = on_a_terminal(cli, "run", QUESTION, "--approve", "plan")
    assert code == 4
    assert "genesis approve" in written
