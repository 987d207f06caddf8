"""Texts analysed without holding up the event loop: what may take long goes to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst

_QUICK: Final = 8_000
"""Characters that the built-in embedder takes at once, in about 2 ms."""


async def analysed(analyst: TextAnalyst, texts: Sequence[str]) -> list[TextAnalysis]:
    """The analyses of texts, in their order.

    Short texts are embedded at once by the built-in embedder; other embedders may compute for long
    or ask a server, and are called from a thread.
    """
    found = {text: known for text in texts if (known := analyst.known(text)) is not None}
    new = [text for text in dict.fromkeys(texts) if text not in found]
    if new:
        quick = isinstance(analyst.embedder, BuiltinEmbedder)
        if quick and sum(map(len, new)) <= _QUICK:
            analyses = _made(analyst, new)
        else:
            analyses = await asyncio.to_thread(_made, analyst, new)
        for analysis in analyses:
            analyst.keep(analysis)
            found[analysis.text] = analysis
    return [found[text] for text in texts]


def _made(analyst: TextAnalyst, texts: Sequence[str]) -> list[TextAnalysis]:
    vectors = analyst.embedder.embed(texts)
    analyses = [TextAnalysis(text, vector) for text, vector in zip(texts, vectors, strict=True)]
    for analysis in analyses:
        _ = analysis.counts, analysis.tokens  # found once, and here it holds up nobody
    return analyses
