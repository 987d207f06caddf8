"""What a policy learns from is what really happened in the orchestrator's runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis import GenesisOrchestrator, Skill
from genesis.learning.dataset import examples_from_memory
from genesis.learning.train import train_policy
from genesis.tasks.checks import Submission
from genesis.tasks.task import Verdict
from genesis.testing import FakeAgent
from infrastructure.config import Settings

_TEMPLATES = """
asked:
  documentation: {principal: [draft]}
templates:
  - name: draft
    asks: [draft]
    tasks:
      - {id: draft, description: Draft it., operation: draft_it, task_type: documentation, produces: [draft]}
"""  # noqa: E501 - YAML in flow style
_REQUESTS = [f"Document the topic {topic}" for topic in ("moss", "fern", "pine", "oak")]
_BAD, _GOOD = "draft_it/bad//", "draft_it/good//"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "plan_templates.yaml").write_text(_TEMPLATES)
    (folder / "routing_rules.yaml").write_text("rules: []\n")
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))


async def _is_good(submission: Submission) -> Verdict:
    return Verdict(submission.output.data.get("draft") == "good", "draft", "read")


def _agent(name: str) -> FakeAgent:
    return FakeAgent(name, {"draft": name}, skills=[Skill("draft_it", "d", produces=("draft",))])


def _orchestrator(folder: Path, *agents: FakeAgent) -> GenesisOrchestrator:
    settings = Settings(data_dir=folder / "data", workspace=folder, max_replans=0)
    genesis = GenesisOrchestrator(str(folder / "m.db"), agents=[], settings=settings)
    for number, agent in enumerate(agents):
        genesis.register_agent(agent, checks={} if number else {"draft": _is_good})
    return genesis


async def test_every_tried_task_of_every_run_is_an_example(tmp_path: Path) -> None:
    async with _orchestrator(tmp_path, _agent("bad"), _agent("good")) as genesis:
        results = [await genesis.execute_orchestrated_request(text) for text in _REQUESTS]
        found = await examples_from_memory(genesis.memory.memory)
    assert [example.text for example in found] == _REQUESTS
    for example, result in zip(found, results, strict=True):
        (task,) = result.tasks
        asked = {f"draft_it/{a.agent}//": a.outcome == "verified" for a in task.attempts}
        assert {name: seen.success for name, seen in example.outcomes.items()} == asked
    assert {name for example in found for name in example.outcomes} == {_BAD, _GOOD}
    outlook = train_policy(found).outlook("Document the topic yew")
    bad, good = outlook.marginal
    assert good > bad


async def test_a_run_that_a_user_corrected_is_left_out(tmp_path: Path) -> None:
    async with _orchestrator(tmp_path, _agent("good")) as genesis:
        first, second = [await genesis.execute_orchestrated_request(t) for t in _REQUESTS[:2]]
        await genesis.record_feedback(first.run_id, success=False)
        await genesis.record_feedback(second.run_id, success=True)
        found = await examples_from_memory(genesis.memory.memory)
    assert [example.text for example in found] == [_REQUESTS[1]]


async def test_the_latest_runs_are_taken_and_an_empty_memory_gives_none(tmp_path: Path) -> None:
    async with _orchestrator(tmp_path, _agent("good")) as genesis:
        assert await examples_from_memory(genesis.memory.memory) == []
        for text in _REQUESTS:
            await genesis.execute_orchestrated_request(text)
        found = await examples_from_memory(genesis.memory.memory, limit=2)
    assert [example.text for example in found] == _REQUESTS[2:]
