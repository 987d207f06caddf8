"""Training a compression dictionary from archived sessions, kept only when it pays.

Nothing that fewer than three sessions have in common gets into a dictionary: the samples are cut to
the stretches of which every eight bytes occur in three of them. Whether a dictionary pays is
measured on sessions held out from training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from backports import zstd

from infrastructure.memory.memori.archive_format import compress_text
from infrastructure.memory.memori.dictionaries import SHARED_BY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

FEWEST_SAMPLES: Final = 64
SIZES: Final = (16 * 1024, 64 * 1024)
WINDOW: Final = 8
"""Bytes of a stretch that must occur together in enough sessions."""

_HELD_OUT: Final = 4
_BREAK: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dictionary worth storing.

    Attributes:
        share_saved: of the bytes of held-out sessions as they would be packed without it.
    """

    body: bytes
    share_saved: float


def train(
    samples: Sequence[bytes], current: zstd.ZstdDict | None, sessions: int
) -> Candidate | None:
    """Train dictionaries of several sizes on three quarters of the samples and take the best.

    Args:
        samples: one text for each of the latest sessions.
        current: the dictionary in use.
        sessions: how many are archived; as many are expected to come.

    Returns:
        None when no dictionary would save more than its own size.
    """
    held_out = samples[::_HELD_OUT]
    pieces = shared_stretches(training_part(samples))
    if not any(pieces):
        return None
    before = sum(len(compress_text(text, current)) for text in held_out)
    best, best_gain = None, 0.0
    for size in SIZES:
        try:
            trained = zstd.train_dict(pieces, size)
        except zstd.ZstdError:  # the samples have too little in common
            continue
        saved = before - sum(len(compress_text(text, trained)) for text in held_out)
        body = bytes(trained.dict_content)
        gain = saved / len(held_out) * sessions - len(body)
        if gain > best_gain:
            best, best_gain = Candidate(body, saved / before), gain
    return best


def training_part(samples: Sequence[T]) -> list[T]:
    """What `train` learns from: all but every fourth."""
    return [sample for index, sample in enumerate(samples) if index % _HELD_OUT]


def shared_stretches(samples: Sequence[bytes]) -> list[bytes]:
    """The samples without what fewer than `SHARED_BY` of them have; breaks are marked by NUL."""
    # NumPy costs 50 ms to import, and few processes train.
    import numpy as np

    windows = [_windows(text) for text in samples]
    distinct, counts = np.unique(
        np.concatenate([np.unique(found) for found in windows]), return_counts=True
    )
    shared = distinct[counts >= SHARED_BY]
    return [
        _covered(text, np.isin(found, shared)) for text, found in zip(samples, windows, strict=True)
    ]


def _windows(text: bytes) -> NDArray[np.uint64]:
    """Every eight bytes in a row, as one number."""
    import numpy as np

    if len(text) < WINDOW:
        return np.zeros(0, np.uint64)
    every = np.lib.stride_tricks.sliding_window_view(np.frombuffer(text, np.uint8), WINDOW)
    return np.ascontiguousarray(every).view(np.uint64).reshape(-1)


def _covered(text: bytes, shared: NDArray[np.bool_]) -> bytes:
    import numpy as np

    starts = np.flatnonzero(shared)
    edges = np.zeros(len(text) + 1, np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + WINDOW, -1)
    kept = np.concatenate(([0], np.cumsum(edges) > 0)).astype(np.int8)
    borders = np.flatnonzero(np.diff(kept))
    stretches = zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True)
    return _BREAK.join(text[start:end] for start, end in stretches)
