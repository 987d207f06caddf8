"""The memory benchmark's rows: each is played on the same episodes, and compared unit by unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agemem_ablations import AS_SHIPPED, variants
from agemem_policy import compared, replayed
from agemem_replay import Replay, replay_all
from agemem_rows import NOT_LEARNT, ROWS, Job, decider_of, play_all, play_job, untrained_policy
from agemem_statistics import of_clusters, within

from infrastructure.memory.agemem.policy_file import save_policy
from infrastructure.training.agemem.config import TrainingConfig
from infrastructure.training.agemem.generator import GRID

HARDEST = len(GRID) - 1


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policy(untrained_policy(3), path)
    return path


def test_every_row_plays_held_out_episodes(policy: Path) -> None:
    jobs = [Job(row, policy, "heldout", HARDEST, (1,)) for row in ROWS]
    figures = {job.row: played[0] for job, played in zip(jobs, play_all(jobs, None), strict=True)}
    assert set(figures) == set(ROWS)
    assert figures["oracle"].task_success >= max(one.task_success for one in figures.values())
    assert figures["no memory"].memory_quality == 0.0
    assert figures["unlimited"].evidence_recall >= figures["fifo"].evidence_recall
    assert all(0 <= one.task_success <= one.evidence_recall <= 1 for one in figures.values())


def test_playing_again_gives_the_same(policy: Path) -> None:
    for row in ("random", "untrained policy", "careful"):
        job = Job(row, policy, "unseen", 0, (4, 5))
        assert play_job(job) == play_job(job)


def test_untrained_policies_of_two_seeds_differ(policy: Path) -> None:
    one, other = (untrained_policy(seed, policy).weights.action_weight for seed in (1, 2))
    assert (one != other).any()
    assert decider_of("policy", 0, policy).name == "policy"


def test_the_gain_is_over_the_best_row_that_was_not_learnt() -> None:
    values = {row: [0.0, 0.2] * 10 for row in NOT_LEARNT} | {
        "rarest": [0.2, 0.4] * 10,
        "unlimited": [0.9, 0.9] * 10,
        "policy": [0.4, 0.6] * 10,
        "oracle": [0.7, 0.9] * 10,
    }
    found = compared(values, within([0] * 20, seed=0))
    assert found["best_not_learnt"] == "rarest"
    assert (found["gain"], found["gain_ci"]) == (0.2, [0.2, 0.2])
    assert (found["gap_closed"], found["gap_closed_ci"]) == (0.4, [0.4, 0.4])


def test_without_a_policy_there_is_no_gain() -> None:
    values = {row: [0.0, 0.2] * 10 for row in NOT_LEARNT}
    assert compared(values, within([0] * 20, seed=0))["gain"] is None


def talk(name: str) -> dict[str, Any]:
    """Ten turns, of which the even ones are asked for."""
    said = [f"{name} keeps {thing} in box {n}" for n, thing in enumerate("abcdefghij")]
    turns = [{"speaker": name, "dia_id": f"D1:{n}", "text": text} for n, text in enumerate(said, 1)]
    asked = [
        {"question": f"Where does {name} keep {text[-8:]}?", "evidence": [f"D1:{n}"], "category": 4}
        for n, text in enumerate(said, 1)
        if n % 2 == 0
    ]
    return {
        "sample_id": name,
        "conversation": {"session_1": turns, "session_1_date_time": "May"},
        "qa": asked,
    }


def test_each_question_is_averaged_over_the_seeds_that_test_it(tmp_path: Path) -> None:
    data = tmp_path / "talks.json"
    data.write_text(json.dumps([talk(name) for name in ("Ann", "Bo", "Cy", "Di")]))
    recalls = replay_all([Replay(data, seed, None, 2, 0) for seed in range(2)], None)
    questions = {(name, number) for name in ("Cy", "Di") for number in range(5)}  # not trained on
    for row in ("no memory", "random", "fifo", "longest", "rarest", "careful", "oracle"):
        assert set(recalls[row]) == questions
    found = replayed(recalls, seed=0)
    by_name = {row["name"]: row["evidence_recall"] for row in found["rows"]}
    assert by_name["no memory"] == 0.0
    assert by_name["oracle"] == pytest.approx(0.8)  # room for 4 of the 5 turns that are asked for
    assert by_name["unlimited"] >= by_name["fifo"]


def test_a_variant_differs_from_what_ships_in_one_thing() -> None:
    found = variants()
    shipped = found[AS_SHIPPED].config(seed=1, steps=500)
    usual = TrainingConfig(seed=1)
    assert (shipped.stages, shipped.grpo_config) == (usual.stages, usual.grpo_config)
    for name, variant in found.items():
        config = variant.config(seed=1, steps=400)
        assert abs(sum(config.stages.values()) - 400) <= 1
        same = (config.grpo_config == usual.grpo_config, variant.shares == found[AS_SHIPPED].shares)
        assert name == AS_SHIPPED or sum(same) == 1


def test_clusters_of_a_bootstrap_are_whole() -> None:
    draws = of_clusters(["a", "a", "b"], seed=0)
    assert draws.weights.shape[1] == 3
    assert draws.weights.sum(axis=1) == pytest.approx(1.0)
