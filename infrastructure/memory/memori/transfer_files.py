"""The files of exports and imports: written whole or not at all, read twice."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from infrastructure.errors import StoreError


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A new file beside the path, which takes its place when all went well, and is durable.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield cast("BinaryIO", file)
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
        StoreError: it cannot be read, or there is no space for the copy.
    """
    name = source if isinstance(source, str | Path) else "the stream"
    try:
        if isinstance(source, str | Path):
            return cast("BinaryIO", Path(source).open("rb"))
        spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
        try:
            shutil.copyfileobj(source, spool)
            spool.seek(0)
        except BaseException:  # nobody else knows of it yet
            spool.close()
            raise
        return spool
    except OSError as error:
        raise StoreError(f"{name} cannot be imported: {error.strerror or error}") from error
