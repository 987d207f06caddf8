"""What the profiler hands in as `hotspots`."""

from __future__ import annotations

from genesis.agents.evidence import Claim


class Hotspot(Claim):
    """One function.

    Attributes:
        name: as cProfile names it; a built-in's name stands in angle brackets or braces.
        file, line: where it is defined; "~" and 0 for a built-in.
        calls: how often it was called, recursion included.
        own_s: seconds in its own code.
        cumulative_s: seconds in it and all that it called.
        share: own_s / total_s.
    """

    name: str
    file: str
    line: int
    calls: int
    own_s: float
    cumulative_s: float
    share: float


class Hotspots(Claim):
    """Where a script spends its time.

    Attributes:
        script: absolute path.
        sha256: of the script's bytes when it was run.
        total_s: profiled seconds.
        profiled: number of functions that were called at all.
        functions: the first by own time, by cumulative time and of the user's own code, sorted by
            own time.
        rest_own_s: own seconds of all functions not listed, so that the sum is total_s.
        bottleneck: the slowest function of the user's own code, in words.
    """

    script: str
    sha256: str
    total_s: float
    profiled: int
    functions: list[Hotspot]
    rest_own_s: float
    bottleneck: str
