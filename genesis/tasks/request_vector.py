"""How a request is embedded, the same when it is recalled and when it is recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infrastructure.embeddings.embedder import Embedder

# Requests are about their beginning; a pasted log after it would drown what is asked.
_EMBEDDED_CHARS = 2_000


def request_vector(request: str, embedder: Embedder) -> NDArray[np.float32]:
    """The request's embedding, float32 [d]."""
    return embedder.embed([request[:_EMBEDDED_CHARS]])[0]
