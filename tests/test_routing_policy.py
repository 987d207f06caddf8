"""A learnt policy through the whole path: who goes first follows from the request's text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from genesis import GenesisOrchestrator, OrchestrationResult
from genesis.errors import InputError
from genesis.learning.examples import Example, Observed
from genesis.learning.train import train_policy
from genesis.routing.outlook import option_name
from genesis.routing.policy import RoutingPolicy
from genesis.routing.policy_file import save_policy
from genesis.testing import FakeAgent
from infrastructure.a2a.agent import Skill
from infrastructure.config import FeatureFlags, Settings
from infrastructure.embeddings.builtin import BuiltinEmbedder

_TEMPLATES = """
given: {topic: "a topic"}
deliverables:
  verdict: {phrases: [judge*]}
asked:
  documentation: {principal: [verdict]}
templates:
  - name: judge
    asks: [verdict]
    tasks:
      - {id: judge, description: Judge it., operation: judge_it, task_type: documentation, produces: [verdict]}
"""  # noqa: E501 - YAML in flow style
_EASY, _HARD = "Judge the documentation of {} apples", "Judge the documentation of theorem {}: why?"
_QUICK, _DEAR = "quick", "dear"


def trained(embedder: BuiltinEmbedder | None = None) -> RoutingPolicy:
    """The quick agent fails at theorems, the dear one at nothing."""
    quick, dear = (option_name("judge_it", name, "", "") for name in (_QUICK, _DEAR))
    made = [
        Example(
            (_HARD if number % 2 else _EASY).format(number),
            {quick: Observed(number % 2 == 0, 0.001), dear: Observed(True, 0.02)},
        )
        for number in range(40)
    ]
    return train_policy(made, embedder=embedder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "config"
    config.mkdir()
    (config / "plan_templates.yaml").write_text(_TEMPLATES)
    (config / "routing_rules.yaml").write_text("rules: []\n")
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(config))
    return tmp_path


def orchestrator(
    folder: Path, policy: Path | None, flags: FeatureFlags | None = None
) -> GenesisOrchestrator:
    settings = Settings(data_dir=folder / "data", workspace=folder, routing_policy=policy)
    genesis = GenesisOrchestrator(
        str(folder / "m.db"), agents=[], settings=settings, flags=flags or FeatureFlags()
    )
    for name, usd in ((_QUICK, 0.001), (_DEAR, 0.02)):
        skill = Skill("judge_it", "", produces=("verdict",), cost_usd=usd)
        genesis.register_agent(FakeAgent(name, {"verdict": "fine"}, skills=(skill,)))
    return genesis


@pytest.fixture
async def guided(folder: Path) -> AsyncIterator[GenesisOrchestrator]:
    path = folder / "policy.safetensors"
    save_policy(trained(BuiltinEmbedder()), path)
    async with orchestrator(folder, path) as genesis:
        yield genesis


def first(result: OrchestrationResult) -> str:
    assert result.success, result.errors
    return result.tasks[0].attempts[0].agent


async def test_the_text_decides_who_goes_first_and_it_is_said(
    guided: GenesisOrchestrator,
) -> None:
    assert first(await guided.execute_orchestrated_request(_EASY.format(7))) == _QUICK
    hard = await guided.execute_orchestrated_request(_HARD.format(7))
    assert first(hard) == _DEAR
    assert any("dear goes first instead of quick" in told for told in hard.recalled.changed)
    told = str(await guided.explain(hard.run_id))
    assert "the policy expects" in told
    assert "verified expected of the whole" in told


async def test_the_preview_states_what_a_ladder_comes_to(guided: GenesisOrchestrator) -> None:
    (ladder,) = (await guided.plan(_EASY.format(3))).ladders
    assert ladder.forecast is not None
    assert ladder.forecast.dearest.who == _DEAR
    assert 0.01 < ladder.forecast.saved_on_dearest_usd < 0.02


async def test_without_memory_nothing_learnt_is_used(folder: Path) -> None:
    path = folder / "policy.safetensors"
    save_policy(trained(), path)
    async with orchestrator(folder, path, FeatureFlags(memory_enabled=False)) as genesis:
        assert first(await genesis.execute_orchestrated_request(_HARD.format(7))) == _QUICK


def test_a_file_that_is_no_policy_is_refused_at_the_start(folder: Path) -> None:
    path = folder / "policy.safetensors"
    with pytest.raises(InputError, match=r"policy\.safetensors cannot be read"):
        orchestrator(folder, path)
    path.write_bytes(b"junk" * 100)
    with pytest.raises(InputError, match=r"policy\.safetensors cannot be read"):
        orchestrator(folder, path)
    policy = trained(BuiltinEmbedder())
    other = RoutingPolicy(replace(policy.card, embedder="another"), policy.weights, policy.joint)
    save_policy(other, path)
    with pytest.raises(InputError, match=r"takes vectors by another .* train it again"):
        orchestrator(folder, path)
