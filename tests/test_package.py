"""What importing the package costs and offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import genesis

HEAVY = (
    "torch",
    "langgraph",
    "starlette",
    "a2a",
    "langchain_core",
    "duckdb",
    "matplotlib",
    "wordllama",
)


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["genesis", "infrastructure", "genesis.cli.app"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    assert loaded_after(f"import {package}").isdisjoint(HEAVY)


def test_the_orchestrator_loads_neither_torch_nor_a_web_framework_nor_a_model() -> None:
    loaded = loaded_after("from genesis import GenesisOrchestrator")
    assert loaded.isdisjoint(
        {"torch", "starlette", "a2a", "duckdb", "matplotlib", "wordllama", "langchain_openai"}
    )


@pytest.mark.parametrize(
    "module",
    [f"genesis.cli.{name}" for name in ("runs", "show", "diff", "metrics", "memory", "doctor")],
)
def test_commands_that_only_read_start_without_what_runs_need(module: str) -> None:
    assert loaded_after(f"import {module}").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["genesis", "genesis.orchestrator", "genesis.testing"])
def test_pytest_is_loaded_by_the_contract_of_stores_alone(module: str) -> None:
    assert "pytest" not in loaded_after(f"import {module}")
    assert "pytest" in loaded_after("import genesis.testing.memory_contract")


def test_the_contract_of_stores_says_what_to_install() -> None:
    script = "import sys; sys.modules['pytest'] = None; import genesis.testing.memory_contract"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert "pip install pytest pytest-asyncio" in done.stderr


def test_public_names() -> None:
    assert genesis.__all__ == [
        "Assignment",
        "GenesisOrchestrator",
        "OrchestrationResult",
        "Skill",
        "TaskOutput",
    ]
    for name in genesis.__all__:
        assert getattr(genesis, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = genesis.no_such_name


def test_langgraph_revives_only_what_is_expected() -> None:
    """A stored blob that names an object of some module comes back as data, not as the object."""
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import genesis.orchestrator\n"
        "from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer\n"
        "from genesis.tasks.task import Usage\n"
        "serializer = JsonPlusSerializer()\n"
        "revived = serializer.loads_typed(serializer.dumps_typed(Usage(1, 2, 3.0)))\n"
        "print(type(revived).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() != "Usage"
