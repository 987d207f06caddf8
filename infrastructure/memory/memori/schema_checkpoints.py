"""Tables of LangGraph's checkpoints: their heads, the channels' values, and pending writes.

A channel's value is stored once for each of its versions, whatever number of checkpoints share it,
and may be stored as its difference from the value of another version, its `base`.
"""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_checkpoints(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE checkpoints (
            tenant TEXT NOT NULL,
            thread_id TEXT NOT NULL,
            ns TEXT NOT NULL,
            checkpoint_id TEXT NOT NULL,
            parent_id TEXT NOT NULL,
            run_id TEXT NOT NULL,
            metadata TEXT NOT NULL,
            head BLOB NOT NULL,
            extra_type TEXT NOT NULL,
            extra BLOB NOT NULL,
            PRIMARY KEY (tenant, thread_id, ns, checkpoint_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX checkpoints_by_run ON checkpoints (tenant, run_id) WHERE run_id <> ''",
        """
        CREATE TABLE checkpoint_values (
            tenant TEXT NOT NULL,
            thread_id TEXT NOT NULL,
            ns TEXT NOT NULL,
            channel TEXT NOT NULL,
            version TEXT NOT NULL,
            type TEXT NOT NULL,
            form INTEGER NOT NULL,
            base TEXT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, thread_id, ns, channel, version)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE checkpoint_writes (
            tenant TEXT NOT NULL,
            thread_id TEXT NOT NULL,
            ns TEXT NOT NULL,
            checkpoint_id TEXT NOT NULL,
            task_id TEXT NOT NULL,
            idx INTEGER NOT NULL,
            task_path TEXT NOT NULL,
            channel TEXT NOT NULL,
            type TEXT NOT NULL,
            form INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, thread_id, ns, checkpoint_id, task_id, idx)
        ) STRICT, WITHOUT ROWID
        """,
    )


MIGRATIONS: tuple[Migration, ...] = (Migration("checkpoints", _create_checkpoints),)
