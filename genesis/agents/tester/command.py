"""How pytest is started: the same options for the run and for its proof."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath

from infrastructure.errors import AgentError

_NO_PLUGINS = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
_TEST_FOLDERS = frozenset({"test", "tests", "testing"})


def require_tools() -> None:
    """Raises `AgentError` unless pytest and coverage are installed beside Genesis."""
    missing = [name for name in ("pytest", "coverage") if find_spec(name) is None]
    if missing:
        raise AgentError(
            f"{' and '.join(missing)} not installed;"
            " install with: pip install 'genesis-orchestrator[agents]'"
        )


def pytest_options() -> list[str]:
    """Options that write nothing into the project and keep plugins from measuring beside us."""
    options = ["-vv", "--tb=auto", "--color=no", "--rootdir=.", "-p", "no:cacheprovider"]
    options += ["-p", "no:randomly"]
    if os.environ.get(_NO_PLUGINS):
        return options  # what is not loaded knows no options
    if find_spec("pytest_cov") is not None:
        options.append("--no-cov")
    if find_spec("xdist") is not None:
        options.append("-n0")
    return options


def pytest_environment(project: Path, scratch: Path) -> dict[str, str]:
    """Variables for pytest: a `src` folder is importable, hypothesis stores in `scratch`.

    Where the project is a package itself, its tests import it by name from the folder above.
    """
    folders = [str(project / "src")] if (project / "src").is_dir() else []
    above = project
    while (above / "__init__.py").is_file():
        above = above.parent
    if above != project:
        folders.append(str(above))
    inherited = os.environ.get("PYTHONPATH", "")
    # Whether plugins are loaded decides the options above, so that it must be the same inside.
    plugins = os.environ.get(_NO_PLUGINS, "")
    return {
        **({_NO_PLUGINS: plugins} if plugins else {}),
        "PYTHONPATH": os.pathsep.join([*folders, *([inherited] if inherited else [])]),
        "PYTEST_ADDOPTS": "",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
    }


def is_test_file(path: PurePath) -> bool:
    """Whether a path relative to the project belongs to its tests, not to what they test."""
    name = path.name
    named = name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py")
    return named or not _TEST_FOLDERS.isdisjoint(path.parts[:-1])


def is_measured(path: PurePath, files: Sequence[PurePath]) -> bool:
    """Whether coverage of this relative path is reported: a source file that is not a test."""
    return path in files and not is_test_file(path)
