"""What archives are made of: workflow records, the chunks that hold them, dictionaries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from backports import zstd

from infrastructure.memory.memori.columns import compact_json

NO_DICTIONARY: Final = 0

_RECALLED: Final = {-1: None, 0: False, 1: True}


class StoredRecord(NamedTuple):
    """A workflow as its columns hold it; `steps` and `metadata` are JSON text, kept to the byte.

    After the session the fields stand in the order of a chunk's columns.

    Attributes:
        compaction: number of the compaction of its session that archives it; 0 for none yet.
        recalled: 1 with memory, 0 without, -1 when nobody said.
    """

    session_id: str
    compaction: int
    id: str
    run_id: str
    task_type: str
    success: bool
    recalled: int
    created_at: float
    duration_s: float
    cost_usd: float
    steps: str
    metadata: str

    @property
    def line(self) -> bytes:
        """The workflow as compact JSON: what saved space is measured against, and hashed."""
        head = compact_json(
            {
                "id": self.id,
                "run_id": self.run_id,
                "session_id": self.session_id,
                "task_type": self.task_type,
                "success": self.success,
                "recalled": _RECALLED[self.recalled],
                "created_at": self.created_at,
                "duration_s": self.duration_s,
                "cost_usd": self.cost_usd,
            }
        )
        text = f'{head[:-1]},"steps":{self.steps},"metadata":{self.metadata}}}'
        return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """What chunks may leave out because it is kept once, for all of a tenant's chunks.

    Attributes:
        version: counts up from 1 for each tenant.
    """

    version: int
    trained: zstd.ZstdDict


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of a session's archive, with the dictionary that it names."""

    session_id: str
    number: int
    namespace: str
    records: int
    original_bytes: int
    encoding: str
    dictionary: int
    sha256: str
    body: bytes
    trained: Dictionary | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"archive chunk {self.number} of session {self.session_id!r}"

    def with_dictionary(self, dictionary: Dictionary | None) -> Chunk:
        """The chunk with the dictionary that it names, or without where it is missing."""
        return replace(self, trained=dictionary)


def hash_lines(lines: Sequence[bytes]) -> str:
    """SHA-256 of records, in hexadecimal digits."""
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
