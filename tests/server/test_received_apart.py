"""Files that came with one caller's request are out of another's sight, code and agents alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis import GenesisOrchestrator, OrchestrationResult
from genesis.errors import InputError
from genesis.server.received_files import Received
from genesis.tasks.received import received_folder, received_with
from infrastructure.a2a.types import Message, Part
from infrastructure.config import load_settings

SECRET = "plan_of_the_first_caller"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    source = f'def {SECRET}():\n    """Documented."""\n'
    first = Message("m", "user", (Part(raw=source.encode(), filename="plan.py"),))
    Received.of(first, folder, "run-of-the-first")
    return folder


async def _asked(workspace: Path, request: str, context: dict[str, str]) -> OrchestrationResult:
    data = workspace.parent / "data"
    chosen = load_settings(workspace=workspace, db_path=str(data / "memory.db"), data_dir=data)
    async with GenesisOrchestrator(settings=chosen) as orchestrator:
        run_id = await orchestrator.accept(request, context=context, remote=True)
        return await orchestrator.resume(run_id)


async def test_code_of_another_caller_sees_its_own_files_alone(workspace: Path) -> None:
    spy = (
        "import pathlib\n"
        f"found = [p.name for p in pathlib.Path({str(workspace)!r}).rglob('*.py')]\n"
        "raise SystemError('found ' + ' '.join(sorted(found)))\n"
    )
    message = Message("m", "user", (Part(raw=spy.encode(), filename="spy.py"),))
    received = Received.of(message, workspace, "run-of-the-second")
    (script,) = received.given.values()
    result = await _asked(workspace, "Debug the script: why does it fail?", {"script": str(script)})
    told = result.model_dump_json()
    assert "found 0-spy.py" in told
    assert "plan.py" not in told


NAMES = (".genesis-received", "./.genesis-received/", "x/../.genesis-received")


@pytest.mark.parametrize("name", NAMES)
async def test_the_folder_of_all_received_files_may_not_be_named(
    workspace: Path, name: str
) -> None:
    (workspace / "x").mkdir()
    with pytest.raises(InputError, match="does not exist"):
        await _asked(workspace, "Write API documentation of the source.", {"source": name})


async def test_documenting_the_workspace_leaves_them_out(workspace: Path) -> None:
    (workspace / "own.py").write_text('def own():\n    """Its own."""\n')
    result = await _asked(workspace, "Write API documentation of the source.", {"source": "."})
    assert result.success, result.errors
    assert SECRET not in result.model_dump_json()


def test_only_paths_into_one_requests_folder_show_it(tmp_path: Path) -> None:
    folder = received_folder(tmp_path)
    values = [
        ".genesis-received/a/0-x.py",
        str(folder / "b" / "1-y.csv"),
        ".genesis-received",
        ".genesis-received/c/../d/z",
        "elsewhere/.genesis-received/e/z",
        ["no path"],
        "x\0.genesis-received",
    ]
    assert received_with(values, tmp_path) == (folder / "a", folder / "b")
