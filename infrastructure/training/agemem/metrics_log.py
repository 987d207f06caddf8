"""The metrics of a training as JSON Lines: one object for each step and each validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from infrastructure.errors import InputError

Record = dict[str, Any]

METRICS: Final = "metrics.jsonl"
"""How the file is called in the folder of a training."""

STEP: Final = "step"
VALIDATION: Final = "validation"
OPERATIONS: Final = "operations"
"""Kinds of records: their `kind`."""


class MetricsLog:
    """A file that grows by a line a record.

    Args:
        path: the file; it is made when missing.
        keep: so many lines are kept, later ones dropped: a training that goes on from a checkpoint
            writes them again.

    Raises:
        InputError: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self.path = path
        kept = read_metrics(path)[:keep] if keep else []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(b"".join(map(_line, kept)))
            part.replace(path)
        except OSError as error:
            raise InputError(f"the metrics file {path} cannot be written: {error}") from error

    def add(self, record: Record) -> None:
        """Append a record; it is in the file when this returns."""
        with self.path.open("ab") as file:
            file.write(_line(record))


def read_metrics(path: Path) -> list[Record]:
    """All records of a metrics file, none if there is no file; a line that was cut off is left out.

    Raises:
        InputError: the file cannot be read, or a whole line is no record.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"the metrics file {path} cannot be read: {error}") from error
    whole, _, _ = content.rpartition(b"\n")
    records: list[Record] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = orjson.loads(line)
            if type(record["step"]) is not int or type(record["kind"]) is not str:
                raise ValueError("its step is no number or its kind no text")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number}, is no record of metrics: {error}") from error
        records.append(record)
    return records


def _line(record: Record) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
