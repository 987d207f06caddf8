"""An SQLite store's file before it is opened, and whether it was moved since."""

from __future__ import annotations

import os
import sqlite3
from errno import EACCES
from pathlib import Path
from typing import TypeAlias

from infrastructure.errors import StoreUnavailable

Identity: TypeAlias = tuple[tuple[int, int], ...]
"""The device and the number of each of some files."""


def prepare(path: str, timeout_s: float) -> bool:
    """Make the folder, and finish what a crash left half done while the file was being made.

    The file is read by nothing but SQLite: whoever else closes it gives up the locks that this
    process has on it.

    Returns:
        Whether there is a file with something in it.

    Raises:
        StoreUnavailable: the path cannot be used.
        sqlite3.Error: SQLite cannot read the file.
    """
    try:
        if "\x00" in path:
            raise ValueError("it contains a NUL character")
        file = Path(path)
        _make_folder(file.parent)
        if file.is_dir():
            raise StoreUnavailable(f"the memory store's path {path} is a folder; name a file in it")
        if file.exists() and not _may_write(file):  # SQLite would open it to read, and for good
            raise PermissionError(EACCES, "it is read-only")
        if Path(f"{path}-journal").exists():
            _roll_back(path, timeout_s)
        return file.exists() and file.stat().st_size > 0
    except (OSError, ValueError) as error:
        raise StoreUnavailable(
            f"the memory store at {path!r} cannot be opened: {error}; check the path and that "
            "this user may write there"
        ) from error


def identity(*paths: str) -> Identity | None:
    """Which files are at the paths now; None when one is missing."""
    try:
        return tuple((found.st_dev, found.st_ino) for found in map(os.stat, paths))
    except OSError:
        return None


def _may_write(file: Path) -> bool:
    return os.access(file, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _make_folder(folder: Path) -> None:
    """Make the folders that are missing, with names that survive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":  # elsewhere a folder cannot be synced
        return
    for made in missing:
        descriptor = os.open(made.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _roll_back(path: str, timeout_s: float) -> None:
    """Have SQLite undo what a crash cut off before the file had a write-ahead log.

    Only a connection that may write can; one that reads would be refused.
    """
    connection = sqlite3.connect(path, timeout=timeout_s)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    finally:
        connection.close()
