"""The example's two programming requests, with a scripted chat model and with none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai_server import ChatRequest, Failure, OpenAIServer, Reply, Scripted
from two_algorithms import REQUESTS, implement

from genesis import GenesisOrchestrator, OrchestrationResult
from infrastructure.config import load_flags, load_settings

SEARCH = '''\
"""Binary search."""

from collections.abc import Sequence


def binary_search(values: Sequence[int], wanted: int) -> int:
    """The index of `wanted` in sorted values by binary search; -1 when it is not there."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(values) and values[low] == wanted else -1
'''
SEARCH_TESTS = """\
from binary_search import binary_search


def test_every_value_is_found():
    values = [1, 3, 5, 8]
    assert [binary_search(values, value) for value in values] == [0, 1, 2, 3]


def test_what_is_not_there():
    assert [binary_search([1, 3], value) for value in (0, 2, 4)] == [-1, -1, -1]
    assert binary_search([], 1) == -1
"""
SORT = '''\
"""Quicksort."""

from collections.abc import Iterable


def quicksort(values: Iterable[int]) -> list[int]:
    """The values in ascending order by the quicksort algorithm."""
    listed = list(values)
    if len(listed) < 2:
        return listed
    pivot = listed[len(listed) // 2]
    smaller = [value for value in listed if value < pivot]
    equal = [value for value in listed if value == pivot]
    greater = [value for value in listed if value > pivot]
    return quicksort(smaller) + equal + quicksort(greater)
'''
SORT_TESTS = """\
import random

from quicksort import quicksort


def test_it_sorts():
    values = random.Random(1).choices(range(20), k=50)
    assert quicksort(values) == sorted(values)


def test_nothing_and_one():
    assert quicksort([]) == []
    assert quicksort([7]) == [7]
"""

Answer = Callable[[ChatRequest], Scripted]


def program(name: str, code: str, tests: str) -> Mapping[str, Any]:
    """A project as the builder asks for it."""
    files = {f"{name}.py": code, f"tests/test_{name}.py": tests}
    listed = [{"path": path, "content": content} for path, content in files.items()]
    return {"summary": f"{name} with its tests.", "files": listed}


def plan() -> Mapping[str, Any]:
    """A plan as the planner asks for it."""
    tasks: list[tuple[str, str, list[str], list[str]]] = [
        ("code", "write_code", [], ["project", "source"]),
        ("tests", "run_tests", ["project"], ["test_report"]),
        ("docs", "document_api", ["source"], ["api_docs"]),
    ]
    return {
        "tasks": [
            {
                "id": task,
                "description": "Do it for a binary search algorithm.",
                "operation": operation,
                "requires": requires,
                "produces": produces,
            }
            for task, operation, requires, produces in tasks
        ]
    }


def is_planning(request: ChatRequest) -> bool:
    """Whether the planner asks; only its answers hold tasks."""
    return request.schema is not None and "tasks" in request.schema["properties"]


def code_for(request: ChatRequest) -> Scripted:
    """The program that the request is about."""
    if "quicksort" in request.text:
        return Reply(program("quicksort", SORT, SORT_TESTS), 900, 300)
    return Reply(program("binary_search", SEARCH, SEARCH_TESTS), 800, 250)


class Bench:
    """Runs the example against a scripted provider, on one memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.planned: list[ChatRequest] = []
        self.coded: list[ChatRequest] = []
        self.planner: Scripted = plan()

    def answer(self, request: ChatRequest) -> Scripted:
        if is_planning(request):
            self.planned.append(request)
            return self.planner
        self.coded.append(request)
        return code_for(request)

    def orchestrator(self, model: str = "") -> GenesisOrchestrator:
        settings = load_settings(
            {},
            workspace=self._folder,
            data_dir=self._folder / "data",
            db_path=str(self._folder / "memory.db"),
            model=model,
        )
        return GenesisOrchestrator(settings=settings, flags=load_flags({}))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with OpenAIServer(bench.answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-scripted")
        yield bench


def tasks_of(result: OrchestrationResult) -> list[tuple[str, str, str]]:
    return [(task.operation, task.agent, task.status) for task in result.tasks]


def files_of(result: OrchestrationResult, suffix: str) -> set[str]:
    return {Path(path).name for path in result.artifacts if path.endswith(suffix)}


async def test_the_second_algorithm_is_made_by_the_firsts_plan(bench: Bench) -> None:
    async with bench.orchestrator("openai:gpt-4.1-mini") as orchestrator:
        first, second = await implement(orchestrator)
        metrics = await orchestrator.get_workflow_learning_metrics("code_generation")

    for result in (first, second):
        assert result.success, result.errors
        assert result.task_type == "code_generation"
        assert result.recorded
        assert sorted(tasks_of(result)) == [
            ("document_api", "documenter", "completed"),
            ("run_tests", "tester", "completed"),
            ("write_code", "builder", "completed"),
        ]
    assert files_of(first, ".py") == {"binary_search.py", "test_binary_search.py"}
    assert files_of(second, ".py") == {"quicksort.py", "test_quicksort.py"}
    assert "2 tests pass" in second.output

    assert (first.plan_source, second.plan_source) == ("model", "memory")
    assert second.recalled.similar_runs == [first.run_id]
    assert any(REQUESTS[0] in change for change in second.recalled.changed)
    assert len(bench.planned) == 1
    assert len(bench.coded) == 2
    assert not any("binary" in task.description for task in second.tasks)

    # gpt-4.1-mini costs $0.40 a million tokens read and $1.60 a million written.
    planning = 100 * 0.4e-6 + 20 * 1.6e-6
    assert first.cost_usd == pytest.approx(planning + 800 * 0.4e-6 + 250 * 1.6e-6)
    assert second.cost_usd == pytest.approx(900 * 0.4e-6 + 300 * 1.6e-6)
    counted = metrics["metrics_by_task_type"]["code_generation"]
    assert counted["success_rate"] == 1.0
    assert counted["avg_cost"] == pytest.approx((first.cost_usd + second.cost_usd) / 2)


@pytest.mark.parametrize(
    "planner", [{"tasks": []}, "no plan", Failure.BAD_REQUEST], ids=["empty", "text", "refused"]
)
async def test_a_model_that_cannot_plan_leaves_it_to_the_template(
    bench: Bench, planner: Scripted
) -> None:
    bench.planner = planner
    async with bench.orchestrator("openai:gpt-4.1-mini") as orchestrator:
        preview = await orchestrator.plan(REQUESTS[0])
    assert bench.planned
    assert preview.source == "template"
    ladder = next(ladder for ladder in preview.ladders if ladder.task_id == "write-code")
    assert {rung.model for rung in ladder.rungs} == {"openai:gpt-4.1-mini"}
    assert ladder.rungs[0].cost_usd > 0


async def test_without_a_model_both_fail_and_name_the_setting(bench: Bench) -> None:
    async with bench.orchestrator() as orchestrator:
        results = await implement(orchestrator)
        runs = await orchestrator.services.memory.runs()
        metrics = await orchestrator.get_workflow_learning_metrics("code_generation")
        patterns = await orchestrator.memory.retrieve_workflow_patterns("code_generation")
    for result in results:
        assert not result.success
        assert "GENESIS_MODEL=provider:name" in " ".join(result.errors)
        assert result.artifacts == []
        assert result.cost_usd == 0
        assert result.plan_source != "memory"
    assert {run.run_id: run.state for run in runs} == {r.run_id: "failed" for r in results}
    counted = metrics["metrics_by_task_type"]["code_generation"]
    assert (counted["failed_executions"], counted["success_rate"]) == (2, 0.0)
    assert patterns == []
    assert bench.planned == bench.coded == []
