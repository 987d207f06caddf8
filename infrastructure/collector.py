"""Python's garbage collector in a process that serves for long."""

from __future__ import annotations

import gc

_ALLOCATIONS = 10_000


def settle_collector() -> None:
    """Let the collector leave what was loaded alone, and look at the rest less often.

    A process that serves keeps its modules, examples and indexes for ever, and each full
    collection walks all of them: with 200 runs at once that is a quarter of their CPU time. Call
    it once what is needed is loaded. It is for whoever owns the process: a library must not do
    it to its user's.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 10, 10)
