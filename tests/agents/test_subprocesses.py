"""A bounded subprocess: time, output, environment, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from pathlib import Path

import pytest

from genesis.agents.subprocesses import clean_environment, run_bounded
from infrastructure.errors import AgentError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def ends(pid: int) -> bool:
    """Whether a process that was killed is gone soon: the signal takes a moment to arrive."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


async def test_output_exit_code_and_streams(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = await run_bounded(python(code), cwd=tmp_path, timeout_s=30)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert not done.timed_out
    assert not done.truncated


async def test_output_beyond_the_cap_keeps_its_end(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000 + 'END')"
    done = await run_bounded(python(code), cwd=tmp_path, timeout_s=30, output_cap=1000)
    assert len(done.stdout) == 1000
    assert done.stdout.endswith("END")
    assert done.truncated


FORKING = """
import os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
pathlib.Path('pids').write_text(f'{os.getpid()} {child.pid}')
os.rename('pids', 'ready')
child.wait()
"""


async def pids_of(folder: Path) -> list[int]:
    ready = folder / "ready"
    while not ready.exists():  # noqa: ASYNC110 - the file is another process's doing
        await asyncio.sleep(0)
    return [int(pid) for pid in ready.read_text().split()]


async def test_cancelling_kills_the_whole_group(tmp_path: Path) -> None:
    running = asyncio.create_task(run_bounded(python(FORKING), cwd=tmp_path, timeout_s=60))
    pids = await pids_of(tmp_path)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert all(ends(pid) for pid in pids)


@pytest.mark.parametrize("turns", range(8))
async def test_cancelling_while_it_starts_leaves_nothing_behind(tmp_path: Path, turns: int) -> None:
    running = asyncio.create_task(run_bounded(python(FORKING), cwd=tmp_path, timeout_s=60))
    for _ in range(turns):
        await asyncio.sleep(0)
    # The event loop stands still, so that the start, if it has begun, is overtaken by its process.
    forked = threading.Event()
    watch = threading.Thread(target=set_when_there, args=(tmp_path / "ready", forked))
    watch.start()
    started = forked.wait(1.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    forked.set()
    watch.join()
    if started:
        assert all(ends(pid) for pid in await pids_of(tmp_path))


def set_when_there(file: Path, there: threading.Event) -> None:
    """Set the event when the file exists, or stop when it is set elsewhere."""
    while not there.wait(0.01):
        if file.exists():
            there.set()


async def test_a_time_out_kills_the_whole_group(tmp_path: Path) -> None:
    done = await run_bounded(python(FORKING), cwd=tmp_path, timeout_s=1.0)
    assert done.timed_out
    assert all(ends(pid) for pid in await pids_of(tmp_path))


async def test_a_child_left_in_the_background_ends_with_its_leader(tmp_path: Path) -> None:
    done = await run_bounded(
        python(FORKING.replace("child.wait()", "")), cwd=tmp_path, timeout_s=60
    )
    assert not done.timed_out
    assert all(ends(pid) for pid in await pids_of(tmp_path))


async def test_no_secret_reaches_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hidden-1")
    monkeypatch.setenv("GITHUB_TOKEN", "hidden-2")
    monkeypatch.setenv("DATABASE", "postgresql://me:hidden-3@localhost/db")
    monkeypatch.setenv("PLAIN", "seen")
    code = "import os; print(dict(os.environ))"
    done = await run_bounded(python(code), cwd=tmp_path, timeout_s=30, environment={"MORE": "too"})
    assert "hidden" not in done.stdout
    assert "seen" in done.stdout
    assert "too" in done.stdout
    assert clean_environment()["PATH"] == os.environ["PATH"]


async def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot start"):
        await run_bounded(["no-such-command"], cwd=tmp_path, timeout_s=1)
