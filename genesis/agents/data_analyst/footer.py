"""A last row that sums up the others is no row of data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_LABEL = re.compile(r"(grand |sub|over)?(totals?|sum|all)( sum)?:?", re.IGNORECASE)
_JUNK = re.compile("[$€£%\\s\u00a0\u202f]")


def without_total(body: list[list[str]], notes: list[str]) -> list[list[str]]:
    """The rows without a last one that is called a total and proves to be one.

    It counts as proven where a number in it is the sum of its column; a row that only says
    "Total" stays.
    """
    if len(body) < 3 or not any(_LABEL.fullmatch(cell.strip()) for cell in body[-1]):
        return body
    columns = list(zip(*body, strict=True))
    if any(_sums_up(column) for column in columns):
        notes.append("the last row holds totals of the others: left out")
        return body[:-1]
    return body


def _sums_up(column: Sequence[str]) -> bool:
    for decimal in (".", ","):
        *parts, total = (_number(cell, decimal) for cell in column)
        present = [part for part in parts if part is not None]
        if total is None or len(present) < 2 or total == 0:
            continue
        if math.isclose(math.fsum(present), total, rel_tol=1e-6, abs_tol=0.005):
            return True
    return False


def _number(cell: str, decimal: str) -> float | None:
    thousands = "," if decimal == "." else "."
    text = _JUNK.sub("", cell).replace(thousands, "").replace(decimal, ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
