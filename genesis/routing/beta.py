"""Quantiles of the Beta distribution, and the one that has a given mean and variance."""

from __future__ import annotations

import math
from functools import lru_cache

_LEAST_STRENGTH = 0.1


def matched(mean: float, variance: float) -> tuple[float, float]:
    """Parameters of the Beta distribution with this mean (above 0, below 1) and variance."""
    strength = max(mean * (1 - mean) / variance - 1, _LEAST_STRENGTH)
    return mean * strength, (1 - mean) * strength


@lru_cache(maxsize=4096)
def beta_quantile(alpha: float, beta: float, probability: float) -> float:
    """The quantile of a Beta distribution, to 1e-4: Newton steps kept inside a bracket.

    The distribution function is the continued fraction of Abramowitz & Stegun 26.5.8.
    """
    low, high, x = 0.0, 1.0, alpha / (alpha + beta)
    for _ in range(60):
        gap = _beta_cdf(alpha, beta, x) - probability
        low, high = (low, x) if gap > 0 else (x, high)
        if high - low < 1e-4:
            break
        density = math.exp(_log_kernel(alpha, beta, x)) / (x * (1 - x))
        step = x - gap / density if density > 0 else -1.0
        if abs(step - x) < 1e-5 and low <= step <= high:
            return step
        x = step if low < step < high else (low + high) / 2
    return (low + high) / 2


def _log_kernel(alpha: float, beta: float, x: float) -> float:
    """Logarithm of x^a (1-x)^b / B(a, b)."""
    scale = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    return scale + alpha * math.log(x) + beta * math.log1p(-x)


def _beta_cdf(alpha: float, beta: float, x: float) -> float:
    if x > (alpha + 1) / (alpha + beta + 2):
        return 1 - _beta_cdf(beta, alpha, 1 - x)
    return math.exp(_log_kernel(alpha, beta, x)) * _fraction(alpha, beta, x) / alpha


def _fraction(alpha: float, beta: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    tiny = 1e-30
    c, d = 1.0, 1 - (alpha + beta) * x / (alpha + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 200):
        even = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-7:
            break
    return value
