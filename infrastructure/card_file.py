"""Arrays and a card as one safetensors file: the card is the file's metadata.

A digest over both stands beside the card, so that a damaged file is refused, not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from infrastructure.errors import InputError

Arrays = dict[str, NDArray[np.generic]]

_DIGEST: Final = "sha256"


@dataclass(frozen=True, slots=True)
class CardFile:
    """A kind of such files.

    Attributes:
        kind: what such a file holds, in words.
        key: the name of the card among the file's metadata.
        most_bytes: a larger file is refused before it is read.
    """

    kind: str
    key: str
    most_bytes: int

    def write(self, path: Path, card: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Write a file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        content: bytes = cast("Any", safetensors_numpy).save(
            whole, metadata={self.key: card, _DIGEST: _digest(card, whole)}
        )
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        part.replace(path)

    def read(self, path: Path) -> tuple[str, Arrays]:
        """The card and the arrays of a file, as they were written.

        Raises:
            InputError: there is no such file, or it is damaged or of another kind.
        """
        metadata, arrays = self._content(path)
        card = metadata.get(self.key)
        if card is None:
            raise InputError(f"{path} is no {self.kind}: its card is missing")
        if metadata.get(_DIGEST) != _digest(card, arrays):
            raise InputError(f"the {self.kind} {path} is damaged: its digest is another")
        return card, arrays

    def _content(self, path: Path) -> tuple[dict[str, str], Arrays]:
        try:
            size = path.stat().st_size
            if size > self.most_bytes:
                raise InputError(f"{path} is no {self.kind}: it has {size:,} bytes")
            with cast("Any", safe_open)(path, framework="numpy") as file:
                metadata = cast("dict[str, str] | None", file.metadata()) or {}
                names = cast("list[str]", file.keys())
                return metadata, {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise InputError(f"the {self.kind} {path} cannot be read: {error}") from error


def _digest(card: str, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(card.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
