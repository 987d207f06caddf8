"""A process's name tells later whether the process still lives; who cannot tell says it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from infrastructure.processes import is_dead, this_process


def named_child() -> tuple[subprocess.Popen[str], str]:
    """A process that waits for its input to end, and its name."""
    code = "import sys; from infrastructure.processes import this_process;"
    code += " print(this_process('x'), flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_a_process_lives_until_it_ends() -> None:
    child, name = named_child()
    try:
        assert not is_dead(name)
        child.kill()
        # Killed and not yet waited for, it is a zombie: that is dead, too.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)
    finally:
        child.communicate()
    assert is_dead(name)


def test_parts_of_one_process_have_names_of_their_own() -> None:
    assert this_process("a") != this_process("b")
    assert not is_dead(this_process("a"))


def test_a_forked_child_is_another_process() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, this_process("x").encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as said:
        name = said.read()
    assert name != this_process("x")
    assert is_dead(name)


def test_a_process_of_the_same_number_that_began_later_is_another() -> None:
    machine, pid, started, token = this_process("x").split("|")
    assert is_dead("|".join((machine, pid, str(int(started) - 1), token)))


@pytest.mark.parametrize("change", [0, 1, 2], ids=["elsewhere", "no number", "no start"])
def test_who_cannot_tell_calls_nobody_dead(change: int) -> None:
    parts = this_process("x").split("|")
    parts[change] = ("another machine", "12x", "")[change]
    assert not is_dead("|".join(parts))


@pytest.mark.parametrize("name", ["", "x", "a|b", "a|1|2|3|4"])
def test_what_is_no_name_is_nobody_dead(name: str) -> None:
    assert not is_dead(name)


def test_a_number_that_no_process_can_have_is_not_taken_for_a_dead_one() -> None:
    machine, _, started, token = this_process("x").split("|")
    assert not is_dead("|".join((machine, "9" * 30, started, token)))
    assert is_dead("|".join((machine, "999999999", started, token)))
