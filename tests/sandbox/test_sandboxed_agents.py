"""Agents that execute code, for a remote caller: confined, proved alike, or refused."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from genesis.agents.assignment import Assignment
from genesis.agents.builder_run import run_project
from genesis.agents.debugger import agent as debugger
from genesis.agents.profiler import agent as profiler
from genesis.agents.tester import agent as tester
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import Task, TaskOutput, Verdict
from infrastructure.errors import AgentError

SECRET = "swordfish-4711"
Run = Callable[[Assignment], Awaitable[TaskOutput]]
AGENTS: dict[str, tuple[Run, Check, str]] = {
    "tester": (tester.run, tester.CHECKS["tests_proven"], "test_report"),
    "profiler": (profiler.run, profiler.CHECKS["hotspots_proven"], "hotspots"),
    "debugger": (debugger.run, debugger.CHECKS["diagnosis_proven"], "diagnosis"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text(SECRET)
    return folder


def remote(workspace: Path, produces: str, **inputs: str) -> Assignment:
    """What a remote caller asks for, with the artifacts in the data folder of the workspace."""
    artifacts = workspace / "data" / "runs" / "run-1" / "t-1"
    artifacts.mkdir(parents=True, exist_ok=True)
    task = Task("t", "d", "general", requires=tuple(inputs), produces=(produces,), timeout_s=60.0)
    return Assignment(task, "request", dict(inputs), workspace, artifacts, sandboxed=True)


async def proof(check: Check, given: Assignment, output: TaskOutput) -> Verdict:
    return await check(
        Submission(
            given.task, given.request, given.inputs, output, {}, given.workspace,
            given.artifacts_dir, sandboxed=given.sandboxed,
        )
    )  # fmt: skip


def spying(workspace: Path, port: int) -> str:
    """Code that raises once it has found anything that it must not."""
    return f"""
import os, socket
def look():
    found = []
    for path in ("{workspace.parent}/outside.txt", "{workspace}/data/memory.db", "/etc/shadow"):
        try: found.append(open(path).read())
        except OSError: pass
    found += [name for name in os.environ if name == "GENESIS_TEST_SECRET"]
    try: found.append(repr(socket.create_connection(("127.0.0.1", {port}), timeout=2)))
    except OSError: pass
    try: open("{workspace}/left-behind", "w").close()
    except OSError: pass
    if found: raise RuntimeError(f"found {{found}}")
    return sum(number * number for number in range(20_000))
"""


async def asked(name: str, workspace: Path, code: str) -> tuple[Assignment, TaskOutput, Verdict]:
    run, check, produces = AGENTS[name]
    if name == "tester":
        (workspace / "spy.py").write_text(code)
        (workspace / "test_spy.py").write_text("import spy\n\ndef test_spy(): assert spy.look()\n")
        given = remote(workspace, produces, project=".")
    else:
        (workspace / "spy.py").write_text(f"{code}\nlook()\n")
        given = remote(workspace, produces, script="spy.py")
    output = await run(given)
    return given, output, await proof(check, given, output)


@pytest.mark.parametrize("name", AGENTS)
async def test_spying_code_finds_nothing_and_the_answer_is_proved(
    name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESIS_TEST_SECRET", SECRET)
    (workspace / "data").mkdir()
    (workspace / "data" / "memory.db").write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = spying(workspace, server.getsockname()[1])
        _, output, verdict = await asked(name, workspace, code)
    assert verdict.passed, verdict.reason
    assert "found" not in output.text
    data = cast("dict[str, object]", output.data[AGENTS[name][2]])
    if name == "tester":
        assert (data["passed"], data["failed"]) == (1, 0)
    if name == "debugger":
        assert data["outcome"] == "ok"
    assert not (workspace / "left-behind").exists()
    assert all(Path(path).is_file() for path in output.artifacts)


async def test_the_same_code_spies_when_it_is_not_confined(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would prove nothing."""
    (workspace / "spy.py").write_text(f"{spying(workspace, 9)}\nlook()\n")
    given = replace(remote(workspace, "diagnosis", script="spy.py"), sandboxed=False)
    output = await debugger.run(given)
    assert SECRET in output.text
    assert (workspace / "left-behind").exists()


@pytest.mark.parametrize("name", AGENTS)
async def test_where_the_sandbox_is_missing_the_agent_fails_with_the_reason(
    name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(workspace))
    with pytest.raises(AgentError, match="apt-get install bubblewrap"):
        await asked(name, workspace, "def look(): open('left-behind', 'w'); return 1")
    assert not (workspace / "left-behind").exists()


@pytest.mark.parametrize("name", ["profiler", "debugger"])
async def test_where_the_sandbox_is_missing_the_check_proves_nothing(
    name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, output, verdict = await asked(name, workspace, "def look(): return sum(range(99999))")
    assert verdict.passed, verdict.reason
    monkeypatch.setenv("PATH", str(workspace))
    again = await proof(AGENTS[name][1], given, output)
    assert not again.passed
    assert "apt-get install bubblewrap" in again.reason


async def test_code_that_crosses_a_limit_fails_with_the_reason(workspace: Path) -> None:
    code = """
import glob, itertools
def look():
    folder = glob.glob("data/runs/*/*")[0]
    for number in itertools.count():
        with open(f"{folder}/{number}", "wb") as file: file.write(bytes(16 << 20))
"""
    with pytest.raises(AgentError, match="sandbox stopped the code: it wrote more than 256 MiB"):
        await asked("profiler", workspace, code)
    assert len(list((workspace / "data" / "runs" / "run-1" / "t-1").iterdir())) == 0


async def test_a_forged_profile_is_not_read_by_this_process(workspace: Path) -> None:
    """Its format can crash its reader; here it only claims to be one."""
    code = """
import atexit, glob, marshal, os, sys
def look():
    path = glob.glob(os.path.dirname(os.path.abspath(__file__)) + "/data/runs/*/*")[0]
    sys.stdout.flush()
    open(path + "/profile.pstats", "wb").write(b"[" * 100_000)
    os._exit(0)
"""
    with pytest.raises(AgentError, match="is damaged"):
        await asked("profiler", workspace, code)


def project(code: str, test: str) -> dict[PurePosixPath, str]:
    return {
        PurePosixPath("made.py"): code,
        PurePosixPath(
            "tests/test_made.py"
        ): f"import made\n\ndef test_made() -> None:\n    {test}\n",
    }


async def test_generated_code_is_run_confined(tmp_path: Path) -> None:
    secret = tmp_path / "outside.txt"
    secret.write_text(SECRET)
    files = project(
        f"def read() -> str:\n    return open({str(secret)!r}).read()\n",
        f"assert made.read() == {SECRET!r}",
    )
    confined = await run_project(files, confined=True)
    assert not confined.ok
    assert confined.failed == 1
    assert "FileNotFoundError" in confined.output
    assert (await run_project(files, confined=False)).ok


async def test_generated_code_that_works_is_seen_to_work(tmp_path: Path) -> None:
    files = project("def double(n: int) -> int:\n    return 2 * n\n", "assert made.double(2) == 4")
    report = await run_project(files, confined=True)
    assert report.ok, report.output
    assert report.passed == 1


async def test_generated_code_is_not_run_without_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = tmp_path / "made"
    files = project(f"open({str(made)!r}, 'w')\n", "pass")
    with pytest.raises(AgentError, match="apt-get install bubblewrap"):
        await run_project(files, confined=True)
    assert not made.exists()
