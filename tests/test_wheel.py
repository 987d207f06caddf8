"""The wheel: what it holds, and that it works where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CONFIG = "infrastructure/_config"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def metadata(names: set[str]) -> str:
    """The wheel's folder of metadata."""
    (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    return folder


class Installed:
    """The unpacked wheel, used from a folder that has nothing to do with the checkout."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.site = folder / "site"
        self.folder = folder / "empty"
        self.home = folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GENESIS_", "MEMORI_", "PYTHON", "XDG_DATA"))
        }
        # First on the path, so that it hides the checkout that is installed for development.
        self._environment |= {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}
        self._environment |= {"HOME": str(self.home), "USERPROFILE": str(self.home)}

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def command(self, *arguments: str) -> dict[str, Any]:
        """What `genesis ... --json` prints."""
        done = self.python("-m", "genesis.cli.app", *arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.site)) for path in self.site.rglob("*")}


@pytest.fixture
def installed(tmp_path: Path, wheel: Path) -> Installed:
    return Installed(tmp_path.resolve(), wheel)


def test_it_holds_the_packages_and_nothing_else(names: set[str], metadata: str) -> None:
    assert {name.partition("/")[0] for name in names} == {"genesis", "infrastructure", metadata}
    folders = {part for name in names for part in Path(name).parts[:-1]}
    assert folders.isdisjoint({"tests", "__pycache__", ".hypothesis", "benchmarks", "examples"})
    suffixes = {Path(name).suffix for name in names if not name.startswith(metadata)}
    assert suffixes <= {".py", ".typed", ".yaml", ".json", ".jsonl"}
    assert {"genesis/py.typed", "infrastructure/py.typed"} <= names


def test_no_source_and_no_default_is_left_behind(names: set[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("genesis", "infrastructure")
        for path in (ROOT / package).rglob("*.py")
    }
    defaults = {f"{CONFIG}/{path.name}" for path in (ROOT / "config").iterdir()}
    assert sources <= names
    assert defaults
    assert defaults <= names


def test_its_metadata(wheel: Path, metadata: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        told = Parser().parsestr(archive.read(f"{metadata}/METADATA").decode())
        scripts = archive.read(f"{metadata}/entry_points.txt").decode()
        licence = archive.read(f"{metadata}/licenses/LICENSE").decode()
    assert told["Name"] == "genesis-orchestrator"
    assert told["License-Expression"] == "MIT"
    assert told["Requires-Python"] == ">=3.11"
    assert licence == (ROOT / "LICENSE").read_text()
    assert "genesis = genesis.cli.app:main" in scripts
    needed = [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert needed
    assert not [line for line in needed if line.startswith(("torch", "pytest", "duckdb"))]


def test_the_command_works_from_an_empty_folder(installed: Installed) -> None:
    before = installed.files()
    found = installed.python(
        "-c", "import genesis, infrastructure; print(genesis.__file__, infrastructure.__file__)"
    )
    assert found.stdout.split() == [
        str(installed.site / package / "__init__.py") for package in ("genesis", "infrastructure")
    ], found.stderr

    findings = {f["subject"]: f for f in installed.command("doctor")["findings"]}
    for name in ("settings.yaml", "feature_flags.json", "plan_templates.yaml"):
        assert findings[name]["detail"] == str(installed.site / CONFIG / name)
    assert "error" not in {finding["state"] for finding in findings.values()}
    assert list(installed.folder.iterdir()) == []

    (installed.folder / "data.csv").write_text("city,price\nOslo,3\nRome,8\nOslo,5\n")
    question = "How many rows are in data.csv, and which city has the highest mean price?"
    result = installed.command("run", question)
    assert result["success"], result["errors"]
    assert "3 rows" in result["output"]
    assert "Rome" in result["output"]
    (run,) = installed.command("runs")["runs"]
    assert run["run_id"] == result["run_id"]

    # What it keeps lies in the user's data folder, not beside the data and not beside the code.
    store = Path(installed.command("path")["db_path"])
    assert store.is_file()
    assert store.is_relative_to(installed.home)
    assert [path.name for path in installed.folder.iterdir()] == ["data.csv"]
    assert installed.files() == before
