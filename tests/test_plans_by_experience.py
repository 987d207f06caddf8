"""Plans are judged by what agents took and cost before, not by what they declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.tasks.task import Usage
from genesis.testing import FakeAgent
from infrastructure.config import load_flags, load_settings

REQUEST = "Please make the roof plan"
PRICE = 0.3
BUDGET = 0.4
Make = Callable[..., tuple[GenesisOrchestrator, list[FakeAgent]]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(**flags: str) -> tuple[GenesisOrchestrator, list[FakeAgent]]:
        settings = load_settings(
            {}, workspace=tmp_path, data_dir=tmp_path / "data", db_path=str(tmp_path / "m.db")
        )
        agents = [_agent("walls_plan", ()), _agent("roof_plan", ("walls_plan",))]
        return GenesisOrchestrator(
            agents=agents, settings=settings, flags=load_flags(flags)
        ), agents

    return build


def _agent(skill: str, requires: tuple[str, ...]) -> FakeAgent:
    """Declares a cent, and takes thirty."""
    answer = TaskOutput("drawn", {skill: "drawn"}, usage=Usage(cost_usd=PRICE))
    offered = Skill(skill, "Draws.", requires=requires, produces=(skill,), cost_usd=0.01)
    return FakeAgent(f"{skill}_agent", answer, skills=[offered])


@pytest.mark.parametrize("memory", [True, False])
async def test_what_cannot_be_paid_to_the_end_is_not_begun_once_its_price_is_known(
    make: Make, memory: bool
) -> None:
    orchestrator, _ = make()
    async with orchestrator:
        for _ in range(3):
            assert (await orchestrator.execute_orchestrated_request(REQUEST)).success
    orchestrator, agents = make(MEMORY_ENABLED=str(memory).lower())
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=BUDGET)
    if memory:
        assert not result.success
        assert result.cost_usd == 0
        assert not any(agent.messages for agent in agents)
        assert "costs at least $0.44" in " ".join(result.errors)
    else:
        assert result.cost_usd > BUDGET  # what is declared says that it fits
