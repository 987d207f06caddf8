"""`genesis train agemem` as a user runs it, on the generator's episodes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli
from test_on_a_terminal import on_a_terminal

from infrastructure.memory.agemem.policy_file import load_policy
from infrastructure.training.agemem.checkpoint import load_checkpoint
from infrastructure.training.agemem.metrics_log import read_metrics

SMALL: dict[str, Any] = {
    "stages": {"single_tool": 2, "multi_tool": 1, "unified": 2},
    "statistics_episodes": 1,
    "validation_every": 2,
    "validation_episodes": 1,
    "checkpoint_every": 1,
    "grpo_config": {"group_size": 3, "tasks_per_step": 1},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "training.json"
    path.write_text(json.dumps(SMALL))
    return path


def train(cli: Cli, *arguments: object) -> subprocess.CompletedProcess[str]:
    return cli("train", "agemem", *map(str, arguments))


def test_a_training_leaves_policy_checkpoint_metrics_and_curves(
    cli: Cli, config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = train(cli, "--config", config, "--out", out, "--seed", 3, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert (told["finished"], told["steps"]) == (True, 5)
    assert [stage["stage"] for stage in told["stages"]] == ["single_tool", "multi_tool", "unified"]
    policy = load_policy(out / "policy.safetensors")
    assert (policy.card.seed, policy.card.steps) == (3, 5)
    assert policy.card.stages == ("single_tool", "multi_tool", "unified")
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    kinds = [record["kind"] for record in read_metrics(out / "metrics.jsonl")]
    assert kinds.count("step") == 5
    assert told["files"] == [str(out / "policy.safetensors"), str(out / "curves.png")]

    again = train(cli, "--out", out)
    assert again.returncode == 2
    assert f"go on with it by --resume {out}" in again.stderr


def test_ctrl_c_saves_what_resume_goes_on_from(cli: Cli, config: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    with cli.start("train", "agemem", "--config", str(config), "--out", str(cut)) as process:
        until(lambda: len(read_metrics(cut / "metrics.jsonl")) >= 3)
        ended = process.ended(signal.SIGINT)
    assert ended.returncode == 130
    assert f"go on with: genesis train agemem --resume {cut}" in ended.stderr
    assert load_checkpoint(cut / "checkpoint.safetensors").progress.step < 5
    resumed = train(cli, "--resume", cut)
    assert resumed.returncode == 0, resumed.stderr
    assert "unified" in resumed.stdout
    assert load_checkpoint(cut / "checkpoint.safetensors").progress.step == 5
    steps = [one["step"] for one in read_metrics(cut / "metrics.jsonl") if one["kind"] == "step"]
    assert steps == [1, 2, 3, 4, 5]


def until(true: Callable[[], bool]) -> None:
    """Wait for a process to bring something about."""
    last = time.monotonic() + 60
    while not true():
        assert time.monotonic() < last
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--stage", "both"), "--stage is one of single, multi, unified, all, not 'both'"),
        (("--resume", "nowhere"), "cannot be read"),
        (("--resume", "x", "--seed", "1"), "--seed cannot be given with --resume"),
        (("--resume", "x", "--out", "y"), "--out cannot be given with --resume"),
        (("--config", "none.json"), "none.json: cannot be read"),
        (("--config", "list.json"), "list.json: [1] is no object of settings"),
        (("--config", "wrong.json"), "wrong.json: epochs: 0 is not a whole number from 1 to 100"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    (cli.workspace / "list.json").write_text("[1]")
    (cli.workspace / "wrong.json").write_text('{"grpo_config": {"epochs": 0}}')
    before = sorted(cli.workspace.rglob("*"))
    done = train(cli, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert sorted(cli.workspace.rglob("*")) == before


def test_without_torch_it_says_what_to_install(cli: Cli) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from genesis.cli.app import app\n"
        "app(['train', 'agemem'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cli.workspace,
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "training needs torch: pip install 'genesis-orchestrator[train]'" in done.stderr


def test_on_a_terminal_a_bar_tells_of_the_stage_that_was_asked_for(cli: Cli, config: Path) -> None:
    asked = ("--config", str(config), "--stage", "multi", "--steps", "3")
    code, written = on_a_terminal(cli, "train", "agemem", *asked)
    assert code == 0
    assert "3/3" in written
    assert "best validation" in written
    assert "multi_tool" in written
    assert "unified" not in written


def test_the_command_loads_torch_when_it_trains_and_not_before() -> None:
    script = "import sys, genesis.cli.train; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
