"""The type of one step of the schema's history."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from infrastructure.memory.memori.dialect import Tx


class Migration(NamedTuple):
    """One forward step, applied once and remembered by its name.

    Fields:
        name: unique and never changed once released.
        apply: makes the step through the transaction it is given.
    """

    name: str
    apply: Callable[[Tx], None]
