"""Control groups: made, filled, killed and removed on this machine's own cgroup v2 tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from confined_python import MIB, gone, run_inside

from infrastructure.sandbox.cgroup import ControlGroup
from infrastructure.sandbox.policy import SandboxPolicy

POLICY = SandboxPolicy(memory_bytes=100 * MIB, processes=20)


@pytest_asyncio.fixture
async def group() -> AsyncGenerator[ControlGroup]:
    """A group without limits: which controllers it could have is the machine's affair."""
    made = ControlGroup.make(POLICY, needed=())
    if made is None:
        pytest.skip("this process may not make cgroup v2 groups")
    yield made
    await made.remove()


async def test_a_process_and_its_children_are_killed_with_the_group(group: ControlGroup) -> None:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", "read line; sleep 60 & echo $!; wait"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    group.add(process.pid)
    process.stdin.write(b"go\n")
    child = int(await process.stdout.readline())
    members = (group.folder / "cgroup.procs").read_text().split()
    assert {str(process.pid), str(child)} <= set(members)
    await group.remove()
    assert await process.wait() == -9
    assert gone(child)
    assert not group.folder.exists()


async def test_a_group_is_removed_twice_without_harm(group: ControlGroup) -> None:
    await group.remove()
    await group.remove()
    assert not group.ran_out_of_memory()


async def test_no_group_is_made_without_its_controllers() -> None:
    assert ControlGroup.make(POLICY, needed=("no-such-controller",)) is None


async def test_memory_and_processes_are_limited_by_the_kernel(tmp_path: Path) -> None:
    made = ControlGroup.make(POLICY)
    if made is None:
        pytest.skip("cgroup v2 does not pass on the memory and pids controllers here")
    assert (made.folder / "memory.max").read_text().strip() == str(POLICY.memory_bytes)
    assert (made.folder / "pids.max").read_text().strip() == str(POLICY.processes)
    await made.remove()
    done = await run_inside(
        "held = []\nwhile True: held.append(bytearray(1 << 20))", tmp_path, memory_bytes=100 * MIB
    )
    assert done.stopped == "it used more than 100 MiB of memory"
