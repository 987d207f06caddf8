"""What tests of the command share."""

from pathlib import Path

import pytest
from cli_process import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command in a workspace with a data file."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "data.csv").write_text("city;price\nOslo;1,5\nRome;2,5\nRome;3,5\n")
    return Cli(workspace, tmp_path / "data")
