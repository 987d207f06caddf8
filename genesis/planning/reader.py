"""What a request asks for by its likeness to examples, where files or folders are at hand.

What is named decides much: a script, a folder or a data file each admits few readings. Among
those the nearest examples decide, by meaning and by words; a reading that does not lead clearly
is none.
"""

from __future__ import annotations

import logging
import re
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genesis.planning.clauses import without_lead
from genesis.planning.forms import form_of
from genesis.tasks.infer_readout import KernelReadout
from genesis.tasks.infer_text import stems
from genesis.tasks.phrases import Phrases
from infrastructure.config import ConfigFile, config_error, read_config
from infrastructure.embeddings.embedder import Embedder, unit_rows
from infrastructure.errors import ConfigError, ModelError

EXAMPLES_FILE = "request_examples.yaml"

_TOPICS_PER_EXAMPLE = 2
_HASHED = 1024
_MEANING_SCALE = 1.2
_WORDS_SCALE = 1.1
_LETTERS_SCALE = 0.6
_OPENING_SCALE = 0.7
_MIN_LEAD = 0.05
_MIN_FREE_LEAD = 0.25  # where nothing is at hand, the task type tells much
_MAX_LACKING = 0.4
_MAX_CHARS = 400
_KEPT_FITS = 2
_KEPT_SCORES = 512
_MARKS = {"<data>": "datafile", "<script>": "scriptfile", "<folder>": "codefolder"}
_MARK_OF = {"dataset": "<data>", "script": "<script>", "project": "<folder>"}
_DATA = re.compile(
    r"[`'\"]?(?<![\w/])(?:[\w~.-]*/)*[\w.-]*[\w-]\.(?:csv|tsv|txt|jsonl?|ndjson|parquet)(?:\.gz)?\b[`'\"]?",
    re.IGNORECASE,
)
_SCRIPT = re.compile(r"`[^`\n]*\.py\b[^`\n]*`|['\"]?(?<![\w/])(?:[\w~.-]*/)*[\w.-]+\.py\b['\"]?")
_FOLDER = re.compile(r"[`'\"]?(?<![\w/.])(?:\.{1,2}/|[\w-]+/)[\w./-]*\w/?[`'\"]?")
_AHEAD = re.compile(
    r"(?:(?:in|from|for|with|using|on|of|about)\s+)?(?:datafile|scriptfile|codefolder)\s*[,:-]\s*(?=\w)"
)
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|(?<!\w)'[^'\n]*'(?!\w)|```.*?(?:```|\Z)", re.DOTALL)

_log = logging.getLogger(__name__)
Vectors = NDArray[np.float32]


class ReadingConfig(BaseModel):
    """A kind of request.

    Attributes:
        asks: the data that such requests ask for.
        needs: data that must be at hand.
        task_type: of such requests.
        changes: of the verbs of change, those with which such requests may begin.
        things: what such requests ask to be made; who asks for one of them asks for no other kind.
        examples: requests of the kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    asks: list[str] = Field(min_length=1)
    needs: list[str] = Field(default_factory=list)
    task_type: str
    changes: list[str] = Field(default_factory=list)
    things: list[str] = Field(default_factory=list)
    examples: list[str] = Field(min_length=1)


class ExamplesFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    changes: list[str] = Field(default_factory=list)
    readings: dict[str, ReadingConfig] = Field(min_length=2)
    topics: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request asks for.

    Attributes:
        name: of the reading.
        asks: the data that it asks for.
        task_type: of such requests.
        lead: how far it is ahead of the next reading; about 1 for a clear case, 0 for a tie.
    """

    name: str
    asks: tuple[str, ...]
    task_type: str
    lead: float


class RequestReader:
    """Reads requests by examples; trained when it is first asked.

    Safe to call from several threads. Without a working embedder it reads nothing, and logs a
    warning once.

    Attributes:
        asks: the data that it can find to be asked for.

    Args:
        embedder: embeds requests.
        file: the parsed examples; None reads `config/request_examples.yaml`.
        min_lead: a reading that leads by less is none.

    Raises:
        ConfigError: the file is not of the declared shape.
    """

    def __init__(
        self, embedder: Embedder, file: ConfigFile | None = None, *, min_lead: float = _MIN_LEAD
    ) -> None:
        self._embedder = embedder
        self._read = _checked(file or read_config(EXAMPLES_FILE))
        self._changes = Phrases(self._read.changes)
        self._admitted = {
            name: Phrases(reading.changes) for name, reading in self._read.readings.items()
        }
        self._things = {
            name: Phrases(reading.things) for name, reading in self._read.readings.items()
        }
        self._kinds = {kind for one in self._read.readings.values() for kind in one.needs}
        self.asks = frozenset(d for one in self._read.readings.values() for d in one.asks)
        self._min_lead = min_lead
        self._lock = threading.Lock()
        self._readout: KernelReadout | None = None
        self._unavailable = False
        self._scores = lru_cache(maxsize=_KEPT_SCORES)(self._scored)

    def read(self, text: str, at_hand: Collection[str], *, guess: bool = False) -> Meaning | None:
        """What a text asks for; None where the examples do not tell.

        Args:
            text: the user's words, or a passage of them.
            at_hand: the kinds of data that come with the request.
            guess: the best reading is taken however little it leads.
        """
        readings = self._read.readings
        free = not self._kinds.intersection(at_hand)
        least = _MIN_FREE_LEAD if free else self._min_lead
        marked = marked_text(text, at_hand)
        scores = self._scores(marked)
        form = form_of(text)
        made = {n for n, things in self._things.items() if things.ends(form.thing)}
        if form.act == "make" and made:
            scores = {n: score for n, score in scores.items() if n in made}
        elif not free and self._changes.begins(marked):
            scores = {n: score for n, score in scores.items() if self._admitted[n].begins(marked)}
        possible = {n: s for n, s in scores.items() if set(readings[n].needs) <= set(at_hand)}
        if not possible:
            return None
        best, *others = sorted(possible, key=lambda name: -possible[name])
        lead = possible[best] - max([0.0, *(possible[name] for name in others[:1])])
        lacking = max(scores.values()) - possible[best]
        if (lead < least and not guess) or lacking > (0.0 if free else _MAX_LACKING):
            return None
        found = readings[best]
        return Meaning(best, tuple(found.asks), found.task_type, lead)

    def _scored(self, marked: str) -> Mapping[str, float]:
        if self._unavailable:
            return {}
        try:
            with self._lock:
                if self._readout is None:
                    self._readout = _fits.readout(self._embedder, self._read)
            return self._readout.score(_rows(self._embedder, [marked])[0])
        except ModelError as error:
            self._unavailable = True
            _log.warning("requests are read by declared phrases alone: %s", error)
            return {}


class _Fits:
    """The latest fits: every orchestrator of a process with the same examples shares one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, ...], KernelReadout] = {}

    def readout(self, embedder: Embedder, read: ExamplesFile) -> KernelReadout:
        examples = list(_crossed(read))
        key = (embedder.name, embedder.version, *(f"{name}\n{text}" for name, text in examples))
        with self._lock:
            if key not in self._held:
                rows = _rows(embedder, [text for _, text in examples])
                while len(self._held) >= _KEPT_FITS:
                    del self._held[next(iter(self._held))]
                self._held[key] = KernelReadout(rows, [name for name, _ in examples])
            return self._held[key]


_fits = _Fits()


def _crossed(read: ExamplesFile) -> Iterator[tuple[str, str]]:
    """Each example with its reading; one with a blank for a topic several times."""
    turn = 0
    for name, reading in read.readings.items():
        for example in reading.examples:
            text = without_lead(example).lower()
            for mark, word in _MARKS.items():
                text = text.replace(mark, word)
            if "{x}" not in text or not read.topics:
                yield name, text
                continue
            for _ in range(_TOPICS_PER_EXAMPLE):
                yield name, text.replace("{x}", read.topics[turn % len(read.topics)])
                turn += 1


def names_path(text: str) -> bool:
    """Whether a text names a file or a folder by a path."""
    return any(pattern.search(text) for pattern in (_DATA, _SCRIPT, _FOLDER))


def marked_text(text: str, at_hand: Collection[str] = ()) -> str:
    """A request in small letters with a word for each file, folder and quotation.

    A text that names nothing is about what is at hand.
    """
    text = without_lead(text[:_MAX_CHARS])
    for pattern, mark in ((_DATA, "<data>"), (_SCRIPT, "<script>"), (_FOLDER, "<folder>")):
        text = pattern.sub(f" {_MARKS[mark]} ", text)
    text = " ".join(_QUOTED.sub(" this ", text).lower().split())
    if not any(word in text for word in _MARKS.values()):
        kinds = [_MARKS[_MARK_OF[kind]] for kind in sorted(at_hand) if kind in _MARK_OF]
        text = " ".join([text, *dict.fromkeys(kinds)])
    ahead = _AHEAD.match(text)
    return f"{without_lead(text[ahead.end() :])} {ahead.group()}" if ahead else text


def _rows(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """One row of features per text, [n, d]: meaning, words with their order, and letters."""
    return np.hstack(
        [
            _MEANING_SCALE * unit_rows(embedder.embed(texts)),
            _WORDS_SCALE * unit_rows(_hashed([list(_word_marks(text)) for text in texts])),
            _OPENING_SCALE * unit_rows(embedder.embed([_opening(text) for text in texts])),
            _LETTERS_SCALE * unit_rows(_hashed([list(_letters(text)) for text in texts], 512)),
        ]
    )


def _hashed(marks: Sequence[Sequence[tuple[str, float]]], width: int = _HASHED) -> Vectors:
    """Marks by signed hashing (Weinberger et al., 2009), [n, width]."""
    rows = np.zeros((len(marks), width), dtype=np.float32)
    for row, found in zip(rows, marks, strict=True):
        for name, weight in dict(found).items():
            digest = zlib.crc32(name.encode())
            row[(digest >> 1) % width] += weight if digest & 1 else -weight
    return rows


def _word_marks(text: str) -> Iterator[tuple[str, float]]:
    words = stems(text)
    for word in words:
        yield word, 1.0
    for first, second in pairwise(words):
        yield f"{first} {second}", 0.7
    for place, word in enumerate(words[:2]):
        yield f"^{place} {word}", 1.0


def _opening(text: str) -> str:
    return " ".join(text.split()[:1])


def _letters(text: str) -> Iterator[tuple[str, float]]:
    for word in text.split():
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 1.0


def _checked(file: ConfigFile) -> ExamplesFile:
    if not isinstance(file.data, Mapping):
        raise ConfigError(file.source, "", "must hold the keys readings and topics")
    try:
        return ExamplesFile.model_validate(file.data)
    except ValidationError as error:
        raise config_error(error, file.source, tuple(ReadingConfig.model_fields)) from error
