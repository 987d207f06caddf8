"""Generated code and its tests, run in a copy of the project by a process of their own."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from genesis.agents.builder_files import is_source, write_files
from genesis.agents.subprocesses import Confinement, run_bounded
from infrastructure.errors import AgentError

RUN_TIMEOUT_S = 60.0
_OUTPUT_BYTES = 64 << 10
_ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
_IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes:
        passed, failed, skipped: tests; an error in a fixture or a module counts as failed.
        ok: whether everything ran, at least one test passed and none failed.
        output: what the run wrote.
    """

    passed: int
    failed: int
    skipped: int
    ok: bool
    output: str


async def run_project(
    files: Mapping[PurePosixPath, str], *, confined: bool, timeout_s: float = RUN_TIMEOUT_S
) -> RunReport:
    """Import every source module, then run all tests, in a fresh copy.

    Args:
        files: the project.
        confined: whether it runs in the sandbox; otherwise with the rights of this process.
        timeout_s: seconds that each of the two may take.

    Raises:
        AgentError: pytest is not installed, or the sandbox is missing or stopped the code.
    """
    if importlib.util.find_spec("pytest") is None:
        raise AgentError("running tests needs pytest: pip install 'genesis-orchestrator[agents]'")
    with tempfile.TemporaryDirectory(prefix="genesis-build-") as name:
        base = Path(name)
        project = base / "project"
        project.mkdir()
        encoded = {path: text.encode() for path, text in files.items()}
        await asyncio.to_thread(write_files, project, encoded)
        modules = sorted({_module(path) for path in files if is_source(path)} - {""})
        # -P keeps the folder off the path until pytest itself is loaded, so that no generated
        # file can take its place.
        importing = await run_bounded(
            [sys.executable, "-P", "-c", _IMPORT_ALL, str(project), *modules],
            cwd=project,
            timeout_s=timeout_s,
            output_cap=_OUTPUT_BYTES,
            confined=Confinement() if confined else None,
        )
        if importing.returncode != 0:
            problem = "importing the code took too long" if importing.timed_out else ""
            return RunReport(0, 0, 0, False, f"{problem}\n{importing.stderr}".strip())
        return await _run_tests(base, project, timeout_s, confined)


async def _run_tests(base: Path, project: Path, timeout_s: float, confined: bool) -> RunReport:
    written = base / "written"
    written.mkdir()
    settings, report = base / "pytest.ini", written / "report.xml"
    settings.write_text("[pytest]\npythonpath = project\n")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-c", str(settings), f"--junitxml={report}", str(project)]
    done = await run_bounded(
        command,
        cwd=project,
        timeout_s=timeout_s,
        environment=_ENVIRONMENT,
        output_cap=_OUTPUT_BYTES,
        confined=Confinement(artifacts=written, readable=(settings,)) if confined else None,
    )
    output = f"{done.stdout}\n{done.stderr}".strip()
    if done.timed_out:
        return RunReport(0, 0, 0, False, f"the tests took longer than {timeout_s:g} s\n{output}")
    passed, failed, skipped = _counts(report)
    ok = done.returncode == 0 and passed > 0 and failed == 0
    return RunReport(passed, failed, skipped, ok, output)


def _counts(report: Path) -> tuple[int, int, int]:
    try:
        root = ElementTree.parse(report).getroot()  # noqa: S314 - expat bounds entity expansion
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0  # the run ended before it could report: no test has passed
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def _module(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in {"__init__", "__main__"} else parts)
