"""Names of given data: a kind ("dataset"), numbered from the second of a kind on ("dataset_2")."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_OF_A_KIND = 9
_NUMBERED = re.compile(r"_([2-9])$")


def kind_of(name: str) -> str:
    """The kind of a datum: "dataset" of "dataset_2"."""
    return _NUMBERED.sub("", name)


def numbered(kind: str, number: int) -> str:
    """The name of the first, second, ... datum of a kind."""
    return kind if number == 1 else f"{kind}_{number}"


def kinds_of(names: Iterable[str]) -> frozenset[str]:
    """The kinds of some data."""
    return frozenset(kind_of(name) for name in names)


def is_named(path: str, text: str) -> bool:
    """Whether a text names a file or folder: by its path, the end of it, or as a module."""
    if path in text:
        return True
    parts = [part for part in path.split("/") if part][-4:]
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        module = tail.removesuffix(".py").replace("/", ".")
        for name in (tail, module, tail.removesuffix(".py")):
            if name in text and re.search(rf"(?<![\w.])(?<!\w/){re.escape(name)}(?!\w)", text):
                return True
    return False
