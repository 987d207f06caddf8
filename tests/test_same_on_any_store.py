"""The same requests teach the same on any database and LangGraph store, also after reopening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill, TaskOutput
from infrastructure.config import load_flags, load_settings

PRICES = "How many rows are in prices.csv, and which city has the highest mean price?"
SALES = "How many rows are in sales.csv, and which shop has the highest mean revenue?"
ANSWERS = Skill(
    "answer_questions", "Lies.", ("data_analysis",), ("dataset",), ("data_answers",), seconds=0.01
)


async def liar(assignment: Assignment) -> TaskOutput:
    return TaskOutput("7 rows", {"data_answers": {"answers": [{"question": "r", "value": 7}]}})


def told(result: OrchestrationResult, order: dict[str, int]) -> list[Any]:
    order[result.run_id] = len(order)
    return [
        result.success,
        result.plan_source,
        [(a.agent, a.outcome) for task in result.tasks for a in task.attempts],
        len(result.recalled.changed),
        [order[run_id] for run_id in result.recalled.similar_runs],
        result.recalled.attempts_known,
        result.recalled.patterns,
    ]


async def story(folder: Path, store: str | BaseStore | None) -> list[Any]:
    """Two lives of an orchestrator on one store, without ids and durations."""
    (folder / "prices.csv").write_text("city,price\nOslo,3\nRome,8\nOslo,5\nRome,6\nBern,1\n")
    (folder / "sales.csv").write_text("shop,revenue\nN,10\nS,30\nN,20\nS,50\n")
    settings = load_settings(
        {}, workspace=folder, data_dir=folder / "data", db_path=str(folder / "memory.db")
    )
    order: dict[str, int] = {}
    seen: list[Any] = []
    for requests in ([PRICES, SALES], [SALES, "Implement quicksort", PRICES]):
        async with GenesisOrchestrator(store, settings=settings, flags=load_flags({})) as genesis:
            genesis.register_agent(liar, name="liar", skills=[ANSWERS])
            for request in requests:
                result = await genesis.execute_orchestrated_request(request, "s")
                seen.append(told(result, order))
            await genesis.record_feedback(next(iter(order)), success=False)
            await genesis.drain()
            metrics = await genesis.get_workflow_learning_metrics()
            seen.append([metrics["overall_success_rate"], metrics["learned_task_types"]])
            seen.append([metrics[name]["n"] for name in ("memory_hit_rate", "saved_s")])
            seen.append(len(await genesis.compaction.read_session("s")))
    return seen


async def test_memori_and_a_base_store_learn_the_same(tmp_path: Path, postgres_url: str) -> None:
    folders = [tmp_path / name for name in ("memori", "base", "postgres")]
    for folder in folders:
        folder.mkdir()
    own = await story(folders[0], None)
    other = await story(folders[1], InMemoryStore())
    assert own == other
    assert own == await story(folders[2], postgres_url)
    assert own[0][2] == [("liar", "rejected"), ("data_analyst", "verified")]
    assert own[1][1:3] == ["memory", [("data_analyst", "verified")]]
