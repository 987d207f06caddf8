"""What the documenter hands in as `api_docs`."""

from __future__ import annotations

from genesis.agents.evidence import Claim


class FunctionDoc(Claim):
    """A function or method: its signature as written, its docstring's first paragraph."""

    name: str
    signature: str
    line: int
    doc: str


class ClassDoc(Claim):
    """A class (a nested one with a dotted name) and its public methods."""

    name: str
    line: int
    doc: str
    methods: list[FunctionDoc]


class ModuleDoc(Claim):
    """A module with something public; `path` is relative to the source."""

    name: str
    path: str
    doc: str
    classes: list[ClassDoc]
    functions: list[FunctionDoc]


class Undocumented(Claim):
    """A public class, function or method ("Class.method") without a docstring."""

    module: str
    name: str
    line: int


class Unreadable(Claim):
    """A file that could not be read as Python, and why."""

    path: str
    problem: str


class Counts(Claim):
    """How much there is; `documented_percent` is of classes, functions and methods together."""

    modules: int
    classes: int
    functions: int
    methods: int
    undocumented: int
    documented_percent: float


class ApiDocs(Claim):
    """The public API of a package or module.

    Attributes:
        source: absolute path of the folder or file.
        digest: SHA-256 over its Python files when they were read.
        modules: those with something public, by name.
        undocumented: in order of modules and lines.
        unreadable: files left out.
        counts: sums over `modules`.
        markdown_path: absolute path of the document.
    """

    source: str
    digest: str
    modules: list[ModuleDoc]
    undocumented: list[Undocumented]
    unreadable: list[Unreadable]
    counts: Counts
    markdown_path: str


def percent_documented(members: int, undocumented: int) -> float:
    """Share of members with a docstring, percent with one decimal; 100 when there are none."""
    return round(100 * (members - undocumented) / members, 1) if members else 100.0
