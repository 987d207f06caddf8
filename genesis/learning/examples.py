"""What a routing policy learns from: tasks with what came of the ways in which they were tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError
from infrastructure.embeddings.embedder import Embedder


@dataclass(frozen=True, slots=True)
class Observed:
    """One way of doing a task was tried.

    Attributes:
        success: whether the result passed its checks.
        usd: what the attempt cost, US dollars.
    """

    success: bool
    usd: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.usd < math.inf:
            raise InputError(f"the price of an attempt must be 0 or more, not {self.usd!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One task.

    Attributes:
        text: the request, all that is known of a task before it is tried.
        outcomes: what came of each option that was tried, by `genesis.routing.outlook`'s names;
            without any the text still teaches what requests look like.
        vector: the text's embedding, [dimensions]; None if it is still to be made.
    """

    text: str
    outcomes: Mapping[str, Observed] = field(default_factory=dict[str, Observed])
    vector: NDArray[np.float32] | None = None


def option_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """Every option that some example tried, sorted."""
    return tuple(sorted({option for example in examples for option in example.outcomes}))


def success_table(examples: Sequence[Example], options: Sequence[str]) -> NDArray[np.float64]:
    """1 for a success, 0 for a failure, NaN for what was not tried, [examples, options]."""
    table = np.full((len(examples), len(options)), np.nan)
    for row, example in enumerate(examples):
        for option, observed in example.outcomes.items():
            table[row, options.index(option)] = float(observed.success)
    return table


def price_table(examples: Sequence[Example], options: Sequence[str]) -> NDArray[np.float64]:
    """US dollars, NaN for what was not tried, [examples, options]."""
    table = np.full((len(examples), len(options)), np.nan)
    for row, example in enumerate(examples):
        for option, observed in example.outcomes.items():
            table[row, options.index(option)] = observed.usd
    return table


def vectors(examples: Sequence[Example], embedder: Embedder | None) -> NDArray[np.float32]:
    """The examples' embeddings, [examples, dimensions]; [examples, 0] without an embedder.

    Raises:
        InputError: a vector has another length than the embedder's, or is not finite.
        ModelError: the embedder is missing or failed.
    """
    if embedder is None:
        return np.zeros((len(examples), 0), dtype=np.float32)
    rows = np.zeros((len(examples), embedder.dimensions), dtype=np.float32)
    missing = [place for place, example in enumerate(examples) if example.vector is None]
    if missing:
        rows[missing] = embedder.embed([examples[place].text for place in missing])
    for place, example in enumerate(examples):
        if example.vector is None:
            continue
        shape = example.vector.shape
        if shape != (embedder.dimensions,) or not np.isfinite(example.vector).all():
            raise InputError(
                f"example {place}: its vector has the shape {shape}, the embedder "
                f"{embedder.name} gives {embedder.dimensions} finite numbers"
            )
        rows[place] = example.vector
    return rows
