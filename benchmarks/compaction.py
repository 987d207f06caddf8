"""Compaction of sessions of 12 records: share saved, time to pack, time to read back.

Each kind of session (metrics only, with notes, with notes and outputs of 1.5 kB) is compacted by
the public service. Its dictionary is trained by the service itself, in one store that holds
sessions of all three kinds; what is measured are sessions of other texts, see `session_texts`.
`saved` is against the records as compact JSON, and so are the peers' columns. The dictionary's
bytes are a store's, not a session's: they are reported once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from backports import zstd
from session_texts import KINDS, Corpus, corpora, session

from infrastructure.memory.compaction_service import CompactionMetrics, CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.workflows import Workflow
from infrastructure.memory.workflow_memory import WorkflowMemory

PEERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "zlib_6": lambda text: zlib.compress(text, 6),
    "zstd_3": lambda text: zstd.compress(text, 3),
    "zstd_19": lambda text: zstd.compress(text, 19),
}
WARM_UP: Final = 3
FLUSHES: Final = 200


@dataclass
class Measured:
    """What the sessions of one kind gave."""

    json_bytes: list[int] = field(default_factory=list[int])
    packed: list[int] = field(default_factory=list[int])
    packed_without: list[int] = field(default_factory=list[int])
    compact_ms: list[float] = field(default_factory=list[float])
    restore_ms: list[float] = field(default_factory=list[float])
    peers: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in PEERS})

    def row(self, kind: str) -> dict[str, Any]:
        """The row of the report."""
        peers = {f"saved_{name}": self._saved(sizes) for name, sizes in self.peers.items()}
        return {
            "kind": kind,
            "session_bytes": round(statistics.mean(self.json_bytes)),
            "saved": self._saved(self.packed),
            "saved_without_dictionary": self._saved(self.packed_without),
            **peers,
            "compact_p50_ms": round(statistics.median(self.compact_ms), 3),
            "restore_p50_ms": round(statistics.median(self.restore_ms), 3),
        }

    def _saved(self, sizes: Sequence[int]) -> float:
        return round(1 - sum(sizes) / sum(self.json_bytes), 4)


def compact_json(records: Sequence[Workflow]) -> list[bytes]:
    """The records as compact JSON, each by itself."""
    return [
        json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":")).encode()
        for record in records
    ]


def drawn(
    corpus: Corpus, name: str, each: int, rng: random.Random
) -> list[tuple[str, list[Workflow]]]:
    """Sessions of every kind, taking turns."""
    return [
        (kind, session(corpus, kind, f"{name}-{kind}-{number}", rng))
        for number in range(each)
        for kind in KINDS
    ]


async def fill(memory: WorkflowMemory, sessions: Sequence[tuple[str, list[Workflow]]]) -> None:
    for _, records in sessions:
        await asyncio.gather(*(memory.store(record) for record in records))


async def trained(folder: Path, each: int, rng: random.Random) -> WorkflowMemory:
    """A store with sessions of every kind, and the dictionary that the service makes of them."""
    memory = WorkflowMemory(Memori.open(folder / "with.db"))
    service = CompactionService(memory)
    sessions = drawn(corpora()[0], "earlier", each, rng)
    await fill(memory, sessions)
    for _, records in sessions:
        await service.compact_session(records[0].session_id)
    await service.maintain()
    return memory


async def measure(
    memory: WorkflowMemory,
    bare: WorkflowMemory,
    sessions: Sequence[tuple[str, list[Workflow]]],
) -> dict[str, Measured]:
    """Compact and read every session: with the dictionary, and in a store that has none."""
    service, without = CompactionService(memory), CompactionService(bare)
    found = {kind: Measured() for kind in KINDS}
    for number, (kind, records) in enumerate(sessions):
        for store in (memory, bare):
            await asyncio.gather(*(store.store(record) for record in records))
        session_id = records[0].session_id
        begun = time.perf_counter()
        metrics = await service.compact_session(session_id)
        packed = time.perf_counter()
        restored = await service.read_session(session_id)
        done = time.perf_counter()
        lines = compact_json(records)
        expected = sorted(records, key=lambda record: record.created_at)
        if restored != expected or metrics.original_size_bytes != sum(map(len, lines)):
            raise SystemExit(f"session {session_id} did not come back as it was")
        if number < WARM_UP * len(KINDS):
            continue
        row = found[kind]
        row.json_bytes.append(metrics.original_size_bytes)
        row.packed.append(metrics.compressed_size_bytes)
        row.compact_ms.append((packed - begun) * 1000)
        row.restore_ms.append((done - packed) * 1000)
        row.packed_without.append((await without.compact_session(session_id)).compressed_size_bytes)
        for name, compress in PEERS.items():
            row.peers[name].append(len(compress(b"\n".join(lines))))
    return found


def flush_p50_ms(folder: Path) -> float:
    """Append 4 kB to a file and flush it to the disk."""
    took: list[float] = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            begun = time.perf_counter()
            file.write(os.urandom(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(took), 3)


async def report(seed: int, earlier: int, each: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        memory = await trained(folder, earlier, random.Random(f"earlier-{seed}"))
        bare = WorkflowMemory(Memori.open(folder / "without.db"))
        try:
            totals: CompactionMetrics = await CompactionService(memory).get_compaction_metrics()
            sessions = drawn(corpora()[1], "later", each + WARM_UP, random.Random(f"later-{seed}"))
            before = flush_p50_ms(folder)
            found = await measure(memory, bare, sessions)
            flush = round((before + flush_p50_ms(folder)) / 2, 3)
        finally:
            await memory.aclose()
            await bare.aclose()
    return {
        "sessions": each,
        "training_sessions": totals.sessions,
        "dictionary_bytes": totals.dictionary_bytes,
        "flush_p50_ms": flush,
        "rows": [found[kind].row(kind) for kind in KINDS],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=60, help="measured sessions of each kind")
    parser.add_argument("--earlier", type=int, default=120, help="earlier sessions of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    options = parser.parse_args()
    if options.sessions < 1 or options.earlier < 1:
        parser.error("--sessions and --earlier must be at least 1")
    found = asyncio.run(report(options.seed, options.earlier, options.sessions))
    if not found["dictionary_bytes"]:
        print("too few earlier sessions for a dictionary to pay", file=sys.stderr)
    if options.json:
        print(json.dumps(found))
        return
    show(found)


def show(found: dict[str, Any]) -> None:
    print(
        f"sessions of 12 records; a dictionary of {found['dictionary_bytes']} bytes from"
        f" {found['training_sessions']} other sessions; a flush takes {found['flush_p50_ms']} ms\n"
    )
    shares = ("saved", "saved_without_dictionary", *(f"saved_{name}" for name in PEERS))
    heads = ("ours", "no dict.", *PEERS)
    print(
        f"{'':10}{'bytes':>8}" + "".join(f"{head:>10}" for head in heads) + f"{'pack ms':>10}"
        f"{'read ms':>10}"
    )
    for row in found["rows"]:
        print(
            f"{row['kind']:10}{row['session_bytes']:8}"
            + "".join(f"{row[share]:10.1%}" for share in shares)
            + f"{row['compact_p50_ms']:10.2f}{row['restore_p50_ms']:10.2f}"
        )


if __name__ == "__main__":
    main()
