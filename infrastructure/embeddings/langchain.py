"""Any LangChain `Embeddings` as an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infrastructure.embeddings.embedder import unit_rows
from infrastructure.errors import ModelError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class LangChainEmbedder:
    """Wraps a LangChain `Embeddings`.

    Args:
        embeddings: the model.
        name: which model it is; stored beside every vector.
        version: change it whenever the model behind the name changes.
        dimensions: length of a vector; None measures it by embedding one word on first use.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str = "",
        version: str = "1",
        dimensions: int | None = None,
    ) -> None:
        self._embeddings = embeddings
        self._dimensions = dimensions
        self.name = name or f"langchain:{_model_name(embeddings)}"
        self.version = version

    @property
    def dimensions(self) -> int:
        """Length of a vector.

        Raises:
            ModelError: it had to be measured and the model failed.
        """
        if self._dimensions is None:
            self._dimensions = len(self._vectors(["dimensions"])[0])
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row per text, [n, dimensions].

        Raises:
            ModelError: the model failed, or gave another number or length of vectors.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        rows = self._vectors(list(texts))
        lengths = {len(row) for row in rows}
        if len(lengths) != 1 or lengths != {self._dimensions or len(rows[0])}:
            raise ModelError(
                f"{self.name} gave vectors of lengths {sorted(lengths)}, "
                f"expected {self._dimensions or 'one length'}; set `dimensions` to what it gives"
            )
        self._dimensions = len(rows[0])
        matrix = np.asarray(rows, dtype=np.float32)
        if not np.isfinite(matrix).all():
            raise ModelError(f"{self.name} gave numbers that are not finite")
        return unit_rows(matrix)

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        try:
            rows = self._embeddings.embed_documents(texts)
        except Exception as error:  # providers raise anything; it is passed on as ours
            raise ModelError(f"{self.name} failed to embed {len(texts)} texts: {error}") from error
        if len(rows) != len(texts):
            raise ModelError(f"{self.name} gave {len(rows)} vectors for {len(texts)} texts")
        return rows


def _model_name(embeddings: Embeddings) -> str:
    for attribute in ("model", "model_name"):
        value = getattr(embeddings, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(embeddings).__name__
