"""What is known of a text by itself: its size, terms, vector, names, numbers and cues."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.agemem.cues import CUES, cue_counts
from infrastructure.memory.agemem.sentences import sentences
from infrastructure.memory.memori.tokens import query_terms, stems
from infrastructure.models.usage import estimate_tokens

Vector = NDArray[np.float32]

_CACHED: Final = 4096
_NAME: Final = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][\w'-]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")

MOST_SENTENCES: Final = 4
"""Sentences of a text that are looked at one by one, the first ones."""


@dataclass(frozen=True, eq=False)
class TextAnalysis:
    """A text with what is derived from it; equal texts give equal ones.

    Attributes:
        text: the text itself.
        vector: its unit vector, float32[d].
    """

    text: str
    vector: Vector

    @cached_property
    def tokens(self) -> int:
        """About how many tokens of a model it takes; at least 1."""
        return max(1, estimate_tokens(self.text))

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How often each of its terms occurs."""
        return Counter(stems(self.text))

    @cached_property
    def length(self) -> int:
        """How many terms it has, repeated ones counted."""
        return sum(self.counts.values())

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The distinct terms to look for when the text is a query; no stop words."""
        return tuple(query_terms(self.text))

    @cached_property
    def telling(self) -> frozenset[str]:
        """Its distinct terms without stop words, unless it has nothing else."""
        return frozenset(self.asked)

    @cached_property
    def names(self) -> frozenset[str]:
        """Words with a capital that do not begin a sentence, folded."""
        return frozenset(word.removesuffix("'s").lower() for word in _NAME.findall(self.text))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The numbers and times in it, as written."""
        return frozenset(_NUMBER.findall(self.text))

    @cached_property
    def cues(self) -> Mapping[str, int]:
        """How many words of each group of `cues.CUES` it has."""
        return dict(zip(CUES, cue_counts(self.text), strict=True))


class TextAnalyst:
    """Analyses texts, the last ones once.

    Args:
        embedder: gives the vectors.
        cached: how many analyses are kept.
    """

    def __init__(self, embedder: Embedder, *, cached: int = _CACHED) -> None:
        self.embedder = embedder
        self._cached = cached
        self._known: OrderedDict[str, TextAnalysis] = OrderedDict()
        self._sentences: OrderedDict[str, tuple[TextAnalysis, ...]] = OrderedDict()

    def of(self, text: str) -> TextAnalysis:
        """The analysis of a text."""
        known = self._known.get(text)
        if known is None:
            self.prepare((text,))
            known = self._known[text]
        self._known.move_to_end(text)
        return known

    def sentences(self, text: str) -> tuple[TextAnalysis, ...]:
        """The analyses of a text's sentences, the first MOST_SENTENCES of them."""
        known = self._sentences.get(text)
        if known is None:
            parts = sentences(text)[:MOST_SENTENCES]
            self.prepare(parts)
            known = tuple(self.of(part) for part in parts)
            self._sentences[text] = known
            if len(self._sentences) > self._cached:
                self._sentences.popitem(last=False)
        return known

    def known(self, text: str) -> TextAnalysis | None:
        """The analysis of a text, if it is kept."""
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
        return known

    def keep(self, analysis: TextAnalysis) -> None:
        """Keep an analysis that was made elsewhere, such as in a thread."""
        self._known[analysis.text] = analysis
        if len(self._known) > self._cached:
            self._known.popitem(last=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Analyse many texts at once, which is quicker than one by one."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not new:
            return
        for text, vector in zip(new, self.embedder.embed(new), strict=True):
            self._known[text] = TextAnalysis(text, vector)
        while len(self._known) > max(self._cached, len(new)):
            self._known.popitem(last=False)
