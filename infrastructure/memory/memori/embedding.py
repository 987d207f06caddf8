"""Embedders as the store uses them: unit vectors of known size, with or without an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.embeddings.embedder import Embedder, unit_rows
from infrastructure.errors import StoreError

Vectors: TypeAlias = NDArray[np.float32]


class Embedding(Protocol):
    """An embedder behind the store.

    Fields:
        identity: the model, its version and its size; vectors are compared only within one.
        dimensions: the length of a vector.
        instant: whether a text takes microseconds, so that nobody has to wait for it.
    """

    @property
    def identity(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def instant(self) -> bool: ...

    def documents(self, texts: list[str]) -> Vectors: ...

    def queries(self, texts: list[str]) -> Vectors: ...

    async def aqueries(self, texts: list[str]) -> Vectors: ...


class OwnEmbedding:
    """An embedder of ours: it embeds documents and queries alike, on the processor."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def identity(self) -> str:
        embedder = self._embedder
        return f"{embedder.name}@{embedder.version}/{embedder.dimensions}"

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def instant(self) -> bool:
        return isinstance(self._embedder, BuiltinEmbedder)

    def documents(self, texts: list[str]) -> Vectors:
        return _checked(self._embedder.embed(texts), len(texts), self._embedder.dimensions)

    def queries(self, texts: list[str]) -> Vectors:
        return self.documents(texts)

    async def aqueries(self, texts: list[str]) -> Vectors:
        return await asyncio.to_thread(self.documents, texts)


class LangChainEmbedding:
    """Any LangChain `Embeddings`, also one whose synchronous methods are not implemented."""

    instant = False

    def __init__(self, embeddings: Embeddings, dimensions: int) -> None:
        self._embeddings = embeddings
        self.dimensions = dimensions
        self.identity = f"{_model_name(embeddings)}/{dimensions}"
        self._only_async = _wraps_coroutine(embeddings)

    def documents(self, texts: list[str]) -> Vectors:
        if not self._only_async:
            try:
                return self._vectors(self._embeddings.embed_documents(texts), texts)
            except NotImplementedError:
                self._only_async = True
        # In the indexer's thread, where no loop runs.
        return self._vectors(asyncio.run(self._embeddings.aembed_documents(texts)), texts)

    def queries(self, texts: list[str]) -> Vectors:
        if not self._only_async:
            try:
                return self._vectors([self._embeddings.embed_query(text) for text in texts], texts)
            except NotImplementedError:
                self._only_async = True
        # Perhaps beside a running loop, so in a thread that has none.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self.aqueries(texts)).result()

    async def aqueries(self, texts: list[str]) -> Vectors:
        return self._vectors([await self._embeddings.aembed_query(text) for text in texts], texts)

    def _vectors(self, rows: list[list[float]], texts: list[str]) -> Vectors:
        try:
            vectors = np.asarray(rows, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise StoreError(f"the embedder returned what is not vectors: {error}") from error
        return _checked(vectors, len(texts), self.dimensions)


def _checked(vectors: Vectors, count: int, dimensions: int) -> Vectors:
    """The vectors as unit vectors, so that a dot product is the cosine.

    Raises:
        StoreError: the number or the size of the vectors is wrong, or they are not finite.
    """
    if vectors.shape != (count, dimensions):
        raise StoreError(
            f"the embedder returned vectors of shape {vectors.shape} for {count} texts where "
            f"({count}, {dimensions}) is set; correct `dims`"
        )
    if not np.isfinite(vectors).all():
        raise StoreError("the embedder returned vectors that are not finite")
    return unit_rows(vectors)


def _wraps_coroutine(embeddings: Embeddings) -> bool:
    """Whether it is LangGraph's wrapper of a coroutine function, which cannot be called here."""
    wrapped: object = getattr(embeddings, "afunc", None)
    return wrapped is not None and getattr(embeddings, "func", None) is None


def _model_name(embeddings: Embeddings) -> str:
    for attribute in ("model", "model_name"):
        model: object = getattr(embeddings, attribute, None)
        if isinstance(model, str):
            return f"{type(embeddings).__qualname__}:{model}"
    for attribute in ("func", "afunc"):  # LangGraph's wrapper of a plain function
        function: object = getattr(embeddings, attribute, None)
        if function is not None:
            return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    return f"{type(embeddings).__module__}.{type(embeddings).__qualname__}"
