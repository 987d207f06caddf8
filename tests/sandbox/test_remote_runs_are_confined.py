"""Whole runs: what a remote caller asks for, and with `sandbox: always` everybody, is confined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genesis import GenesisOrchestrator
from infrastructure.config import load_settings


@pytest.mark.parametrize(
    ("remote", "settings", "leaves_traces"),
    [
        pytest.param(False, {}, True, id="the owner"),
        pytest.param(True, {}, False, id="remote"),
        pytest.param(True, {"sandbox": "never"}, False, id="remote, whatever is set"),
        pytest.param(
            False,
            {"sandbox": "always"},
            False,
            id="always",
        ),
    ],
)
async def test_a_run(
    tmp_path: Path, remote: bool, settings: dict[str, Any], leaves_traces: bool
) -> None:
    """Neither the agent's run of the script nor its check's leaves a file behind when confined."""
    workspace, traces = tmp_path / "workspace", tmp_path / "traces"
    workspace.mkdir()
    traces.mkdir()
    (workspace / "spy.py").write_text(
        f"import os\ntry:\n    open(f'{traces}/{{os.getpid()}}', 'w').close()\n"
        "except OSError:\n    pass\nprint('done')\n"
    )
    chosen = load_settings(
        workspace=workspace, db_path=str(tmp_path / "m.db"), data_dir=tmp_path / "data", **settings
    )
    async with GenesisOrchestrator(settings=chosen) as orchestrator:
        run_id = await orchestrator.accept("Debug spy.py: why does it fail?", remote=remote)
        result = await orchestrator.resume(run_id)
    assert result.state == "completed", result.errors
    assert len(list(traces.iterdir())) == (2 if leaves_traces else 0)
