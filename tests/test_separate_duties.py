"""Builder and reviewer are two, through the whole path: the rule decides before money is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis import GenesisOrchestrator, OrchestrationResult
from genesis.tasks.checks import Submission
from genesis.tasks.task import Verdict
from genesis.testing import FakeAgent
from infrastructure.a2a.agent import Skill
from infrastructure.config import Settings

_TEMPLATES = """
given: {topic: "a topic"}
deliverables:
  review: {phrases: [review*]}
asked:
  documentation: {principal: [review]}
templates:
  - name: draft and review
    asks: [review]
    tasks:
      - {id: draft, description: Draft it., operation: draft_it, task_type: documentation, produces: [draft]}
      - {id: review, description: Review it., operation: review_it, task_type: documentation,
         requires: [draft], produces: [review]}
"""  # noqa: E501 - YAML in flow style
_REQUEST = "Review the documentation of the topic"
_RULES = """
rules: []
separate:
  - name: four-eyes
    between: [draft_it, review_it]
    because: nobody judges their own work
"""


def _agent(name: str, *operations: str, draft: str = "a draft") -> FakeAgent:
    makes = {"draft_it": ("draft", draft), "review_it": ("review", "fine")}
    skills = tuple(Skill(op, op, produces=(makes[op][0],)) for op in operations)
    data = {makes[op][0]: makes[op][1] for op in operations}
    return FakeAgent(name, data, skills=skills)


async def _not_bad(submission: Submission) -> Verdict:
    good = submission.output.data.get("draft") != "bad"
    return Verdict(good, "draft", "read")


def _orchestrator(folder: Path, *agents: FakeAgent, max_attempts: int = 4) -> GenesisOrchestrator:
    settings = Settings(
        data_dir=folder / "data", workspace=folder, max_replans=0, max_attempts=max_attempts
    )
    genesis = GenesisOrchestrator(str(folder / "m.db"), agents=[], settings=settings)
    for number, agent in enumerate(agents):
        checks = {"draft": _not_bad} if number == 0 else {}
        genesis.register_agent(agent, checks=checks)
    return genesis


async def _run(folder: Path, *agents: FakeAgent, max_attempts: int = 4) -> OrchestrationResult:
    async with _orchestrator(folder, *agents, max_attempts=max_attempts) as genesis:
        return await genesis.execute_orchestrated_request(_REQUEST)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "plan_templates.yaml").write_text(_TEMPLATES)
    (folder / "routing_rules.yaml").write_text(_RULES)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))


@pytest.mark.parametrize("max_attempts", [1, 4])
async def test_who_drafted_does_not_review(tmp_path: Path, max_attempts: int) -> None:
    result = await _run(
        tmp_path,
        _agent("first", "draft_it", "review_it"),
        _agent("second", "draft_it", "review_it"),
        max_attempts=max_attempts,
    )
    assert result.success, result.errors
    drafted, reviewed = (task.attempts for task in result.tasks)
    assert drafted[-1].agent != reviewed[-1].agent
    assert "rule 'four-eyes'" in reviewed[0].reason  # both tasks would have begun with the same


async def test_two_agents_do_it_and_escalation_is_minded(tmp_path: Path) -> None:
    first = _agent("first", "draft_it", "review_it", draft="bad")
    second = _agent("second", "draft_it", "review_it")
    result = await _run(tmp_path, first, second)
    assert result.success, result.errors
    done = {task.id: task for task in result.tasks}
    # Whoever began, the draft that was accepted is the second's: the first reviews it.
    assert done["draft"].attempts[-1].agent == "second"
    assert done["review"].attempts[-1].agent == "first"


async def test_one_agent_for_both_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    alone = _agent("alone", "draft_it", "review_it")
    result = await _run(tmp_path, alone, _agent("other", "draft_it"))
    assert result.success
    result = await _run(tmp_path / "again", _agent("alone", "draft_it", "review_it"))
    assert not result.success
    assert "rule 'four-eyes': nobody judges their own work" in " ".join(result.errors)
    assert result.cost_usd == 0


async def test_tasks_of_one_time_are_shared_out_and_memory_takes_no_credit_for_it(
    tmp_path: Path,
) -> None:
    at_once = _TEMPLATES.replace("requires: [draft], ", "").replace(
        "principal: [", "always: [draft, "
    )
    (tmp_path / "config" / "plan_templates.yaml").write_text(at_once)
    names = ("first", "second", "third", "fourth")
    agents = (_agent(name, "draft_it", "review_it") for name in names)
    async with _orchestrator(tmp_path, *agents) as genesis:
        results = [await genesis.execute_orchestrated_request(_REQUEST) for _ in range(2)]
        for result in results:
            assert result.success, result.errors
            assert {task.id: task.agent for task in result.tasks} == {
                "draft": "first",
                "review": "second",
            }
            # Without memory too it would have been the second, whom the rule leaves alone.
            assert not any("goes first instead" in change for change in result.recalled.changed)
        told = str(await genesis.explain(results[1].run_id))
    assert "not first: rule 'four-eyes': nobody judges their own work" in told


async def test_what_is_settled_later_is_explained(tmp_path: Path) -> None:
    agents = (_agent(name, "draft_it", "review_it") for name in ("first", "second"))
    async with _orchestrator(tmp_path, *agents, max_attempts=1) as genesis:
        result = await genesis.execute_orchestrated_request(_REQUEST)
        told = str(await genesis.explain(result.run_id))
    assert "nor who did draft: rule 'four-eyes'" in told
    assert "if a rule keeps one of these from it: second" in told
