"""Which files of a source are modules, and under which names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genesis.agents.files import source_files

_LEFT_OUT = frozenset({"test", "tests", "conftest", "__main__", "setup"})


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module's dotted name and file; `is_package` for an `__init__.py`."""

    name: str
    path: Path
    is_package: bool

    @property
    def is_private(self) -> bool:
        """Whether a part of the name begins with an underscore."""
        return any(part.startswith("_") for part in self.name.split("."))

    def resolve(self, level: int, module: str) -> str:
        """The absolute name of what `from ..module import` means here."""
        if level == 0:
            return module
        parts = self.name.split(".")
        base = parts[: len(parts) - level + (1 if self.is_package else 0)]
        return ".".join([*base, module] if module else base)


def modules_of(source: Path) -> list[ModuleFile]:
    """The modules of a package folder, a folder of packages, or a single file; tests left out.

    Raises:
        AgentError: there are too many files.
    """
    if source.is_file():
        is_package = source.name == "__init__.py"
        return [ModuleFile(source.parent.name if is_package else source.stem, source, is_package)]
    is_package = (source / "__init__.py").is_file()
    inner = source / "src"
    root = source.parent if is_package else inner if inner.is_dir() else source
    found: list[ModuleFile] = []
    for path in source_files(source):
        parts = list(path.relative_to(root if path.is_relative_to(root) else source).parts)
        parts[-1] = parts[-1].removesuffix(".py")
        if not _LEFT_OUT.isdisjoint(parts[1:] if is_package else parts):
            continue
        if parts[-1].startswith("test_") or parts[-1].endswith("_test"):
            continue
        packaged = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if packaged else parts)
        if name:
            found.append(ModuleFile(name, path, packaged))
    return sorted(found, key=lambda module: module.name)
