"""The embedder that needs no key, no download and no GPU: static word vectors of `wordllama`.

`embedder_named` finds it, and the others that come as a package, by name.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from infrastructure.embeddings.embedder import Embedder, unit_rows
from infrastructure.errors import InputError, ModelError

_DIMENSIONS = 256
_MAX_CHARS = 20_000
_BATCH = 256
_FEW = 4

EMBEDDER_NAMES: Final = ("wordllama", "minilm")


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...


class _Tokenizer(Protocol):
    def encode(self, text: str, *, add_special_tokens: bool) -> _Encoding: ...

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> list[_Encoding]: ...

    def no_padding(self) -> None: ...


class _Loaded(Protocol):
    """What is used of `wordllama.inference.WordLlamaInference`."""

    tokenizer: _Tokenizer
    embedding: NDArray[np.float32]


class BuiltinEmbedder:
    """Mean of static token vectors (256 dimensions), loaded on first use from the package itself.

    The start of a text counts, 20,000 characters of it. Safe to call from several threads.
    """

    name = "wordllama-l2-supercat"
    dimensions = _DIMENSIONS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: _Loaded | None = None

    @property
    def version(self) -> str:
        """The installed version of the package that carries the weights.

        Raises:
            ModelError: the package is not installed.
        """
        try:
            return version("wordllama")
        except PackageNotFoundError as error:
            raise ModelError(_NOT_INSTALLED) from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row per text, [n, 256]; a text without words gives zeros.

        Raises:
            ModelError: the package or its weights are missing.
        """
        model = self._load()
        rows = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = [text[:_MAX_CHARS] for text in texts[start : start + _BATCH]]
            rows[start : start + len(batch)] = _token_sums(model, batch)
        return unit_rows(rows)

    def _load(self) -> _Loaded:
        with self._lock:
            if self._model is None:
                self._model = _load_wordllama()
            return self._model


def embedder_named(name: str) -> Embedder:
    """An embedder that installs from a package, by its name, one of EMBEDDER_NAMES.

    Its weights are loaded on first use, and only then is it known whether the package is there.

    Raises:
        InputError: there is none of that name.
    """
    if name == "wordllama":
        return BuiltinEmbedder()
    if name == "minilm":
        from infrastructure.embeddings.minilm import MiniLmEmbedder

        return MiniLmEmbedder()
    raise InputError(f"there is no embedder {name!r}; choose one of {', '.join(EMBEDDER_NAMES)}")


_NOT_INSTALLED = (
    "the built-in embedder needs the package 'wordllama', which is not installed: "
    "pip install wordllama, or configure another embedder"
)


def _token_sums(model: _Loaded, texts: list[str]) -> NDArray[np.float32]:
    """Sums of token vectors; a sum points where the mean does, and unit length is all we keep."""
    tokenizer = model.tokenizer
    if len(texts) <= _FEW:  # a batch wakes a pool of threads
        encoded = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    else:
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    ids = [np.asarray(encoding.ids, dtype=np.intp) for encoding in encoded]
    counts = np.array([len(row) for row in ids], dtype=np.intp)
    sums = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
    filled = counts > 0
    if filled.any():
        flat = np.minimum(np.concatenate(ids), len(model.embedding) - 1)
        starts = np.concatenate(([0], np.cumsum(counts[filled])[:-1]))
        sums[filled] = np.add.reduceat(model.embedding[flat], starts, axis=0)
    return sums


def _load_wordllama() -> _Loaded:
    package = _import_quietly()
    try:
        # With the package's own folder as its cache it finds the weights and never downloads.
        folder = Path(str(package.__file__)).parent
        model = cast("_Loaded", package.WordLlama.load(cache_dir=folder, disable_download=True))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the weights of the built-in embedder cannot be loaded: {error}; "
            "reinstall the package 'wordllama', or configure another embedder"
        ) from error
    model.tokenizer.no_padding()
    return model


def _import_quietly() -> Any:
    """Import wordllama without the root logging handler that it installs as it is imported."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        return importlib.import_module("wordllama")
    except ImportError as error:
        raise ModelError(_NOT_INSTALLED) from error
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
