"""Exact sums and honest rates: whole units that can be subtracted again, and Wilson bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from infrastructure.errors import InputError

MAX_SECONDS: Final = 1e9
MAX_USD: Final = 1e6
Z95: Final = 1.959963984540054

_MICRO: Final = 1_000_000
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with how sure it is.

    Attributes:
        value: the estimate; None when nothing is known.
        n: observations behind it.
        interval: lower and upper end at 95 % confidence; None when not known.
    """

    value: float | None
    n: int
    interval: tuple[float, float] | None


UNKNOWN: Final = Measured(None, 0, None)


def checked_amount(name: str, value: float, most: float) -> float:
    """The value as a float, if it is a number from 0 to `most`.

    Raises:
        InputError: it is something else; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
        raise InputError(f"{name} must be a number, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0 or value > most:
        raise InputError(f"{name} must be between 0 and {most:g}, not {value!r}")
    return float(value)


def to_micros(seconds: float) -> int:
    """Whole microseconds: integers add and subtract without a rest, floats do not."""
    return round(seconds * _MICRO)


def to_nanos(usd: float) -> int:
    """Whole billionths of a dollar."""
    return round(usd * _NANO)


def mean_seconds(micros: int, count: int) -> float:
    """Mean duration in seconds; 0 without observations."""
    return micros / _MICRO / count if count else 0.0


def mean_usd(nanos: int, count: int) -> float:
    """Mean cost in US dollars; 0 without observations."""
    return nanos / _NANO / count if count else 0.0


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The Wilson score interval of a rate at 95 % (E. B. Wilson, JASA 22, 1927).

    Unlike the bare ratio it knows that 1 of 1 says less than 90 of 100.
    """
    if total <= 0:
        return 0.0, 1.0
    rate = successes / total
    square = Z95 * Z95
    scale = 1 + square / total
    middle = rate + square / (2 * total)
    spread = Z95 * math.sqrt(rate * (1 - rate) / total + square / (4 * total * total))
    # Rounding may carry an end past the rate itself, at 0 and at 1.
    return max(0.0, min(rate, (middle - spread) / scale)), min(
        1.0, max(rate, (middle + spread) / scale)
    )


def measured_rate(successes: int, total: int) -> Measured:
    """A success rate with its Wilson interval."""
    if total <= 0:
        return UNKNOWN
    return Measured(successes / total, total, wilson(successes, total))


@dataclass(frozen=True, slots=True)
class Standing:
    """How much a pattern can be trusted now.

    Attributes:
        current_rate: the success rate that counts; the recent one after a fall.
        score: the lower bound of that rate, by which the best comes first.
    """

    current_rate: float
    score: float


def standing(successes: int, total: int, recent: list[bool]) -> Standing:
    """Judge by all executions, unless the recent ones tell of a fall; then by those alone.

    A fall is recent executions whose upper bound lies below the all-time rate: what used to work
    is demoted by its own failures, without waiting for them to outweigh its past.
    """
    rate = successes / total if total else 0.0
    recent_successes = sum(recent)
    if recent and wilson(recent_successes, len(recent))[1] < rate:
        return Standing(recent_successes / len(recent), wilson(recent_successes, len(recent))[0])
    return Standing(rate, wilson(successes, total)[0])
