"""The files of a generated project: what a model may name, how they are written and read."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field

from infrastructure.errors import AgentError
from infrastructure.text import one_line

MAX_FILES = 40
MAX_FILE_BYTES = 200_000
MAX_PROJECT_BYTES = 1_000_000
_MAX_DEPTH = 5
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_SUFFIXES = frozenset({".py", ".md", ".txt", ".toml", ".json", ".csv"})
# They would change how Python or pytest runs, for the agent's own run and for the check.
_RESERVED_FILES = frozenset({"conftest.py", "sitecustomize.py", "usercustomize.py"})
_RESERVED_MODULES = sys.stdlib_module_names | {"pytest", "_pytest", "pluggy", "iniconfig"}
_CACHES = frozenset({"__pycache__", ".pytest_cache"})


class RefusedFile(AgentError):
    """A file that was named or found has no place in a generated project."""


class ProgramFile(BaseModel):
    """One file.

    Attributes:
        path: relative, with forward slashes.
        content: all of its text.
    """

    path: str
    content: str


class Program(BaseModel):
    """What the model answers: a whole project.

    Attributes:
        summary: two or three sentences on what it does and how to call it.
        files: sources and tests.
    """

    summary: str = ""
    files: list[ProgramFile] = Field(min_length=1, max_length=MAX_FILES)


def plain_path(text: str) -> PurePosixPath:
    """A relative path of plain names with a known suffix.

    Raises:
        RefusedFile: it is absolute, leads outside, or has a name that is not allowed.
    """
    shown = one_line(text, 80)
    segments = text.split("/")
    plain = all(_SEGMENT.fullmatch(segment) for segment in segments)
    if not plain or len(segments) > _MAX_DEPTH or segments[-1].endswith("."):
        raise RefusedFile(f"{shown!r} is not a plain relative path of at most {_MAX_DEPTH} names")
    path = PurePosixPath(text)
    if path.suffix not in _SUFFIXES:
        raise RefusedFile(f"{shown!r}: only {', '.join(sorted(_SUFFIXES))} files are allowed")
    if path.name in _RESERVED_FILES:
        raise RefusedFile(f"{shown!r} would change how the tests run; put fixtures into the tests")
    if path.suffix == ".py" and segments[0].removesuffix(".py") in _RESERVED_MODULES:
        raise RefusedFile(f"{shown!r} would hide a module of Python's own; choose another name")
    return path


def checked_files(files: Mapping[str, str]) -> dict[PurePosixPath, bytes]:
    """Files by path, proven to be plain, not too many and not too large.

    Raises:
        RefusedFile: says which file breaks which rule.
    """
    if len(files) > MAX_FILES:
        raise RefusedFile(f"{len(files)} files are more than {MAX_FILES}")
    checked = {plain_path(path): _encoded(path, text) for path, text in files.items()}
    if len({str(path).lower() for path in checked}) < len(files):
        raise RefusedFile("two files have names that differ only in capitals")
    folders = {folder for path in checked for folder in path.parents}
    clash = next((path for path in checked if path in folders), None)
    if clash is not None:
        raise RefusedFile(f"{str(clash)!r} is named both as a file and as a folder")
    total = sum(len(content) for content in checked.values())
    if total > MAX_PROJECT_BYTES:
        raise RefusedFile(f"the files have {total:,} bytes, more than {MAX_PROJECT_BYTES:,}")
    return checked


def _encoded(path: str, text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise RefusedFile(f"{one_line(path, 80)!r} holds characters that are no text") from error
    if len(content) > MAX_FILE_BYTES:
        raise RefusedFile(f"{one_line(path, 80)!r} has more than {MAX_FILE_BYTES:,} bytes")
    return content


def write_files(folder: Path, files: Mapping[PurePosixPath, bytes]) -> tuple[Path, ...]:
    """Write files that `checked_files` returned into an existing folder; their paths, sorted."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tuple(sorted(folder / path for path in files))


def read_project(folder: Path) -> dict[PurePosixPath, str]:
    """The text of every file of a project, caches left out.

    Raises:
        RefusedFile: there is a link, a file that is no text, or what `checked_files` refuses.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if _CACHES.intersection(relative.parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RefusedFile(f"{relative.as_posix()!r} is a link or no plain file")
        if path.is_dir():
            continue
        if len(found) >= MAX_FILES or path.stat().st_size > MAX_FILE_BYTES:
            raise RefusedFile(f"{relative.as_posix()!r} exceeds the bounds of a project")
        try:
            found[relative.as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RefusedFile(f"{relative.as_posix()!r} is not UTF-8 text") from error
    return {path: found[str(path)] for path in checked_files(found)}


def is_test(path: PurePosixPath) -> bool:
    """Whether a Python file holds tests, by pytest's naming or by its folder."""
    named = path.name.startswith("test_") or path.name.endswith("_test.py")
    return path.suffix == ".py" and (named or bool({"tests", "test"} & set(path.parts[:-1])))


def is_source(path: PurePosixPath) -> bool:
    """Whether a file is Python code that is not a test."""
    return path.suffix == ".py" and not is_test(path)


def source_of(files: Mapping[PurePosixPath, str]) -> PurePosixPath | None:
    """The top-level module or package with most code; None when there is only test code."""
    sizes: dict[PurePosixPath, int] = {}
    for path, text in files.items():
        if is_source(path):
            top = PurePosixPath(path.parts[0])
            sizes[top] = sizes.get(top, 0) + len(text)
    return max(sizes, key=lambda top: (sizes[top], str(top)), default=None)
