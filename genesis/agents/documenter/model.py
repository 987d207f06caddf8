"""What a module defines, imports and exports, however it was read."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

STAR = "*"


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function; `members` are a class's own definitions."""

    name: str
    line: int
    doc: str
    signature: str = ""
    is_class: bool = False
    members: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import name as alias` (level: dots before the module); "*" for all."""

    level: int
    module: str
    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a module defines, imports by name, and lists in `__all__` (None: no such list)."""

    doc: str
    definitions: tuple[Definition, ...]
    imports: tuple[Import, ...]
    exported: frozenset[str] | None = field(default=None)


def first_paragraph(docstring: str) -> str:
    """The first paragraph of a docstring, in one line."""
    paragraph = re.split(r"\n\s*\n", inspect.cleandoc(docstring), maxsplit=1)[0]
    return " ".join(paragraph.split())
