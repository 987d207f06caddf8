"""A training that is interrupted and gone on with, saved, damaged, and drawn."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bandit_world import CARD, BanditWorld, small

from infrastructure.errors import InputError
from infrastructure.training.agemem.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.curves import draw_curves, smoothed
from infrastructure.training.agemem.metrics_log import METRICS, MetricsLog, read_metrics
from infrastructure.training.agemem.trainer import AgeMemTrainer

CONFIG = small(dropout=0.2, reference_every=4, patience=3)
STEPS = 3 * 6


def trainer_of(
    folder: Path | None, config: TrainingConfig = CONFIG, *, resume: bool = False, **given: Any
) -> AgeMemTrainer:
    checkpoint = load_checkpoint(folder / CHECKPOINT) if resume and folder else None
    return AgeMemTrainer(
        config,
        BanditWorld(config),
        card=CARD,
        validation=BanditWorld(replace(config, seed=99)),
        folder=folder,
        checkpoint=checkpoint,
        **given,
    )


def told(folder: Path) -> list[dict[str, Any]]:
    """The metrics without what a clock says."""
    timed = ("seconds", "collect_seconds", "rollouts_per_second")
    return [
        {name: value for name, value in record.items() if name not in timed}
        for record in read_metrics(folder / METRICS)
    ]


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AgeMemTrainer]:
    """A training without any interruption."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = trainer_of(folder)
    asyncio.run(trainer.train())
    return folder, trainer


@pytest.mark.parametrize("at", [0, 1, 3, 6, 7, 11])
async def test_what_is_gone_on_with_ends_bit_for_bit_as_without_the_break(
    at: int, tmp_path: Path, whole: tuple[Path, AgeMemTrainer]
) -> None:
    folder, expected = whole
    first = await trainer_of(tmp_path).train(at)
    assert (first.steps, first.finished) == (at, False)
    resumed = trainer_of(tmp_path, resume=True)
    rest = await resumed.train()
    assert rest.finished
    assert rest.progress == expected.progress
    assert equal(resumed.network.export(), expected.network.export())
    assert equal(resumed.grpo.export_state(), expected.grpo.export_state())
    assert told(tmp_path) == told(folder)


class Interrupted(BanditWorld):
    """A world at whose nth task somebody presses Ctrl-C."""

    left = 0

    async def group(self, *given: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return await super().group(*given, **named)


@pytest.mark.parametrize("at", [3, 30, 55])
async def test_a_training_that_is_cancelled_anywhere_is_saved_and_gone_on_with(
    at: int, tmp_path: Path, whole: tuple[Path, AgeMemTrainer]
) -> None:
    folder, expected = whole
    cut = trainer_of(tmp_path)
    world = Interrupted(CONFIG)
    world.left = at
    cut.tasks = world
    with pytest.raises(asyncio.CancelledError):
        await cut.train()
    resumed = trainer_of(tmp_path, resume=True)
    await resumed.train()
    assert equal(resumed.network.export(), expected.network.export())
    assert told(tmp_path) == told(folder)


async def test_a_process_that_was_killed_is_gone_on_with_from_its_last_checkpoint(
    tmp_path: Path, whole: tuple[Path, AgeMemTrainer]
) -> None:
    folder, expected = whole
    await trainer_of(tmp_path).train(5)
    saved = (tmp_path / CHECKPOINT).read_bytes()
    await trainer_of(tmp_path, resume=True).train(3)
    (tmp_path / CHECKPOINT).write_bytes(saved)  # what came after was never saved
    with (tmp_path / METRICS).open("ab") as file:
        file.write(b'{"kind": "step", "st')  # nor was the last line written to its end
    resumed = trainer_of(tmp_path, resume=True)
    await resumed.train()
    assert equal(resumed.network.export(), expected.network.export())
    assert told(tmp_path) == told(folder)


async def test_a_checkpoint_holds_weights_optimizer_random_numbers_and_configuration(
    tmp_path: Path,
) -> None:
    trainer = trainer_of(tmp_path)
    await trainer.train(3)
    checkpoint = load_checkpoint(tmp_path / CHECKPOINT)
    assert checkpoint.config == CONFIG
    assert checkpoint.progress == trainer.progress
    assert equal(checkpoint.policy, trainer.network.export())
    names = [name for name, _ in trainer.network.named_parameters()]
    for name in names:
        assert checkpoint.grpo[f"optimizer.{name}.exp_avg"].any()
        assert checkpoint.grpo[f"optimizer.{name}.exp_avg_sq"].any()
        assert f"reference.{name}" in checkpoint.grpo
    assert len(checkpoint.grpo["rng"]) > 1000
    assert checkpoint.best.keys() == checkpoint.policy.keys()
    assert not (tmp_path / f"{CHECKPOINT}.part").exists()


@pytest.mark.parametrize("part", ["grpo", "best", "policy"])
async def test_every_part_of_the_state_counts(
    part: str, tmp_path: Path, whole: tuple[Path, AgeMemTrainer]
) -> None:
    """Without one of its parts a training would end elsewhere, so that the others see it."""
    _, expected = whole
    await trainer_of(tmp_path).train(5)
    path = tmp_path / CHECKPOINT
    saved = load_checkpoint(path)
    fresh = trainer_of(None).checkpoint()
    other = {"grpo": fresh.grpo, "best": fresh.policy, "policy": fresh.policy}[part]
    save_checkpoint(replace(saved, **{part: other}), path)
    resumed = trainer_of(tmp_path, resume=True)
    await resumed.train()
    assert not equal(resumed.network.export(), expected.network.export())


async def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    await trainer_of(tmp_path).train(1)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    for damaged, said in (
        (whole[:-100], "cannot be read"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "digest"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 a pickle in a zip", "cannot be read"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=said):
            load_checkpoint(path)
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    with pytest.raises(InputError, match="is no checkpoint"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.safetensors")


async def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    await trainer_of(tmp_path).train(1)
    with pytest.raises(InputError, match="another configuration"):
        trainer_of(tmp_path, small(learning_rate=0.5), resume=True)
    checkpoint = load_checkpoint(tmp_path / CHECKPOINT)
    card = replace(CARD, features=("other", *CARD.features[1:]))
    with pytest.raises(InputError, match="another features"):
        AgeMemTrainer(CONFIG, BanditWorld(CONFIG), card=card, checkpoint=checkpoint)
    longer = replace(CONFIG, stages={TrainingStage.SINGLE_TOOL: 8}, parallel_rollouts=2)
    assert trainer_of(tmp_path, longer, resume=True).progress.step == 1


async def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        trainer_of(tmp_path / "file" / "below")


def test_metrics_are_one_json_object_a_line(whole: tuple[Path, AgeMemTrainer]) -> None:
    folder, trainer = whole
    lines = (folder / METRICS).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == trainer.progress.records
    steps = [record for record in records if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, trainer.progress.step + 1))
    assert {record["stage"] for record in steps} == set(TrainingStage)
    assert all(record["rollouts_per_second"] > 0 for record in steps)
    assert all(record["failed_rollouts"] == 0 for record in steps)


def test_metrics_that_are_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text('{"kind": "step", "step": 1}\n[]\n')
    with pytest.raises(InputError, match="line 2, is no record of metrics"):
        MetricsLog(path, keep=2)


def test_curves_are_drawn_as_a_png(whole: tuple[Path, AgeMemTrainer], tmp_path: Path) -> None:
    folder, _ = whole
    path = tmp_path / "curves.png"
    records = read_metrics(folder / METRICS)
    draw_curves(records, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 3 * height
    draw_curves([record for record in records if record["kind"] == "step"][:1], path)
    assert path.read_bytes() != content
    with pytest.raises(InputError, match="no step"):
        draw_curves([], path)
    with pytest.raises(InputError, match="cannot be written"):
        draw_curves(records, tmp_path / "none" / "curves.png")


def test_a_moving_average_lies_between_what_it_averages() -> None:
    assert smoothed([1.0, 1.0, 1.0]) == [1.0, 1.0, 1.0]
    average = smoothed([0.0] * 5 + [1.0] * 50)
    assert average == sorted(average)
    assert 0.99 < average[-1] < 1.0
    assert smoothed([]) == []
