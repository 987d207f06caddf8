"""Shortens texts to what matters: by choosing sentences, or by asking a chat model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.errors import ModelError
from infrastructure.memory.agemem.relevance import TermStatistics, relevance
from infrastructure.memory.agemem.sentences import sentences
from infrastructure.memory.agemem.text_analysis import TextAnalysis
from infrastructure.models.usage import estimate_tokens
from infrastructure.text import DATA_RULE, fence, strip_control

if TYPE_CHECKING:
    from infrastructure.models.chat import ChatModel

Floats = NDArray[np.float32]

_CHARACTERS: Final = 4  # of a token, as `estimate_tokens` counts
_REPEATED: Final = 0.92
_NOVELTY: Final = 0.6
_RECENT: Final = 0.02
_ASKS: Final = 0.6
_IRRELEVANT: Final = 0.02
_TELLS: Final = 0.04
MOST_SENTENCES: Final = 2_000
"""Sentences that a summary chooses from, those that matter most; looking closer takes too long."""

MOST_ASKED: Final = 50_000
"""Tokens that a chat model is given."""

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the text that it stands in, counted from 0."""

    text: str
    place: int


def split(texts: Sequence[str]) -> list[Sentence]:
    """The sentences of texts, in their order."""
    return [Sentence(each, place) for place, text in enumerate(texts) for each in sentences(text)]


def extract(
    parts: Sequence[Sentence],
    analyses: Sequence[TextAnalysis],
    max_tokens: int,
    goal: TextAnalysis | None,
    statistics: TermStatistics,
) -> str:
    """The sentences that matter most, verbatim and in their order, within a number of tokens.

    They are taken one by one by maximal marginal relevance (J. Carbonell, J. Goldstein, The use of
    MMR, 1998): relevance to the goal, or without one to the whole, the less the more they are like
    those taken. A question weighs less than a statement. Courtesies, repetitions and what has
    nothing to do with the goal are left out, as long as there is anything else.

    Args:
        parts: the sentences; at least one.
        analyses: of each sentence.
        max_tokens: of the result. If not even the shortest sentence fits, the result is the
            beginning of the best one.
        goal: what is to be kept.
        statistics: how rare terms are.
    """
    values = _values(analyses, goal, statistics)
    room = max_tokens * _CHARACTERS
    taken = _taken([part.text for part in parts], analyses, values, room)
    if not taken:
        return _beginning(parts[int(np.argmax(values))].text, room)
    return _joined([parts[place] for place in sorted(taken)])


async def ask(model: ChatModel, texts: Sequence[str], max_tokens: int, goal: str) -> str:
    """A chat model's summary of texts, which are data to it and nothing else.

    Raises:
        ModelError: the model failed, or no whole sentence of its answer fits.
    """
    from infrastructure.models.chat import ChatMessage

    words = max(1, max_tokens * 3 // 5)
    aim = f"\n{fence('what the summary is for', goal, 4_000)}" if goal else ""
    rules = (
        f"Summarise the text in at most {words} words. Keep names, numbers, dates, decisions and "
        "what is still open; where statements contradict each other keep the later one; leave out "
        f"courtesies. Answer with the summary alone. {DATA_RULE}"
    )
    body = fence("the text to summarise", "\n".join(texts), 2 * _CHARACTERS * MOST_ASKED)
    answer = await model.complete(
        [ChatMessage("system", rules), ChatMessage("user", f"{body}{aim}")],
        max_output_tokens=max(16, 2 * max_tokens),
        timeout_s=_TIMEOUT_S,
    )
    short = _first_sentences(strip_control(answer.text).strip(), max_tokens, cut=answer.cut)
    if not short:
        raise ModelError(f"the answer of {answer.model!r} does not fit {max_tokens} tokens")
    return short


def _values(
    analyses: Sequence[TextAnalysis], goal: TextAnalysis | None, statistics: TermStatistics
) -> Floats:
    if goal is None:
        vectors = np.stack([analysis.vector for analysis in analyses])
        values = np.maximum(vectors @ vectors.mean(axis=0), np.float32(0))
    else:
        values = relevance(goal, analyses, statistics)
    weights = np.array([_weight(analysis) for analysis in analyses], dtype=np.float32)
    told = (weights > 0) & ((values >= _IRRELEVANT) | (goal is None))
    recent = np.linspace(0, _RECENT, len(analyses), dtype=np.float32)
    weighed = np.asarray(values * weights + recent, dtype=np.float32)
    return np.where(told, weighed, np.float32(-np.inf)) if told.any() else weighed


def _taken(
    texts: Sequence[str], analyses: Sequence[TextAnalysis], values: Floats, room: int
) -> list[int]:
    """The places of the sentences that are chosen, within a number of characters."""
    lengths = np.array([len(text) + 1 for text in texts])  # with what stands between them
    vectors = np.stack([analysis.vector for analysis in analyses])
    left = values.copy()
    if len(left) > MOST_SENTENCES:
        left[np.argsort(-left, kind="stable")[MOST_SENTENCES:]] = -np.inf
    nearest = np.zeros(len(texts), dtype=np.float32)  # likeness to what was taken, 0 to 1
    said: dict[frozenset[str], int] = {}
    used = -1
    while True:
        left[lengths > room - used] = -np.inf
        best = int(np.argmax(left * (1 - np.float32(_NOVELTY) * nearest)))
        if left[best] == -np.inf:
            return list(said.values())
        left[best] = -np.inf
        new = analyses[best]
        alike = nearest[best] >= _REPEATED
        if new.telling in said or (alike and _repeats(new, vectors, [*said.values()], analyses)):
            continue
        said[new.telling] = best
        used += int(lengths[best])
        nearest = np.clip(vectors @ new.vector, nearest, 1)


def _weight(analysis: TextAnalysis) -> float:
    """How much a sentence says, whatever it is about; 0 for a courtesy."""
    text = analysis.text.rstrip()
    details = min(len(analysis.names) + len(analysis.numbers), 4)
    says = len(analysis.telling) - analysis.cues["courtesy"]
    polite = bool(analysis.cues["courtesy"]) or text.endswith("!")
    if polite and says <= 1 and not details:
        return 0.0
    return _ASKS if text.endswith("?") else 1.0 + _TELLS * details


def _repeats(
    new: TextAnalysis, vectors: Floats, taken: Sequence[int], analyses: Sequence[TextAnalysis]
) -> bool:
    """Whether one of those that were taken is alike, with the same names and numbers."""
    near = vectors[taken] @ new.vector
    return any(
        analyses[place].names == new.names and analyses[place].numbers == new.numbers
        for place, score in zip(taken, near.tolist(), strict=True)
        if score >= _REPEATED
    )


def _joined(parts: Sequence[Sentence]) -> str:
    text, last = "", -1
    for part in parts:
        text += part.text if not text else f"{' ' if part.place == last else chr(10)}{part.text}"
        last = part.place
    return text


def _beginning(text: str, room: int) -> str:
    """The first words of a text, as many as have room, or part of the first one."""
    if len(text) <= room:
        return text
    head = text[: room + 1]
    whole = head.rsplit(None, 1)[0] if any(map(str.isspace, head)) else text[:room]
    return whole[:room].rstrip()


def _first_sentences(text: str, max_tokens: int, *, cut: bool) -> str:
    """A text that fits, or its first sentences that do; a cut answer loses its last, half one."""
    if estimate_tokens(text) <= max_tokens and not cut:
        return text
    kept = ""
    parts = sentences(text)
    for part in parts[:-1] if cut else parts:
        longer = f"{kept} {part}".strip()
        if estimate_tokens(longer) > max_tokens:
            break
        kept = longer
    return kept
