"""Upkeep of a tenant's journals in small steps: those that are old enough are pruned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.retention import BEGINNING, Place, prune_some

PAUSE_S: Final = 3600.0
"""Between one look for old journals and the next."""

_DAY_S: Final = 86_400.0


class JournalUpkeep:
    """Prunes journals; every step is one commit.

    Args:
        keep_days: days that a journal is kept after its run's end; None for ever.
        monotonic: seconds.
    """

    def __init__(
        self, keep_days: float | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_days = keep_days
        self._monotonic = monotonic
        self._due_at = 0.0
        self._after: Place | None = None
        self._lock = threading.Lock()

    def step(self, memori: Memori) -> bool:
        """Take one step, if one is due; True when another may be."""
        if self._keep_days is None:
            return False
        with self._lock:
            if self._after is None:
                if self._monotonic() < self._due_at:
                    return False
                self._after = BEGINNING
            self._after = prune_some(memori, self._keep_days * _DAY_S, self._after)
            if self._after is None:
                self._due_at = self._monotonic() + PAUSE_S
            return self._after is not None
