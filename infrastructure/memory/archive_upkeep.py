"""Upkeep of a tenant's archives in small steps: dictionaries are trained, and given up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from infrastructure.memory import dictionary_training
from infrastructure.memory.memori import archive_chunks, archive_ledger, dictionaries
from infrastructure.memory.memori.archive_format import text_of
from infrastructure.memory.memori.archive_records import Chunk, Dictionary
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori

FIRST_BYTES: Final = 512 * 1024
"""Archives smaller than this are not worth a dictionary."""
GROWTH: Final = 4
"""How much the archives grow before a new dictionary is tried."""

_SAMPLES: Final = 400
_SAMPLE_BYTES: Final = 64 * 1024
_ALL_SAMPLE_BYTES: Final = 4 * 1024 * 1024
_REPACKED_AT_ONCE: Final = 16

_log = logging.getLogger("genesis.memory")


class ArchiveUpkeep:
    """Keeps archives small; every step leaves them whole."""

    def __init__(self) -> None:
        self._in_vain_at = 0
        self._lock = threading.Lock()

    def finish(self, memori: Memori) -> None:
        """Take all steps that are due."""
        while self.step(memori):
            pass

    def step(self, memori: Memori) -> bool:
        """Take one step, if one is due; True when another may be."""
        with self._lock:
            retired, archived, served = memori.read_sync(_state)
            if retired:
                return self._repack(memori, retired[0])
            due = max(FIRST_BYTES, GROWTH * served, GROWTH * self._in_vain_at)
            return archived.compressed_bytes >= due and self._train(memori)

    def _train(self, memori: Memori) -> bool:
        sessions, total, newest, current, chunks = memori.read_sync(_samples)
        self._in_vain_at = total.compressed_bytes
        samples = _within_limits(chunks)
        if len(samples) < dictionary_training.FEWEST_SAMPLES:
            return False
        texts = [text for _, text in samples]
        # A daemon thread that is inside NumPy when the interpreter leaves aborts the process;
        # an executor's thread is waited for.
        with ThreadPoolExecutor(1, thread_name_prefix="genesis-dictionary") as executor:
            training = executor.submit(
                dictionary_training.train, texts, current.trained if current else None, sessions
            )
            found = training.result()
        if found is None:
            _log.debug("no dictionary would pay for %d archived sessions", sessions)
            return False
        learnt_from = dictionary_training.training_part(samples)
        sources = {chunk.session_id: chunk.sha256 for chunk, _ in learnt_from}
        now = memori.clock.now()
        (version,) = memori.commit_sync(
            lambda tx: dictionaries.add(
                tx, found.body, sources, after=newest, served=total.compressed_bytes, now=now
            )
        )
        if version is None:
            return False
        self._in_vain_at = 0
        _log.info(
            "archive dictionary %d: %d bytes, makes sessions %.1f %% smaller",
            version,
            len(found.body),
            found.share_saved * 100,
        )
        return True

    def _repack(self, memori: Memori, version: int) -> bool:
        chunks, active = memori.read_sync(
            lambda tx: (
                archive_chunks.chunks_with(tx, version, _REPACKED_AT_ONCE),
                dictionaries.active(tx),
            )
        )
        pairs = [(chunk, archive_chunks.repacked(chunk, active)) for chunk in chunks]
        replaced, dropped = memori.commit_sync(
            lambda tx: archive_chunks.replace_chunks(tx, pairs),
            lambda tx: archive_chunks.drop_unused(tx, version),
        )
        if dropped:
            _log.info("archive dictionary %d was given up; no chunk names it", version)
        return bool(replaced or dropped)


def _state(tx: Tx) -> tuple[list[int], archive_ledger.Compaction, int]:
    totals = archive_ledger.totals(tx)[1]
    return dictionaries.retired(tx), totals, dictionaries.served_bytes(tx)


def _samples(
    tx: Tx,
) -> tuple[int, archive_ledger.Compaction, int, Dictionary | None, list[Chunk]]:
    sessions, total = archive_ledger.totals(tx)
    return (
        sessions,
        total,
        dictionaries.newest(tx),
        dictionaries.active(tx),
        archive_chunks.latest_chunks(tx, _SAMPLES),
    )


def _within_limits(chunks: Sequence[Chunk]) -> list[tuple[Chunk, bytes]]:
    samples: list[tuple[Chunk, bytes]] = []
    room = _ALL_SAMPLE_BYTES
    for chunk in chunks:
        text = text_of(chunk)[:_SAMPLE_BYTES]
        room -= len(text)
        if room < 0:
            break
        samples.append((chunk, text))
    return samples
