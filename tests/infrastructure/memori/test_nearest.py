"""The vector index in memory: exact while small, by codes above, and its blocks as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infrastructure.errors import StoreError
from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.nearest import VectorIndex
from infrastructure.memory.memori.vector_block import VectorBlock, merged


def _unit(rows: NDArray[np.float64]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def _block(first: int, vectors: Vectors) -> VectorBlock:
    return VectorBlock(np.arange(first, first + len(vectors)), vectors)


# ---------------------------------------------------------------- against a plain comparison


@dataclass(frozen=True)
class _Case:
    blocks: list[VectorBlock]
    removed: list[list[int]]
    query: Vectors


@st.composite
def _cases(draw: st.DrawFn) -> _Case:
    """Blocks whose items have one to three rows, some vectors alike, and removals between them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    directions = _unit(rng.normal(size=(12, 5)))
    blocks: list[VectorBlock] = []
    removed: list[list[int]] = []
    last = 0
    for rows_each in draw(st.lists(st.lists(st.integers(1, 3), max_size=30), max_size=5)):
        ids = last + np.cumsum(rng.integers(1, 4, len(rows_each)))
        last = int(ids[-1]) if len(ids) else last
        items = np.repeat(ids, rows_each).astype(np.int64)
        blocks.append(VectorBlock(items, directions[rng.integers(0, 12, len(items))]))
        removed.append(draw(st.lists(st.integers(-1, last + 2), max_size=20)))
    return _Case(blocks, removed, _unit(rng.normal(size=5)))


def _filled(case: _Case, exact_rows: int) -> VectorIndex:
    index = VectorIndex(5, exact_rows)
    for block, removed in zip(case.blocks, case.removed, strict=True):
        index.append(block)
        index.remove(removed)
        index.remove(removed)
    return index


def _plain_rows(case: _Case) -> list[tuple[int, float | None]]:
    """Item and cosine of every row; None for those of removed items."""
    rows: list[tuple[int, float | None]] = []
    for block, removed in zip(case.blocks, case.removed, strict=True):
        for item, vector in zip(block.items.tolist(), block.vectors, strict=True):
            rows.append((item, float(np.dot(vector.astype(float), case.query.astype(float)))))
        rows = [(item, None if item in removed else cosine) for item, cosine in rows]
    return rows


def _best(rows: list[tuple[int, float | None]], allowed: list[bool]) -> dict[int, float]:
    best: dict[int, float] = {}
    for (item, cosine), counts in zip(rows, allowed, strict=True):
        if counts and cosine is not None:
            best[item] = max(cosine, best.get(item, cosine))
    return best


@settings(deadline=None)
@given(case=_cases(), k=st.integers(0, 12), seed=st.integers(0, 999), data=st.data())
@pytest.mark.parametrize("exact_rows", [0, 1000])
def test_the_nearest_are_those_of_a_plain_comparison(
    exact_rows: int, case: _Case, k: int, seed: int, data: st.DataObject
) -> None:
    index, rows = _filled(case, exact_rows), _plain_rows(case)
    share = data.draw(st.sampled_from([None, 0.0, 0.3, 0.9]))
    mask = None if share is None else np.random.default_rng(seed).random(len(rows)) < share

    found = index.nearest(case.query, k, mask)

    best = _best(rows, [True] * len(rows) if mask is None else mask.tolist())
    expected = sorted(best.values(), reverse=True)[:k]
    assert found.cosines.tolist() == pytest.approx(expected, abs=1e-6)
    assert len(set(found.items.tolist())) == len(expected)
    for item, cosine in zip(found.items.tolist(), found.cosines.tolist(), strict=True):
        assert best[item] == pytest.approx(cosine, abs=1e-6)


@settings(deadline=None)
@given(case=_cases())
def test_rows_and_items_have_their_cosines_and_removed_ones_none(case: _Case) -> None:
    index, rows = _filled(case, 1000), _plain_rows(case)
    plain = [-np.inf if cosine is None else cosine for _, cosine in rows]
    assert index.rows == len(rows)
    assert index.items.tolist() == [item for item, _ in rows]
    assert index.alive.tolist() == [cosine is not None for _, cosine in rows]
    assert index.cosines(case.query).tolist() == pytest.approx(plain, abs=1e-6)

    best = _best(rows, [True] * len(rows))
    asked = list(range(-1, max([item for item, _ in rows], default=0) + 2))[::-1]
    cosines = index.cosines_of(case.query, np.array(asked))
    expected = [best.get(item, -np.inf) for item in asked]
    assert cosines.tolist() == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- above the limit

_ROWS, _DIMENSIONS = 120_000, 32


def _clusters(rng: np.random.Generator, rows: int) -> Vectors:
    """Vectors around 10 centres, all to one side of the origin as many embedders' are."""
    centres = np.random.default_rng(0).normal(size=(10, _DIMENSIONS)) + 1.5
    noise = rng.normal(size=(rows, _DIMENSIONS))
    return _unit(centres[rng.integers(0, 10, rows)] + 0.7 * noise)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return _clusters(np.random.default_rng(1), _ROWS)


@pytest.fixture
def large(vectors: Vectors) -> VectorIndex:
    """More rows than are compared exactly, ids from 1 on, part of them appended after a search."""
    index = VectorIndex(_DIMENSIONS, exact_rows=2_000)
    index.append(_block(1, vectors[:100_000]))
    assert len(index.nearest(vectors[0], 3).items) == 3
    index.append(_block(100_001, vectors[100_000:]))
    assert not index.exact
    return index


def _recall(index: VectorIndex, vectors: Vectors, allowed: NDArray[np.bool_]) -> float:
    """Share of the ten truly nearest among the allowed rows that are found, over 50 queries."""
    found = 0
    for query in _clusters(np.random.default_rng(2), 50):
        cosines = np.where(allowed, vectors @ query, -np.inf)
        nearest = index.nearest(query, 10, allowed).items - 1
        assert allowed[nearest].all()
        found += len(np.intersect1d(np.argsort(-cosines)[:10], nearest))
    return found / 500


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.05])
def test_almost_all_true_neighbours_are_found_by_codes(
    large: VectorIndex, vectors: Vectors, share: float
) -> None:
    allowed = np.random.default_rng(3).random(_ROWS) < share
    assert _recall(large, vectors, allowed) >= 0.97


def test_few_allowed_rows_are_compared_exactly(large: VectorIndex, vectors: Vectors) -> None:
    allowed = np.zeros(_ROWS, dtype=np.bool_)
    allowed[[5, 700, 19_000]] = True
    found = large.nearest(vectors[0], 10, allowed)
    assert sorted(found.items.tolist()) == [6, 701, 19_001]


def test_cosines_are_exact_above_the_limit(large: VectorIndex, vectors: Vectors) -> None:
    found = large.nearest(vectors[110_000], 10)
    assert found.items[0] == 110_001
    exact = vectors[found.items - 1] @ vectors[110_000]
    np.testing.assert_allclose(found.cosines, exact, atol=1e-6)
    np.testing.assert_array_equal(large.cosines(vectors[110_000])[found.items - 1], found.cosines)
    np.testing.assert_array_equal(large.cosines_of(vectors[110_000], found.items), found.cosines)


def test_what_is_removed_never_comes_back(large: VectorIndex, vectors: Vectors) -> None:
    gone: set[int] = set()
    for _ in range(5):
        nearest = set(large.nearest(vectors[7], 50).items.tolist())
        assert not nearest & gone
        large.remove(nearest)
        gone |= nearest
    assert np.count_nonzero(large.alive) == _ROWS - 250
    assert not set(large.nearest(vectors[7], 50).items.tolist()) & gone
    last = large.nearest(vectors[-1], 1).items.tolist()
    assert last == [_ROWS]


def test_many_rows_of_one_item_hide_no_other(vectors: Vectors) -> None:
    index = VectorIndex(_DIMENSIONS, exact_rows=100)
    alike = np.tile(vectors[0], (6_000, 1))
    index.append(VectorBlock(np.full(6_000, 1), alike))
    index.append(_block(2, vectors[1:6_001]))
    found = index.nearest(vectors[0], 5)
    assert found.items[0] == 1
    assert len(set(found.items.tolist())) == 5


@pytest.mark.parametrize("exact_rows", [100, 10_000])
def test_the_newest_of_equal_items_come_first(vectors: Vectors, exact_rows: int) -> None:
    index = VectorIndex(_DIMENSIONS, exact_rows)
    index.append(_block(1, np.tile(vectors[0], (5_003, 1))))
    assert index.nearest(vectors[1], 4).items.tolist() == [5_003, 5_002, 5_001, 5_000]


@pytest.mark.parametrize("dimensions", [1, 3, 100, 700])
def test_any_number_of_dimensions_is_encoded(dimensions: int) -> None:
    rows = _unit(np.random.default_rng(4).normal(size=(3_000, dimensions)))
    index = VectorIndex(dimensions, exact_rows=100)
    index.append(_block(1, rows))
    found = index.nearest(rows[17], 1)
    assert found.cosines.tolist() == pytest.approx([1.0], abs=1e-5)


def test_rows_appended_over_many_blocks_of_codes_are_all_found() -> None:
    rows = _unit(np.random.default_rng(6).normal(size=(150_000, 8)))
    index = VectorIndex(8, exact_rows=1_000)
    for start, end in ((0, 60_000), (60_000, 66_000), (66_000, 150_000)):
        index.append(_block(start, rows[start:end]))
        found = [index.nearest(rows[item], 1).items[0] for item in range(0, end, 5_999)]
        assert found == list(range(0, end, 5_999))


# ---------------------------------------------------------------- what is refused


def test_what_does_not_fit_is_refused(vectors: Vectors) -> None:
    index = VectorIndex(_DIMENSIONS)
    index.append(_block(10, vectors[:5]))
    with pytest.raises(ValueError, match="3 dimensions in an index of 32"):
        index.append(_block(20, vectors[:5, :3]))
    with pytest.raises(ValueError, match="from id 14 cannot follow id 14"):
        index.append(_block(14, vectors[:5]))
    with pytest.raises(ValueError, match="query of shape"):
        index.nearest(vectors[0, :3], 1)
    with pytest.raises(ValueError, match="mask of shape"):
        index.nearest(vectors[0], 1, np.ones(4, dtype=np.bool_))
    with pytest.raises(ValueError, match="-1 items"):
        index.nearest(vectors[0], -1)
    assert index.rows == 5


def test_an_index_without_rows_finds_nothing(vectors: Vectors) -> None:
    index = VectorIndex(_DIMENSIONS)
    index.append(_block(1, vectors[:0]))
    index.remove([1])
    assert index.nearest(vectors[0], 3).items.tolist() == []
    assert index.cosines(vectors[0]).tolist() == []
    assert index.cosines_of(vectors[0], np.array([1])).tolist() == [-np.inf]


# ---------------------------------------------------------------- blocks


@settings(deadline=None)
@given(case=_cases())
def test_blocks_survive_as_bytes(case: _Case) -> None:
    for block in case.blocks:
        data = block.to_bytes()
        read = VectorBlock.from_bytes(data)
        assert len(data) == 24 + len(block.items) * (8 + 4 * 5)
        np.testing.assert_array_equal(read.items, block.items)
        np.testing.assert_array_equal(read.vectors, block.vectors)
        assert (read.items.dtype, read.vectors.dtype) == (np.int64, np.float32)


@settings(deadline=None)
@given(change=st.integers(1, 255), data=st.data())
def test_a_changed_byte_is_noticed(change: int, data: st.DataObject) -> None:
    good = _block(1, _unit(np.random.default_rng(5).normal(size=(3, 4)))).to_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([good[at] ^ change]) + good[at + 1 :]
    with pytest.raises(StoreError, match="damaged"):
        VectorBlock.from_bytes(bad)


@settings(deadline=None)
@given(data=st.data())
def test_missing_and_added_bytes_are_noticed(data: st.DataObject) -> None:
    good = _block(1, _unit(np.random.default_rng(5).normal(size=(3, 4)))).to_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:cut], good + good[: cut + 1], good[cut + 1 :]):
        with pytest.raises(StoreError, match="damaged"):
            VectorBlock.from_bytes(bad)


def test_a_block_of_ids_out_of_order_is_refused(vectors: Vectors) -> None:
    with pytest.raises(ValueError, match="ascend"):
        VectorBlock(np.array([2, 1]), vectors[:2])
    with pytest.raises(ValueError, match="1 ids for 2 vectors"):
        VectorBlock(np.array([2]), vectors[:2])
    with pytest.raises(ValueError, match="shapes"):
        VectorBlock(np.array([2]), vectors[0])


@settings(deadline=None)
@given(case=_cases())
def test_merged_blocks_hold_the_rows_of_living_items_in_order(case: _Case) -> None:
    if not case.blocks:
        return
    dead = {item for removed in case.removed for item in removed}
    whole = merged(case.blocks[::-1], dead)
    rows = [
        (item, vector.tolist())
        for block in case.blocks
        for item, vector in zip(block.items.tolist(), block.vectors, strict=True)
        if item not in dead
    ]
    assert list(zip(whole.items.tolist(), whole.vectors.tolist(), strict=True)) == rows
