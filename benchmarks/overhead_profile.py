"""Where the orchestrator's CPU time goes: by thread, and by function of the event loop's thread."""

from __future__ import annotations

import cProfile
import pstats
import re
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

from overhead_timing import Opener, Row
from overhead_work import DIAMOND, Job

_WARM_UP = 30
_SHOWN = 45


async def profiled(opened: Opener, runs: int, folder: Path, file: Path) -> Row:
    """Runs of the diamond by agents that answer at once, without and then with a profiler.

    Prints CPU time by thread and the dearest functions on stderr, and leaves the profile in `file`
    for `pstats` and other viewers. The profiler slows Python down: its times are shares.
    """
    job = Job(DIAMOND)
    async with opened(job, folder) as way:
        for number in range(_WARM_UP):
            await way.run(number)
        await way.settle()
        before, cpu = _by_thread(), time.process_time()
        for number in range(_WARM_UP, _WARM_UP + runs):
            await way.run(number)
        await way.settle()
        cpu_ms = 1000 * (time.process_time() - cpu) / runs
        spent = {name: s - before.get(name, 0.0) for name, s in _by_thread().items()}
        dearest = sorted(spent, key=lambda name: -spent[name])
        threads = {name: round(1000 * spent[name] / runs, 3) for name in dearest}
        profile = cProfile.Profile()
        profile.enable()
        for number in range(_WARM_UP + runs, _WARM_UP + 2 * runs):
            await way.run(number)
        profile.disable()
    profile.dump_stats(file)
    row: Row = {"name": "genesis", "cpu_ms": round(cpu_ms, 3), "cpu_ms_by_thread": threads}
    for name, ms in threads.items():
        print(f"{ms:8.3f} ms a run  {name}", file=sys.stderr)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(_SHOWN)
    return row


def _by_thread() -> dict[str, float]:
    """CPU seconds so far by kind of thread: those of one pool count together."""
    spent: dict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        if thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            spent[re.sub(r"[-_ ]?\d+", "", thread.name)] += time.clock_gettime(clock)
    return spent
