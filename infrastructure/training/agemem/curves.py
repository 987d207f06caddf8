"""The course of a training as one picture: a row of panels, the stages one after another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, cast

from infrastructure.errors import InputError
from infrastructure.training.agemem.metrics_log import STEP, VALIDATION, Record

_PANELS: Final = (
    ("reward", "mean_reward", "reward"),
    ("task success", "mean_success", "success"),
    ("variance within groups", "group_variance", None),
    ("KL to the reference", "kl", None),
    ("entropy", "entropy", None),
)
"""Title, and the name of the figure among a step's and among a validation's records."""

_SMOOTHED: Final = 0.1
_INCHES: Final = (3.4, 2.9)


def draw_curves(records: Sequence[Record], path: Path) -> None:
    """Write a PNG of what the records of a training tell.

    Steps are drawn pale, their moving average full, validations as dots. Where a stage begins
    stands a line with its name.

    Raises:
        InputError: there is no step to draw, matplotlib is missing, or the file cannot be written.
    """
    steps = [record for record in records if record["kind"] == STEP]
    validations = [record for record in records if record["kind"] == VALIDATION]
    if not steps:
        raise InputError("there is no step of training to draw")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "curves need matplotlib: pip install 'genesis-orchestrator[train]'"
        ) from error
    width, height = _INCHES
    figure = Figure(figsize=(width * len(_PANELS), height), layout="constrained")
    every: Any = figure.subplots(1, len(_PANELS))
    for axes, (title, of_step, of_validation) in zip(every, _PANELS, strict=True):
        _panel(axes, steps, of_step)
        if of_validation is not None:
            _dots(axes, validations, of_validation)
        _stages(axes, steps)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
    part = path.with_name(f"{path.name}.part")
    try:
        cast("Any", FigureCanvasAgg(figure)).print_png(str(part))
        part.replace(path)
    except OSError as error:
        raise InputError(f"the curves {path} cannot be written: {error}") from error


def _panel(axes: Any, steps: Sequence[Record], name: str) -> None:
    """Each stage by itself: what is measured in one is no continuation of the other."""
    for _, stage in groupby(steps, key=lambda record: record["stage"]):
        own = list(stage)
        places = [record["step"] for record in own]
        values = [record[name] for record in own]
        axes.plot(places, values, color="tab:blue", alpha=0.3, linewidth=0.8)
        axes.plot(places, smoothed(values), color="tab:blue", linewidth=1.5)


def _dots(axes: Any, validations: Sequence[Record], name: str) -> None:
    places = [record["step"] for record in validations]
    values = [record[name] for record in validations]
    axes.plot(places, values, "o", color="tab:orange", markersize=3, label="validation")
    if places:
        axes.legend(fontsize=7, frameon=False)


def _stages(axes: Any, steps: Sequence[Record]) -> None:
    last = None
    for record in steps:
        if record["stage"] != last:
            last, begun = record["stage"], record["step"] - 1
            axes.axvline(begun, color="0.7", linewidth=0.8, linestyle=":")
            axes.annotate(
                last,
                (begun, 0.02),
                xycoords=("data", "axes fraction"),
                fontsize=7,
                color="0.4",
                rotation=90,
                va="bottom",
            )


def smoothed(values: Sequence[float]) -> list[float]:
    """The exponential moving average, begun at the first value."""
    average: list[float] = []
    for value in values:
        before = average[-1] if average else value
        average.append(before + _SMOOTHED * (value - before))
    return average
