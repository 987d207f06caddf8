"""Texts read with some of their words left out, so that a policy does not rest on single words.

Phrasing is new in use. A policy that saw every sentence of its training whole learns the sentences;
one that saw them with gaps has to learn what they have in common (as in M. Iyyer et al., Deep
Unordered Composition Rivals Syntactic Methods, 2015). Memory itself holds whole texts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst


class WordDropout(TextAnalyst):
    """Reads the sentences of a text with gaps, the same ones each time; all else is as it is.

    Args:
        analyst: analyses whole texts.
        share: of the words of a sentence that are left out, each by chance; one always stays.
        seed: of the gaps; those of a text depend on nothing else, such as on what was read before.
    """

    def __init__(self, analyst: TextAnalyst, share: float, seed: int) -> None:
        super().__init__(analyst.embedder)
        self._whole = analyst
        self._share = share
        self._seed = seed
        self._read: dict[str, tuple[TextAnalysis, ...]] = {}

    def of(self, text: str) -> TextAnalysis:
        """The analysis of a whole text."""
        return self._whole.of(text)

    def known(self, text: str) -> TextAnalysis | None:
        """The analysis of a whole text, if it is kept."""
        return self._whole.known(text)

    def keep(self, analysis: TextAnalysis) -> None:
        """Keep the analysis of a whole text."""
        self._whole.keep(analysis)

    def prepare(self, texts: Iterable[str]) -> None:
        """Analyse whole texts, and read them with gaps, all at once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        self._whole.prepare(new)
        read = [list(self._gapped(text)) for text in new]
        parts = [part for sentences in read for part in sentences]
        vectors = iter(self.embedder.embed(parts)) if parts else iter(())
        for text, sentences in zip(new, read, strict=True):
            self._read[text] = tuple(TextAnalysis(part, next(vectors)) for part in sentences)

    def sentences(self, text: str) -> tuple[TextAnalysis, ...]:
        """A text's sentences, each with its gaps."""
        if text not in self._read:
            self.prepare((text,))
        return self._read[text]

    def _gapped(self, text: str) -> Iterator[str]:
        draws = random.Random(f"{self._seed}:{text}")  # noqa: S311 - no secret depends on it
        for sentence in self._whole.sentences(text):
            words = sentence.text.split()
            kept = [word for word in words if draws.random() >= self._share]
            yield " ".join(kept or [draws.choice(words)])
