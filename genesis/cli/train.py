"""`genesis train agemem`: train the memory policy; torch is loaded when the command runs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from genesis import __version__
from genesis.cli.common import cli_settings, fail, print_json, run_async
from genesis.cli.console import console
from genesis.errors import ConfigError, GenesisError, InputError
from infrastructure.text import counted

if TYPE_CHECKING:
    from infrastructure.training.agemem.checkpoint import Checkpoint
    from infrastructure.training.agemem.config import TrainingConfig
    from infrastructure.training.agemem.trainer import TrainingResult

_STAGES: Final = {"single": "single_tool", "multi": "multi_tool", "unified": "unified"}
STAGES: Final = (*_STAGES, "all")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command was given.

    Attributes:
        stage: one of STAGES; None where it was not said.
        steps: of each stage, at most.
        resume: the folder of a training, or the checkpoint in it.
        out: the folder that takes what comes of it.
        seed: of everything that is drawn.
        config: a JSON file with the values of a `TrainingConfig`.
    """

    stage: str | None = None
    steps: int | None = None
    resume: Path | None = None
    out: Path | None = None
    seed: int | None = None
    config: Path | None = None


def train_command(options: TrainOptions, *, as_json: bool) -> None:
    """Train the policy, with a bar on a terminal; the outcome on stdout."""
    try:
        session = _Session.opened(options)
    except GenesisError as error:
        fail(error, as_json=as_json)
    try:
        result = run_async(session.train(shown=not as_json), as_json=as_json)
    except SystemExit:
        if session.begun:
            console(stderr=True, soft_wrap=True).print(
                f"go on with: genesis train agemem --resume {session.folder}", markup=False
            )
        raise
    try:
        files = session.finished()
    except GenesisError as error:
        fail(error, as_json=as_json)
    if as_json:
        print_json(_as_json(result, files))
        return
    _print(result, files)


@dataclass(frozen=True, slots=True)
class _Session:
    """A training that is about to run, in its folder."""

    folder: Path
    config: TrainingConfig
    checkpoint: Checkpoint | None

    @classmethod
    def opened(cls, options: TrainOptions) -> _Session:
        """Check everything that can be wrong before anything is written."""
        for module, extra in (("torch", "train"), ("matplotlib", "train")):
            if importlib.util.find_spec(module) is None:
                raise InputError(
                    f"training needs {module}: pip install 'genesis-orchestrator[{extra}]'"
                )
        if options.resume is not None:
            return cls._resumed(options, options.resume)
        from infrastructure.training.agemem.checkpoint import CHECKPOINT

        folder = options.out or cli_settings().data_dir / "training" / "agemem"
        if (folder / CHECKPOINT).exists():
            raise InputError(
                f"{folder} holds a training already: go on with it by --resume {folder}, or name "
                "another folder by --out"
            )
        return cls(folder.resolve(), _config(options), None)

    @classmethod
    def _resumed(cls, options: TrainOptions, place: Path) -> _Session:
        from infrastructure.training.agemem.checkpoint import CHECKPOINT, load_checkpoint

        given = {"--stage": options.stage, "--seed": options.seed, "--config": options.config}
        odd = [name for name, value in given.items() if value is not None]
        if odd or options.out is not None:
            raise InputError(
                f"{odd[0] if odd else '--out'} cannot be given with --resume: the training goes on "
                "in its folder, as it was begun; --steps may be given"
            )
        folder = place if place.is_dir() else place.parent
        checkpoint = load_checkpoint(folder / CHECKPOINT if place.is_dir() else place)
        return cls(folder.resolve(), _with_steps(checkpoint.config, options.steps), checkpoint)

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        from infrastructure.training.agemem.checkpoint import CHECKPOINT

        return (self.folder / CHECKPOINT).exists()

    async def train(self, *, shown: bool) -> TrainingResult:
        """Train to the end."""
        from infrastructure.training.agemem.session import generated_material, open_training

        with _Bar(self.config, shown=shown) as bar:
            trainer = open_training(
                self.config,
                generated_material(self.config.seed),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                package_version=__version__,
                folder=self.folder,
                checkpoint=self.checkpoint,
                on_record=bar.show,
            )
            bar.begin(trainer.progress.step)
            return await trainer.train()

    def finished(self) -> tuple[Path, ...]:
        """Write policy and curves."""
        from infrastructure.training.agemem.session import write_outcome

        return write_outcome(self.folder)


def _config(options: TrainOptions) -> TrainingConfig:
    from infrastructure.training.agemem.config import TrainingConfig, TrainingStage

    config = TrainingConfig()
    if options.config is not None:
        try:
            config = TrainingConfig.from_json(json.loads(options.config.read_text("utf-8")))
        except ConfigError as error:
            raise ConfigError(str(options.config), error.key, error.problem) from error
        except (OSError, ValueError) as error:
            raise ConfigError(str(options.config), "", f"cannot be read: {error}") from error
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    asked = options.stage or "all"
    if asked not in STAGES:
        raise InputError(f"--stage is one of {', '.join(STAGES)}, not {asked!r}")
    if asked != "all":
        stage = TrainingStage(_STAGES[asked])
        own = config.stages.get(stage) or TrainingConfig().stages[stage]
        config = replace(config, stages={stage: own})
    return _with_steps(config, options.steps)


def _with_steps(config: TrainingConfig, steps: int | None) -> TrainingConfig:
    if steps is None:
        return config
    return replace(config, stages={stage: steps for stage, own in config.stages.items() if own})


class _Bar:
    """Progress of a training on stderr, on a terminal only.

    Args:
        config: says how many steps there may be.
        shown: off shows nothing.
    """

    def __init__(self, config: TrainingConfig, *, shown: bool) -> None:
        err = console(stderr=True)
        self._steps = sum(config.stages.values())
        self._best = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=err,
            disable=not (shown and err.is_terminal),
        )
        self._task = self._bar.add_task("training", total=self._steps, told="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, step: int) -> None:
        """Steps that were taken before."""
        self._bar.update(self._task, completed=step)

    def show(self, record: dict[str, Any]) -> None:
        """A record of the metrics."""
        if record["kind"] == "validation":
            self._best = f", best validation {record['best']:.3f}"
        told = ""
        if "mean_reward" in record:
            told = (
                f"reward {record['mean_reward']:.3f}, entropy {record['entropy']:.2f}, "
                f"{record['rollouts_per_second']:.0f} rollouts/s"
            )
        self._bar.update(
            self._task,
            completed=record["step"],
            description=record["stage"] or "preparing",
            told=told + self._best,
        )


def _as_json(result: TrainingResult, files: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "finished": result.finished,
        "steps": result.steps,
        "step": result.progress.step,
        "stages": result.progress.ended,
        "files": [str(path) for path in files],
    }


def _print(result: TrainingResult, files: tuple[Path, ...]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "steps", "best validation", "at step", "ended by"):
        table.add_column(column)
    for one in result.progress.ended:
        best = "-" if one.best is None else f"{one.best:.4f}"
        ended = "patience" if one.stopped_early else "its steps"
        table.add_row(str(one.stage), str(one.steps), best, str(one.best_step), ended)
    out = console(soft_wrap=True)
    out.print(table)
    out.print(f"{counted(result.steps, 'step')} taken now", markup=False)
    for path in files:
        out.print(str(path), markup=False)
