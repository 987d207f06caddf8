"""The folder that bounds a request: what lies in it, and what leads out of it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from genesis.errors import InputError, WorkspaceError
from genesis.planning.mentions import DATA_NAME, Mention
from genesis.tasks.received import received_folder

DATA_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet"})
_TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
_PASSED_OVER = frozenset({"__pycache__", "node_modules", "venv", "build", "dist", "site-packages"})
_GENERIC = frozenset({"tests", "test", "docs", "src", "data", "examples", "scripts", "lib", "bin"})
_CONFIGURATION = ("readme", "license", "requirements", "constraints", "package", "tsconfig")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini")
_MAX_ENTRIES = 5000
_MAX_DEPTH = 4
_NEAREST = 3


def is_data_file(path: Path) -> bool:
    """Whether the name is that of a kind of data file that can be read."""
    return bool(DATA_NAME.search(path.name))


class Workspace:
    """One folder, links resolved.

    Raises:
        WorkspaceError: it is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.root = folder.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise WorkspaceError(f"the workspace {folder} cannot be read: {error}") from error
        if not self.root.is_dir():
            raise WorkspaceError(f"the workspace {folder} is not a folder")

    def shown(self, path: Path) -> str:
        """A path as people write it: relative to the workspace."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def require(self, text: str, name: str) -> Path:
        """An existing path that the caller gave.

        Raises:
            WorkspaceError: it leads outside.
            InputError: it does not exist; names the nearest.
        """
        path = self._inside(text, strict=True)
        if path is None:
            nearest = self.nearest(text)
            hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
            raise InputError(f"{name} {text!r} does not exist in the workspace {self.root}{hint}")
        return path

    def holds(self, text: str) -> bool:
        """Whether something lies at this place of the workspace, of whatever kind."""
        try:
            return os.path.lexists(self.root / text)
        except (OSError, ValueError):  # too long a name
            return False

    def find(self, mention: Mention) -> Path | None:
        """The existing file or folder that a mention means; None when there is none.

        Raises:
            WorkspaceError: it can only be a path, and it leads outside.
        """
        if mention.certain or "/" in mention.text:
            for text in mention.texts:
                strict = mention.certain and text == mention.text
                path = self._inside(text, strict=strict)
                if path is not None:
                    return path
            return None
        for text in mention.texts:
            if not mention.folder and text in _GENERIC:
                continue
            path = self._named(text, folder=mention.folder)
            if path is not None:
                return path
        return None

    def _inside(self, text: str, *, strict: bool) -> Path | None:
        try:
            joined = self.root / Path(text).expanduser()
            path = joined.resolve()
            exists = path.is_file() or (path.is_dir() and path != received_folder(self.root))
        except (OSError, RuntimeError, ValueError):  # too long a name, a circle of links
            return None
        if path.is_relative_to(self.root):
            return path if exists else None
        if strict:
            raise WorkspaceError(
                f"{text!r} leads outside the workspace {self.root}; move it there, or choose "
                "another workspace"
            )
        return None

    def _named(self, text: str, *, folder: bool) -> Path | None:
        """A package by name, dotted or not; any folder or module beside a word like "package"."""
        parts = text.split(".")
        if parts[0] not in self._tops:
            return None
        path = self._tops[parts[0]]
        for part in parts[1:]:
            deeper = next((p for p in (path / part, path / f"{part}.py") if p.exists()), None)
            if deeper is None:
                break
            path = deeper
        wanted = folder or len(parts) > 1 or (path.is_dir() and bool(self.kinds(path)))
        return self._inside(str(path), strict=False) if wanted else None

    @cached_property
    def _tops(self) -> dict[str, Path]:
        """Folders and modules by name, of the workspace and of its `src`."""
        found: dict[str, Path] = {}
        for folder in (self.root / "src", self.root):
            for entry in _entries(folder):
                if entry.is_dir():
                    found[entry.name] = Path(entry.path)
                elif entry.name.endswith(".py"):
                    found.setdefault(entry.name[:-3], Path(entry.path))
        return found

    def kinds(self, folder: Path) -> frozenset[str]:
        """What a folder can serve as: "source", "project", both or neither."""
        kinds: set[str] = set()
        names = {entry.name for entry in _entries(folder)}
        if any(name.endswith(".py") for name in names - {"setup.py", "conftest.py"}):
            kinds.add("source")
        if not names.isdisjoint(_PROJECT_FILES) or self.has_tests(folder):
            kinds.add("project")
        return frozenset(kinds)

    def package_in(self, folder: Path) -> Path | None:
        """The package of the folder's name in it, or in its `src`, as most projects lie."""
        for candidate in (folder / folder.name, folder / "src" / folder.name):
            path = self._inside(str(candidate), strict=False)
            if path is not None and "source" in self.kinds(path):
                return path
        return None

    def has_tests(self, folder: Path) -> bool:
        """Whether there are test modules in a folder or below."""
        return any(
            path.suffix == ".py" and (path.name.startswith("test_") or path.stem.endswith("_test"))
            for path in self._walk(folder)
        )

    def sources(self, folder: Path) -> list[Path]:
        """Packages in a folder and its `src`, or modules where there are none; no tests."""
        entries = [Path(e.path) for e in (*_entries(folder / "src"), *_entries(folder))]
        known = [path for path in entries if path.name not in _PASSED_OVER | _GENERIC]
        packages = sorted(path for path in known if (path / "__init__.py").is_file())
        return packages or sorted(
            path
            for path in known
            if path.suffix == ".py"
            and path.name not in ("setup.py", "conftest.py")
            and not path.name.startswith("test_")
            and not path.stem.endswith("_test")
        )

    def data_files(self, folder: Path) -> list[Path]:
        """Data files in a folder and below: tables, or other kinds where there are none."""
        found = sorted(
            path
            for path in self._walk(folder)
            if is_data_file(path) and not path.name.lower().startswith(_CONFIGURATION)
        )
        tables = [path for path in found if not _TABLES.isdisjoint(path.suffixes)]
        return tables or found

    def nearest(self, text: str) -> list[str]:
        """Existing names that resemble one that is missing, relative to the workspace."""
        wanted = Path(text).name.lower()
        by_name: dict[str, Path] = {}
        for path in self._walk(self.root):
            by_name.setdefault(path.name.lower(), path)
            if path.parent != self.root:
                by_name.setdefault(path.parent.name.lower(), path.parent)
        close = difflib.get_close_matches(wanted, by_name, _NEAREST, 0.5)
        suffix = Path(wanted).suffix
        same_kind = [name for name in sorted(by_name) if suffix and name.endswith(suffix)]
        return [self.shown(by_name[name]) for name in (close or same_kind[:_NEAREST])]

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Files below a folder, links not followed, nothing hidden, bounded in depth and number."""
        pending = [(folder, 0)]
        left = _MAX_ENTRIES
        while pending:
            current, depth = pending.pop(0)
            for entry in _entries(current):
                left -= 1
                if left < 0:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if depth < _MAX_DEPTH and entry.name not in _PASSED_OVER:
                        pending.append((Path(entry.path), depth + 1))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted, nothing hidden; nothing for a folder that cannot be read."""
    try:
        with os.scandir(folder) as listed:
            return sorted((e for e in listed if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError:
        return []
