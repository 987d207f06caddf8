"""Programs that take too much: stopped, cut or refused, and nothing of them is left."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path

import pytest
from confined_python import MIB, gone, processes_with, run_inside, said_inside

from infrastructure.errors import SandboxError, SandboxUnavailable
from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.process import Completed
from infrastructure.sandbox.runner import run_sandboxed, why_unavailable


async def test_a_fork_bomb_is_contained(tmp_path: Path) -> None:
    marker = secrets.token_hex(8)
    code = f"""
    import os  # {marker}
    while True:
        try: os.fork()
        except OSError: pass
    """
    done = await run_inside(code, tmp_path, wall_s=2.0, processes=40)
    assert done.timed_out
    assert done.duration_s < 15
    assert processes_with(marker) == []


async def test_the_number_of_processes_and_threads_is_limited(tmp_path: Path) -> None:
    code = """
    import os, signal, threading
    made = 0
    try:
        while True:
            if os.fork() == 0: signal.pause()
            made += 1
    except OSError as error: print(made, type(error).__name__)
    try: threading.Thread(target=signal.pause).start()
    except RuntimeError: print("no thread")
    """
    said = (await said_inside(code, tmp_path, processes=30)).splitlines()
    count, error = said[0].split()
    assert error == "BlockingIOError"
    assert 20 <= int(count) < 30
    assert said[1] == "no thread"


@pytest.mark.parametrize(
    "hog",
    [
        "held.append(bytearray(8 << 20))",
        "m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20)); held.append(m)",
    ],
)
@pytest.mark.parametrize("forks", [0, 3])
async def test_memory_is_limited_for_all_processes_together(
    tmp_path: Path, hog: str, forks: int
) -> None:
    code = f"import mmap, os\nfor _ in range({forks}): os.fork()\nheld = []\nwhile True: {hog}"
    done = await run_inside(code, tmp_path, memory_bytes=200 * MIB)
    assert done.stopped == "it used more than 200 MiB of memory"


async def test_memory_shared_by_processes_is_counted_once(tmp_path: Path) -> None:
    code = """
    import os, time
    held = bytearray(os.urandom(60 << 20))
    children = []
    for _ in range(5):
        if (pid := os.fork()) == 0: time.sleep(0.5); os._exit(0)
        children.append(pid)
    for pid in children: os.waitpid(pid, 0)
    print("done")
    """
    assert await said_inside(code, tmp_path, memory_bytes=200 * MIB) == "done"


async def test_one_process_cannot_ask_for_more_address_space(tmp_path: Path) -> None:
    code = "try: bytearray(3 << 30)\nexcept MemoryError: print('refused')"
    assert await said_inside(code, tmp_path, address_space_bytes=1 << 30) == "refused"


async def test_endless_output_is_cut(tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    done = await run_inside(code, tmp_path, wall_s=1.5, stream_bytes=10_000)
    assert done.timed_out
    assert done.truncated
    assert len(done.stdout) == 10_000


async def test_an_endless_run_is_killed_with_all_its_children(tmp_path: Path) -> None:
    """Also those in sessions of their own, that ignore signals, whose parents are gone."""
    marker = secrets.token_hex(8)
    code = f"""
    import os, signal, time  # {marker}
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork(): os._exit(0)
            for number in range(1, 32):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            os.close(1), os.close(2)
            while True: time.sleep(1)
    print("ready", flush=True)
    while True: pass
    """
    done = await run_inside(code, tmp_path, wall_s=1.0)
    assert done.timed_out
    assert done.stdout == "ready\n"
    assert processes_with(marker) == []


async def test_what_outlives_the_command_is_killed(tmp_path: Path) -> None:
    marker = secrets.token_hex(8)
    code = f"import os, time  # {marker}\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(60)"
    started = time.monotonic()
    done = await run_inside(code, tmp_path)
    assert done.returncode == 0
    assert time.monotonic() - started < 15
    assert processes_with(marker) == []


async def test_processor_time_is_limited(tmp_path: Path) -> None:
    done = await run_inside("while True: pass", tmp_path, cpu_s=1)
    assert done.returncode == -9
    assert not done.timed_out


async def test_an_interrupt_lets_it_say_where_it_was(tmp_path: Path) -> None:
    code = """
    import signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try: time.sleep(60)
    except KeyboardInterrupt: print("interrupted")
    """
    done = await run_sandboxed(
        [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())],
        cwd=tmp_path,
        policy=SandboxPolicy(wall_s=1.0),
        interrupt_s=10.0,
    )
    assert done.timed_out
    assert done.stdout == "interrupted\n"


async def test_large_files_are_stopped(tmp_path: Path) -> None:
    code = """
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for place in ("/tmp/x", "x"):
        with open(place, "wb", buffering=0) as file:
            try:
                while True: file.write(bytes(1 << 20))
            except OSError as error: print(error.errno, file.tell() >> 20)
    """
    said = await said_inside(code, tmp_path, file_bytes=8 * MIB)
    assert said.splitlines() == ["27 8", "27 8"]  # EFBIG


async def test_many_files_fill_only_the_sandboxes_own_folders(tmp_path: Path) -> None:
    code = """
    for place in ("/tmp", ".", "/dev/shm"):
        written = 0
        try:
            for number in range(1000):
                with open(f"{place}/{number}", "wb", buffering=0) as file:
                    written += file.write(bytes(1 << 20))
        except OSError as error: print(error.errno, written >> 20 <= 65)
    """
    said = await said_inside(code, tmp_path, scratch_bytes=32 * MIB)
    assert said.splitlines() == ["28 True"] * 3  # ENOSPC


async def test_artifacts_come_back_and_are_limited(tmp_path: Path) -> None:
    artifacts, workspace = tmp_path / "artifacts", tmp_path / "workspace"
    artifacts.mkdir()
    workspace.mkdir()
    (artifacts / "before.txt").write_text("before")
    code = f"""
    import os, pathlib
    folder = pathlib.Path({str(artifacts)!r})
    print((folder / "before.txt").read_text())
    (folder / "deep").mkdir()
    (folder / "deep" / "made.txt").write_text("made")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "before.txt").unlink(); (folder / "before.txt").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (folder / "program").write_text("x"); (folder / "program").chmod(0o6777)
    (folder / "closed").mkdir(); (folder / "closed").chmod(0)
    """
    done = await run_inside(code, workspace, artifacts=artifacts)
    assert (done.returncode, done.stdout) == (0, "before\n"), done
    files = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}
    assert files == {"before.txt", "deep/made.txt", "program"}
    assert not any(path.is_symlink() for path in artifacts.rglob("*"))
    assert (artifacts / "before.txt").read_text() == "before"
    assert (artifacts / "program").stat().st_mode & 0o6111 == 0
    assert (artifacts / "deep" / "made.txt").stat().st_uid == tmp_path.stat().st_uid


async def test_too_many_artifacts_stop_the_program(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    code = f"""
    import time
    for number in range(100_000):
        with open(f"{artifacts}/{{number}}", "wb") as file: file.write(bytes(WRITTEN))
        time.sleep(0.001)
    """
    most = await run_inside(
        code.replace("WRITTEN", "0"), artifacts, artifacts=artifacts, artifact_files=50
    )
    assert most.stopped == "it wrote more than 50 artifacts"


async def test_too_large_artifacts_stop_the_program(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    code = f"""
    import time
    for number in range(1000):
        with open(f"{artifacts}/{{number}}", "wb") as file: file.write(bytes(1 << 20))
        time.sleep(0.01)
    """
    done = await run_inside(code, artifacts, artifacts=artifacts, artifact_bytes=8 * MIB)
    assert done.stopped == "it wrote more than 8 MiB of artifacts"
    assert list(artifacts.iterdir()) == []


async def started_with(marker: str) -> list[int]:
    while not (found := processes_with(marker)):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0)
    return found


async def test_cancelling_leaves_no_process_behind(tmp_path: Path) -> None:
    marker = secrets.token_hex(8)
    code = f"""
    import os, time  # {marker}
    for _ in range(3):
        if os.fork() == 0: os.setsid()
    while True: time.sleep(1)
    """
    running = asyncio.create_task(run_inside(code, tmp_path))
    async with asyncio.timeout(20):
        pids = await started_with(marker)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_with(marker) == []
    assert all(gone(pid) for pid in pids)


ORPHANING = """
import asyncio, sys
from pathlib import Path
from infrastructure.sandbox.runner import run_sandboxed

code = "import os, time  # MARKER\\nif os.fork() == 0: os.setsid()\\ntime.sleep(60)"
folder = Path(__file__).parent
asyncio.run(run_sandboxed([sys.executable, "-c", code], cwd=folder, workspace=folder))
"""


async def test_when_this_process_is_killed_the_sandbox_goes_with_it(tmp_path: Path) -> None:
    marker = secrets.token_hex(8)
    program = tmp_path / "program.py"
    program.write_text(ORPHANING.replace("MARKER", marker))
    process = await asyncio.create_subprocess_exec(sys.executable, str(program))
    async with asyncio.timeout(20):
        # bubblewrap outside and inside, the command, and its child in a session of its own
        while len(pids := processes_with(marker)) < 4:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0)
    process.kill()
    await process.wait()
    assert all(gone(pid) for pid in pids)
    assert processes_with(marker) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34])
async def test_cancelling_at_any_moment_leaves_nothing_behind(tmp_path: Path, turns: int) -> None:
    marker = secrets.token_hex(8)
    running = asyncio.create_task(run_inside(f"import time; time.sleep(60)  # {marker}", tmp_path))
    for _ in range(turns):
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_with(marker) == []


async def test_many_at_once_do_not_hinder_each_other(tmp_path: Path) -> None:
    async def one(number: int) -> Completed:
        return await run_inside(f"print({number})", tmp_path, processes=8)

    done = await asyncio.gather(*(one(number) for number in range(12)))
    assert [found.stdout for found in done] == [f"{number}\n" for number in range(12)]


async def test_a_large_workspace_gives_only_the_folder_that_is_started_in(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "small.txt").write_text("small")
    (tmp_path / "large.bin").write_bytes(bytes(4 * MIB))
    policy = SandboxPolicy(copy_bytes=2 * MIB)
    seen = await run_sandboxed(["/bin/ls", ".."], cwd=part, workspace=tmp_path, policy=policy)
    assert seen.stdout.split() == ["part"]
    with pytest.raises(SandboxError, match="more than the 2 MiB"):
        await run_sandboxed(["/bin/ls"], cwd=tmp_path, workspace=tmp_path, policy=policy)


@pytest.mark.parametrize("folder", ["/", "/usr", "/etc", "/proc"])
async def test_folders_of_the_system_are_no_workspace(folder: str) -> None:
    with pytest.raises(SandboxError, match="belongs to the system"):
        await run_sandboxed(["/bin/ls"], cwd=Path(folder), workspace=Path(folder))


async def test_nothing_runs_where_bubblewrap_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        await run_inside("open('made', 'w')", tmp_path)
    assert "apt-get install bubblewrap" in await why_unavailable()


async def test_nothing_runs_where_bubblewrap_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that forbids namespaces: bubblewrap says so and ends."""
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxUnavailable, match="No permissions to create"):
        await run_inside("open('made', 'w')", tmp_path)


async def test_this_machine_has_the_sandbox() -> None:
    assert await why_unavailable() == ""


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="wall_s"):
        SandboxPolicy(wall_s=0)
