"""The files of exports and imports: written whole or not at all, read twice."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from infrastructure.errors import StoreError
from infrastructure.memory.memori.values import InvalidItem

_PRIVATE: Final = 0o600


def check_target(target: object) -> None:
    """Refuse what an export cannot be written to.

    Raises:
        InvalidItem: neither a path nor a binary stream that can be written.
        OSError: the stream fails.
    """
    if isinstance(target, str | Path):
        _check_path(target)
        return
    try:
        cast("BinaryIO", target).write(b"")
    except (AttributeError, TypeError, ValueError) as error:  # no stream, one of text, or closed
        raise _wrong(target, "written") from error


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A new file that takes the place of the one at the path when all went well, and is durable.

    A link stays, and what it leads to is replaced. A file that was there gives its mode, and its
    owner where that is allowed; a new one is its owner's alone.

    Raises:
        OSError: it cannot be written; what was there stays.
        StoreError: the path leads to what is no regular file.
    """
    before = _regular(path)
    path = Path(os.path.realpath(path))
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with _new(part) as file:
            yield file
            if before is not None:
                _take_over(part, before)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def rereadable(source: str | Path | BinaryIO) -> BinaryIO:
    """A file that can be read twice: a path opened, or a stream copied to a temporary file.

    Raises:
        InvalidItem: neither a path nor a binary stream that can be read.
        StoreError: it cannot be read, or there is no space for the copy.
    """
    name = source if isinstance(source, str | Path) else "the stream"
    try:
        if not isinstance(source, str | Path):
            return _copied(source)
        _check_path(source)
        file = cast("BinaryIO", Path(source).open("rb"))  # noqa: SIM115 - the caller closes it
        if file.seekable():
            return file
        with file:
            return _copied(file)
    except OSError as error:
        raise StoreError(f"{name} cannot be imported: {error.strerror or error}") from error


def _copied(source: BinaryIO) -> BinaryIO:
    try:
        nothing: object = source.read(0)
    except (AttributeError, TypeError, ValueError) as error:  # no stream, or closed
        raise _wrong(source, "read") from error
    if nothing != b"":
        raise _wrong(source, "read")
    spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(source, spool)
        spool.seek(0)
    except BaseException:  # nobody else knows of it yet
        spool.close()
        raise
    return spool


def _check_path(path: str | Path) -> None:
    if "\x00" in str(path):
        raise InvalidItem("a path or a binary stream is needed, not a path with a NUL character")


def _wrong(given: object, done: str) -> InvalidItem:
    return InvalidItem(
        f"a path or a binary stream is needed, not {type(given).__name__} that cannot be {done} "
        "as bytes"
    )


def _regular(path: Path) -> os.stat_result | None:
    """The file at a path; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise StoreError(
            f"the items could not be exported to {path}: it is no regular file; open it and give "
            "the stream"
        )
    return found


def _new(path: Path) -> BinaryIO:
    binary = getattr(os, "O_BINARY", 0)  # Windows would change the ends of lines
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, _PRIVATE), "wb")


def _take_over(part: Path, before: os.stat_result) -> None:
    if os.name == "posix":
        with suppress(PermissionError):  # only some may give a file away
            os.chown(part, before.st_uid, before.st_gid)
    part.chmod(stat.S_IMODE(before.st_mode))
