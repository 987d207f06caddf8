"""Infer a request's task type: a classifier trained on examples, keywords where it cannot run.

`TaskTypeInferrer` is what the orchestrator uses. It trains on `config/task_examples.yaml` when it
is first asked (a fraction of a second), and learns from what users correct.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genesis.tasks.infer_examples import EXAMPLES_FILE, read_examples
from genesis.tasks.infer_features import RequestFeatures
from genesis.tasks.infer_keywords import KeywordInferrer
from genesis.tasks.infer_readout import KernelReadout
from genesis.tasks.infer_text import read_request
from genesis.tasks.inference import Inference, Inferrer, from_scores
from infrastructure.config import ConfigFile, read_config
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import InputError, ModelError

__all__ = ["Inference", "Inferrer", "KeywordInferrer", "TaskTypeInferrer"]

_CONFIDENCE_SOFTENING = 0.17
_MAX_LABEL_CHARS = 100
_KEPT_FITS = 2

_log = logging.getLogger(__name__)


class _Trained:
    """A fitted classifier with what turns a request into its features."""

    def __init__(self, features: RequestFeatures, examples: Sequence[tuple[str, str]]) -> None:
        self.features = features
        self.readout = _fits.readout(features, examples).copy()

    def row(self, text: str) -> NDArray[np.float32]:
        return self.features.rows([read_request(text)])[0]


class _Fits:
    """The latest fits: every orchestrator of a process with the same examples shares one.

    A fit takes about a second and never changes; corrections are made to copies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readouts: dict[tuple[object, ...], KernelReadout] = {}

    def readout(
        self, features: RequestFeatures, examples: Sequence[tuple[str, str]]
    ) -> KernelReadout:
        key = (features.fingerprint, *examples)
        with self._lock:
            if key not in self._readouts:
                texts, labels = zip(*examples, strict=True)
                rows = features.rows([read_request(text) for text in texts])
                while len(self._readouts) >= _KEPT_FITS:
                    del self._readouts[next(iter(self._readouts))]
                self._readouts[key] = KernelReadout(rows, labels)
            return self._readouts[key]


_fits = _Fits()


class TaskTypeInferrer:
    """Task types by a classifier over embeddings, words and keywords, corrected by users.

    Without a working embedder it answers by keywords, says so in every reason, and logs a warning
    once. Safe to call from several threads.

    Args:
        embedder: None takes the built-in one.
        keywords: None reads `config/task_types.yaml`.
        examples: the parsed examples; None reads `config/task_examples.yaml`.
        corrections: (text, task type) pairs learnt before, oldest first.

    Raises:
        ConfigError: a configuration file is not of the declared shape.
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        keywords: KeywordInferrer | None = None,
        examples: ConfigFile | None = None,
        corrections: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._embedder = embedder or BuiltinEmbedder()
        self._keywords = keywords or KeywordInferrer()
        self._examples = read_examples(examples or read_config(EXAMPLES_FILE))
        self._pending = [(text, _label(task_type)) for text, task_type in corrections]
        self._lock = threading.Lock()
        self._trained: _Trained | None = None
        self._unavailable = ""

    def infer(self, text: str) -> Inference:
        """The task type of a request; an empty one is `general`."""
        if not text.strip():
            return self._keywords.infer(text)
        with self._lock:
            trained = self._ready()
            if trained is None:
                return self._by_keywords(text)
            try:
                row = trained.row(text)
            except ModelError as error:
                self._give_up(error)
                return self._by_keywords(text)
            scores = trained.readout.score(row)
        return from_scores(scores, _CONFIDENCE_SOFTENING, _reason(scores))

    def learn(self, text: str, task_type: str) -> None:
        """A user's correction: this request, and ones like it, are of this (or a custom) type.

        Raises:
            InputError: the text or the type is empty, or the type is longer than 100 characters.
        """
        if not text.strip():
            raise InputError("cannot learn a task type from an empty request")
        correction = (text, _label(task_type))
        with self._lock:
            self._pending.append(correction)
            self._ready()

    def _ready(self) -> _Trained | None:
        """The classifier with every correction applied; None when there is no embedder."""
        if self._unavailable:
            self._pending.clear()
            return None
        try:
            if self._trained is None:
                features = RequestFeatures(self._embedder, self._keywords)
                self._trained = _Trained(features, self._examples)
            while self._pending:
                text, task_type = self._pending.pop(0)
                self._trained.readout.correct(self._trained.row(text), task_type)
        except ModelError as error:
            self._give_up(error)
            return None
        return self._trained

    def _give_up(self, error: ModelError) -> None:
        self._unavailable = str(error)
        _log.warning("task types are inferred by keywords alone: %s", error)

    def _by_keywords(self, text: str) -> Inference:
        found = self._keywords.infer(text)
        reason = f"{found.reason} (keywords alone: {self._unavailable})"
        return Inference(found.task_type, found.confidence, found.scores, reason)


def _reason(scores: Mapping[str, float]) -> str:
    first, *rest = sorted(scores, key=lambda kind: -scores[kind])
    closest = f", then {rest[0]} ({scores[rest[0]]:.2f})" if rest else ""
    return f"most like the examples of {first} ({scores[first]:.2f}){closest}"


def _label(task_type: str) -> str:
    label = task_type.strip()
    if not label or len(label) > _MAX_LABEL_CHARS:
        raise InputError(
            f"a task type has 1 to {_MAX_LABEL_CHARS} characters, not {task_type!r:.120}"
        )
    return label
