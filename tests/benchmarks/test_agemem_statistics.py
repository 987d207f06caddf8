"""Bootstrap intervals of the memory benchmark, against what is known of means and of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from agemem_statistics import of_clusters, within


def test_every_group_weighs_the_same_whatever_its_size() -> None:
    draws = within(["a"] * 5 + ["b"] * 20, seed=0)
    assert draws.mean([1] * 5 + [0] * 20).mean == pytest.approx(0.5)
    assert draws.mean([0] * 5 + [1] * 20).mean == pytest.approx(0.5)


def test_where_each_group_has_a_unit_or_two_the_interval_is_that_of_all_together() -> None:
    values = [0.0, 1.0] * 50
    few = within(list(range(100)), seed=0).mean(values)
    assert few == within(["all"] * 100, seed=0).mean(values)
    assert few.low < 0.45 < 0.55 < few.high


def test_a_value_that_never_varies_within_its_group_has_no_interval() -> None:
    draws = within(["a"] * 6 + ["b"] * 6, seed=0)
    found = draws.mean([1] * 6 + [0] * 6)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_an_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = within(["all"] * 400, seed=2).mean(values.tolist())
    error = values.std() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < found.mean < found.high


def test_what_is_alike_within_clusters_has_a_wider_interval() -> None:
    clusters = [place // 50 for place in range(400)]
    values = [float(cluster % 2) for cluster in clusters]
    clustered = of_clusters(clusters, seed=3).mean(values)
    independent = within(["all"] * 400, seed=3).mean(values)
    assert clustered.mean == pytest.approx(independent.mean)
    assert clustered.high - clustered.low > 4 * (independent.high - independent.low)


def test_rows_are_compared_unit_by_unit() -> None:
    base = np.random.default_rng(4).normal(size=200)
    draws = within(["all"] * 200, seed=5)
    gain = draws.gain((base + 0.1).tolist(), base.tolist())
    assert (gain.low, gain.mean, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    closed = draws.gap_closed((base + 0.1).tolist(), base.tolist(), (base + 0.4).tolist())
    assert (closed.low, closed.mean, closed.high) == pytest.approx((0.25, 0.25, 0.25))


def test_one_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(6).normal(size=30).tolist()
    clusters = [place % 5 for place in range(30)]
    one, same, other = (of_clusters(clusters, seed).mean(values) for seed in (7, 7, 8))
    assert one == same != other
