"""Seeded records for the store benchmark: texts, and workflows of nine task types."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK = 1000
TASK_TYPES = tuple(f"type-{number}" for number in range(9))
_STEP_LISTS = 40
_WORD = re.compile(r"[a-z]{2,14}")
_TOPICS = 300
_TOPIC_WORDS = 40
_SHORTEST, _LONGEST = 10, 40
_STREAMED = 20_000
_SCATTER = 0x9E3779B97F4A7C15  # an odd number, so keys are in no order and none comes twice
_KEY_BITS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Note:
    """An item with text."""

    key: str
    value: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Executed:
    """One executed workflow."""

    key: str
    task_type: str
    steps: tuple[str, ...]
    success: bool
    seconds: float
    usd: float


class Texts:
    """Texts of words as frequent as they are in the standard library's docstrings.

    Half of a text's words come from one of 300 topics, so that some texts are alike; the rest from
    the whole vocabulary, which is near to Zipf's law: few words are everywhere, most are rare.
    """

    def __init__(self, seed: int) -> None:
        counted = vocabulary().most_common()
        self._words = np.array([word for word, _ in counted])
        weights = np.array([count for _, count in counted], dtype=np.float64)
        self._cumulative = np.cumsum(weights / weights.sum())
        self._seed = seed
        topics = np.random.default_rng([seed, 1])
        self._topics = topics.integers(0, len(counted), size=(_TOPICS, _TOPIC_WORDS))

    def notes(self, count: int) -> Iterator[list[Note]]:
        """The first `count` items, a thousand at a time."""
        for start in range(0, count, CHUNK):
            rng = np.random.default_rng([self._seed, 2, start])
            texts = self._texts(rng, CHUNK, _SHORTEST, _LONGEST)
            keys = [rng.bytes(8).hex() for _ in range(CHUNK)]
            yield [
                Note(key, {"text": text, "number": start + at})
                for at, (key, text) in enumerate(
                    zip(keys[: count - start], texts[: count - start], strict=True)
                )
            ]

    def stream(self, count: int) -> Iterator[Note]:
        """Items made so quickly that taking them adds little to what storing them takes.

        The keys are all different; the texts repeat after 20,000.
        """
        texts = [
            note.value["text"] for chunk in self.notes(min(count, _STREAMED)) for note in chunk
        ]
        return (
            Note(f"{number * _SCATTER & _KEY_BITS:016x}", {"text": text, "number": number})
            for number, text in zip(range(count), cycle(texts), strict=False)
        )

    def queries(self, count: int) -> list[str]:
        """Queries of three to seven words, about the topics of the items."""
        return self._texts(np.random.default_rng([self._seed, 3]), count, 3, 8)

    def _texts(
        self, rng: np.random.Generator, count: int, shortest: int, longest: int
    ) -> list[str]:
        lengths = rng.integers(shortest, longest, size=count)
        common = np.searchsorted(self._cumulative, rng.random((count, longest)))
        topics = rng.integers(0, _TOPICS, size=count)
        special = self._topics[topics[:, None], rng.integers(0, _TOPIC_WORDS, (count, longest))]
        chosen: NDArray[np.int64] = np.where(rng.random((count, longest)) < 0.5, special, common)
        words = self._words[np.minimum(chosen, len(self._words) - 1)]
        return [" ".join(row[:length]) for row, length in zip(words, lengths, strict=True)]


def vocabulary() -> Counter[str]:
    """Words of the standard library's docstrings, with how often they occur."""
    words: Counter[str] = Counter()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                words.update(_WORD.findall((ast.get_docstring(node) or "").lower()))
    return words


def workflows(count: int, seed: int) -> Iterator[list[Executed]]:
    """Workflows, a thousand at a time: 40 step lists a type, some frequent, some unreliable."""
    setup = np.random.default_rng([seed, 4])
    rates = setup.beta(4, 2, size=(len(TASK_TYPES), _STEP_LISTS))
    shares = 1 / np.arange(1, _STEP_LISTS + 1)
    shares /= shares.sum()
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        rng = np.random.default_rng([seed, 5, start])
        kinds = rng.integers(0, len(TASK_TYPES), size=size)
        lists = rng.choice(_STEP_LISTS, size=size, p=shares)
        succeeded = rng.random(size) < rates[kinds, lists]
        seconds, dollars = rng.gamma(2, 5, size), rng.gamma(2, 0.01, size)
        yield [
            Executed(
                key=f"workflow-{start + at}",
                task_type=TASK_TYPES[int(kinds[at])],
                steps=step_list(int(kinds[at]), int(lists[at])),
                success=bool(succeeded[at]),
                seconds=float(seconds[at]),
                usd=float(dollars[at]),
            )
            for at in range(size)
        ]


def step_list(kind: int, number: int) -> tuple[str, ...]:
    """Three to six steps."""
    return tuple(
        f"operation-{kind}-{number}-{step}:agent-{step}:" for step in range(3 + number % 4)
    )
