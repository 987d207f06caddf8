"""A run gives the files of its own folder, whatever its agents say that they wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis.server.own_files import own_file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for run_id in ("mine", "mine-2"):
        (tmp_path / "runs" / run_id / "task-1").mkdir(parents=True)
        (tmp_path / "runs" / run_id / "task-1" / "report.md").write_text("text")
    (tmp_path / "memory.db").write_text("secret")
    (tmp_path / "runs" / "mine" / "link").symlink_to(tmp_path / "memory.db")
    return tmp_path


def test_a_file_of_the_run_is_given(data: Path) -> None:
    named = str(data / "runs" / "mine" / "task-1" / "report.md")
    assert own_file(named, "mine", data) == Path(named).resolve()


@pytest.mark.parametrize(
    "named",
    [
        "runs/mine-2/task-1/report.md",
        "runs/mine/../mine-2/task-1/report.md",
        "runs/mine/link",
        "runs/mine/task-1",
        "runs/mine/gone.md",
        "memory.db",
    ],
)
def test_nothing_else_is(data: Path, named: str) -> None:
    assert own_file(str(data / named), "mine", data) is None


def test_an_odd_run_id_leads_nowhere(data: Path) -> None:
    assert own_file(str(data / "memory.db"), "../..", data / "runs") is None
