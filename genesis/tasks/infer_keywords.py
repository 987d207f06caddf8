"""Task types by weighted keywords: the embedded default, and the fallback without a model.

A request often names several things ('Add a test that reproduces the bug'). The principal
deliverable wins: the opening verb and the main clause count in full, what follows 'that', 'for',
'when' ... counts less, and what follows the first sentence less still.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from genesis.tasks.infer_text import RequestText, read_request, stems
from genesis.tasks.inference import Inference, from_scores
from genesis.tasks.types import TaskType
from infrastructure.config import ConfigFile, read_config
from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonValue

KEYWORDS_FILE = "task_types.yaml"

_SIDE_WEIGHT = 0.45
_HEAD_BONUS = 1.4
_BODY_WEIGHT = 0.3
_LABEL_BONUS = 1.5
_PRIOR_OF_GENERAL = 0.6
_CONFIDENCE_SOFTENING = 1.5
_MAX_PHRASE = 5

Terms = Mapping[tuple[str, ...], tuple[tuple[str, float], ...]]


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The keyword file, by stems.

    Attributes:
        types: every task type that it declares, in its order.
        openings: what a first word says, as (type, weight) pairs.
        terms: what a word or phrase says, wherever it stands.
        polite: words skipped at the beginning.
        side: words that begin a side remark.
    """

    types: tuple[str, ...]
    openings: Terms
    terms: Terms
    polite: frozenset[str]
    side: frozenset[str]


@dataclass(slots=True)
class _Evidence:
    """The best sighting of each term for each type: (type, term) to weight."""

    found: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def see(self, task_type: str, term: str, weight: float) -> None:
        key = (task_type, term)
        self.found[key] = max(weight, self.found.get(key, 0.0))

    def totals(self, types: tuple[str, ...]) -> dict[str, float]:
        totals = dict.fromkeys(types, 0.0)
        for (task_type, _), weight in self.found.items():
            totals[task_type] += weight
        return totals

    def best_terms(self, task_type: str, count: int = 3) -> list[str]:
        own = {term: weight for (kind, term), weight in self.found.items() if kind == task_type}
        return sorted(own, key=lambda term: (-own[term], term))[:count]


class KeywordInferrer:
    """Task types by whole words and stems; needs no model.

    Args:
        config: the parsed keyword file; None reads `config/task_types.yaml`.

    Attributes:
        fingerprint: the same for the same keywords.

    Raises:
        ConfigError: the file is not of the declared shape.
    """

    def __init__(self, config: ConfigFile | None = None) -> None:
        config = config or read_config(KEYWORDS_FILE)
        self._words = _vocabulary(config)
        self.fingerprint = hashlib.sha256(repr(config.data).encode()).hexdigest()

    @property
    def types(self) -> tuple[str, ...]:
        return self._words.types

    def infer(self, text: str) -> Inference:
        """The task type of a request; empty or unknown words give `general`."""
        evidence = self._evidence(read_request(text))
        scores = evidence.totals(self.types)
        if not any(scores.values()):
            certain = {kind: float(kind == TaskType.GENERAL) for kind in self.types}
            reason = "no keyword found" if text.strip() else "the request is empty"
            return Inference(TaskType.GENERAL.value, 0.0, certain, f"{reason}; taken as general")
        scores[TaskType.GENERAL] = scores.get(TaskType.GENERAL, 0.0) + _PRIOR_OF_GENERAL
        winner = max(scores, key=lambda kind: scores[kind])
        terms = ", ".join(repr(term) for term in evidence.best_terms(winner))
        reason = f"keywords {terms}" if terms else "no keyword outweighs a general request"
        return from_scores(scores, _CONFIDENCE_SOFTENING, reason)

    def weigh(self, request: RequestText) -> list[float]:
        """The weight found for each of `types`, as features for a classifier."""
        return list(self._evidence(request).totals(self.types).values())

    def _evidence(self, request: RequestText) -> _Evidence:
        evidence = _Evidence()
        title = stems(request.title)
        self._see_opening(evidence, title, request.title)
        self._see_terms(evidence, title, 1.0, self._words.side)
        self._see_terms(evidence, stems(request.body), _BODY_WEIGHT, frozenset())
        return evidence

    def _see_opening(self, evidence: _Evidence, words: list[str], title: str) -> None:
        first = next((word for word in words if word not in self._words.polite), "")
        # 'docs:', 'fix(api):' and '[BUG]' are labels that the author set on purpose.
        label = title.lstrip().startswith("[") or ":" in title[: len(first) + 15].split(" ")[0]
        for task_type, weight in self._words.openings.get((first,), ()):
            evidence.see(task_type, f"^{first}", weight * (_LABEL_BONUS if label else 1.0))

    def _see_terms(
        self, evidence: _Evidence, words: list[str], weight: float, side: frozenset[str]
    ) -> None:
        terms = self._words.terms
        main_end = next(
            (i for i, word in enumerate(words) if i and (word in side or word == "?")), len(words)
        )
        for start in range(len(words)):
            for length in range(1, min(_MAX_PHRASE, len(words) - start) + 1):
                end = start + length
                term = tuple(words[start:end])
                factor = weight if start < main_end else weight * _SIDE_WEIGHT
                # English compounds end in what they are about: 'slow query guide' is a guide.
                if side and end == main_end:
                    factor *= _HEAD_BONUS
                for task_type, points in terms.get(term, ()):
                    evidence.see(task_type, " ".join(term), points * factor)


def _vocabulary(config: ConfigFile) -> _Vocabulary:
    root = _mapping(config, "", config.data)
    types = _mapping(config, "types", root.get("types"))
    if TaskType.GENERAL not in types:
        raise ConfigError(config.source, "types", "must declare 'general', the catch-all")
    return _Vocabulary(
        types=tuple(types),
        openings=_terms(config, types, "opening"),
        terms=_terms(config, types, "words"),
        polite=_word_set(config, root, "polite"),
        side=_word_set(config, root, "side"),
    )


def _terms(config: ConfigFile, types: Mapping[str, JsonValue], part: str) -> Terms:
    terms: dict[tuple[str, ...], dict[str, float]] = {}
    for task_type, declared in types.items():
        key = f"types.{task_type}.{part}"
        entries = _mapping(config, f"types.{task_type}", declared).get(part, {})
        for term, weight in _mapping(config, key, entries).items():
            stemmed = tuple(stems(str(term)))
            if not 0 < len(stemmed) <= _MAX_PHRASE:
                raise ConfigError(
                    config.source, f"{key}.{term}", f"must be 1 to {_MAX_PHRASE} words"
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
                raise ConfigError(config.source, f"{key}.{term}", "must be a weight above 0")
            points = terms.setdefault(stemmed, {})
            points[task_type] = max(float(weight), points.get(task_type, 0.0))
    return {term: tuple(points.items()) for term, points in terms.items()}


def _word_set(config: ConfigFile, root: Mapping[str, JsonValue], key: str) -> frozenset[str]:
    words = root.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(config.source, key, "must be a list of words")
    return frozenset(stem for word in words for stem in stems(cast("str", word)))


def _mapping(config: ConfigFile, key: str, value: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(value, Mapping):
        raise ConfigError(config.source, key, "must hold names and values")
    return value
