"""Run as a script: print the functions of a cProfile file as JSON.

Usage: print_stats.py PROFILE. The file was written by the profiled program's own process, and its
format can make the reader do anything; so it is read here, and in the sandbox when that program
was in one. Prints [file, line, name, calls, own seconds, seconds with callees] of each function.
"""

from __future__ import annotations

import json
import pstats
import sys
from typing import Any, cast

_Function = tuple[str, int, str]
_Row = tuple[int, int, float, float, Any]


def main() -> None:
    try:
        stats = pstats.Stats(sys.argv[1])
    except (OSError, EOFError, ValueError, TypeError) as error:
        sys.exit(f"{error}")
    # pstats has no types for its table; this is the one place that knows it.
    table = cast("dict[_Function, _Row]", vars(stats)["stats"])
    rows = [[*key, row[1], row[2], row[3]] for key, row in table.items()]
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()
