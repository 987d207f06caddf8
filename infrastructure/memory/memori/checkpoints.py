"""MemoriSaver: LangGraph's checkpointer on Memori, for users' graphs and for Studio.

What a graph stores is serialised at once by LangGraph's own serialiser, strictly: no pickle, and no
type is made again that neither LangGraph trusts nor the graph's schema names. A channel's value is
stored once, not once for each checkpoint that shows it, and where that is less as its difference
from the value before. What `put` and `put_writes` acknowledge is durable.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from infrastructure.errors import InputError
from infrastructure.memory.memori import (
    arguments,
    checkpoint_history,
    checkpoint_rows,
    checkpoint_upkeep,
)
from infrastructure.memory.memori import checkpoint_convert as convert
from infrastructure.memory.memori.checkpoint_bodies import Earlier, EarlierValues, pack
from infrastructure.memory.memori.checkpoint_convert import Serialised
from infrastructure.memory.memori.checkpoint_records import NewCheckpoint, Wanted, Write
from infrastructure.memory.memori.checkpoint_rows import BaseGone
from infrastructure.memory.memori.dialect import Durability, Tx
from infrastructure.memory.memori.dialect import Write as Commit
from infrastructure.memory.memori.engine import Memori

_PAGE: Final = 50
# What takes longer to compress than to hand to a thread.
_LARGE_BYTES: Final = 64 * 1024


class MemoriSaver(BaseCheckpointSaver[str]):
    """A LangGraph checkpointer on one tenant's handle: `graph.compile(checkpointer=saver)`.

    Async methods never block the event loop for longer than serialising takes; sync ones block
    their thread. It is usable from any thread and from several event loops, and as a context
    manager of either kind, which closes what `open` opened.

    Args:
        memori: the open database; whoever opened it closes it.
        serde: serialises values; LangGraph's own in its strict mode unless given.

    Raises:
        InputError: the serialiser falls back to pickle.
    """

    def __init__(self, memori: Memori, *, serde: SerializerProtocol | None = None) -> None:
        if not isinstance(memori, Memori):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InputError(
                f"a saver needs an open Memori, not {type(memori).__name__}: "
                "MemoriSaver.open(place), or MemoriSaver(Memori.open(place))"
            )
        super().__init__(serde=convert.strict(serde))
        self._memori = memori
        self._owns_memori = False
        self._earlier = EarlierValues()

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        tenant: str = "default",
        durability: Durability = "full",
        serde: SerializerProtocol | None = None,
    ) -> Self:
        """A saver on a database of its own: a path, `:memory:`, or a `postgresql://` URL.

        Nothing is opened before the first use; leaving its context, or `close`, closes it.

        Args:
            tenant, durability: as of `Memori.open`.

        Raises:
            StoreError: another kind of URL, or the `postgres` extra is not installed.
            InputError: an argument that cannot be.
        """
        opened = Memori.open(arguments.place(place), tenant=tenant, durability=durability)
        saver = cls(opened, serde=serde)
        saver._owns_memori = True
        return saver

    @classmethod
    def from_conn_string(cls, conn_string: str) -> Self:
        """`open`, under the name that LangGraph's own savers give it.

        It takes the place of `with SqliteSaver.from_conn_string(...) as saver` and, with
        `async with`, of its asynchronous kin.
        """
        return cls.open(conn_string)

    @property
    def memori(self) -> Memori:
        """The open database."""
        return self._memori

    def close(self) -> None:
        """Close the database if this saver opened it."""
        if self._owns_memori:
            self._memori.close()

    async def aclose(self) -> None:
        """`close`, off the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # What LangGraph calls while a graph runs

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """The version after this one: a number that grows, and what tells branches apart.

        The random part is the system's: two processes that were seeded alike and go on from the
        same checkpoint must not give two values one version.
        """
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:010d}.{os.urandom(5).hex()}"

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint whose parent is the one that the config names.

        Args:
            new_versions: the versions of the channels that changed since the parent; only their
                values are stored.

        Returns:
            The config that names it.

        Raises:
            InputError: a name or the metadata cannot be stored.
            StoreUnavailable: the database cannot be used.
        """
        new = convert.serialised(self.serde, config, checkpoint, metadata, new_versions)
        packed = self._packed(new)
        try:
            self._memori.commit_sync(partial(checkpoint_rows.put, new=packed))
        except BaseGone:
            packed = self._packed(new, whole=True)
            self._memori.commit_sync(partial(checkpoint_rows.put, new=packed))
        return self._stored(new, packed, config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """`put` for the event loop."""
        new = convert.serialised(self.serde, config, checkpoint, metadata, new_versions)
        large = sum(len(value.data) for value in new.values.values()) > _LARGE_BYTES
        packed = await asyncio.to_thread(self._packed, new) if large else self._packed(new)
        try:
            await self._memori.commit(partial(checkpoint_rows.put, new=packed))
        except BaseGone:
            packed = await asyncio.to_thread(self._packed, new, whole=True)
            await self._memori.commit(partial(checkpoint_rows.put, new=packed))
        return self._stored(new, packed, config)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote on the checkpoint that the config names, before its next one.

        Repeating it changes nothing, but that errors, interrupts and resumes are replaced.
        """
        if writes:
            self._memori.commit_sync(self._writing(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """`put_writes` for the event loop."""
        if writes:
            await self._memori.commit(self._writing(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the latest of its thread and namespace.

        Raises:
            StoreError: it is damaged, or the database cannot be used.
        """
        return self._memori.read_sync(self._getting(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """`get_tuple` for the event loop."""
        return await self._memori.read(self._getting(config))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What delta channels are rebuilt from, read in one transaction."""
        return self._memori.read_sync(self._history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """`get_delta_channel_history` for the event loop."""
        return await self._memori.read(self._history(config, channels))

    # Threads and their past

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, read in pages.

        Args:
            config: the thread, and perhaps the namespace and the checkpoint; None for all threads.
            filter: what fields of the metadata must equal, as JSON.
            before: only checkpoints before the one that it names.
            limit: at most so many.

        Raises:
            InputError: the filter is not plain JSON, or the limit is below 0.
        """
        pages = _Pages(convert.wanted_of(config, filter, before), limit)
        while pages.more:
            yield from pages.turned(self._memori.read_sync(partial(self._page, pages=pages)))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """`list` for the event loop."""
        pages = _Pages(convert.wanted_of(config, filter, before), limit)
        while pages.more:
            page = await self._memori.read(partial(self._page, pages=pages))
            for found in pages.turned(page):
                yield found

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread."""
        self._memori.commit_sync(self._deleting(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """`delete_thread` for the event loop."""
        await self._memori.commit(self._deleting(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints with these `run_id`s in their metadata, one thread a commit.

        A delta channel of a later checkpoint that needs them cannot be rebuilt afterwards.
        """
        for run_id in run_ids:
            find = partial(checkpoint_upkeep.threads_of_run, run_id=run_id)
            for thread in self._memori.read_sync(find):
                self._memori.commit_sync(_deleting_run(thread, run_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """`delete_for_runs` for the event loop."""
        for run_id in run_ids:
            find = partial(checkpoint_upkeep.threads_of_run, run_id=run_id)
            for thread in await self._memori.read(find):
                await self._memori.commit(_deleting_run(thread, run_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all that is stored of a thread; what the target has already stays as it is."""
        self._memori.commit_sync(_copying(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """`copy_thread` for the event loop."""
        await self._memori.commit(_copying(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Give back the space of threads, one a commit.

        Args:
            strategy: `keep_latest` keeps of each namespace the latest checkpoint, and those before
                it from which a delta channel of it is rebuilt; `delete` keeps nothing.

        Raises:
            InputError: another strategy.
        """
        for write in self._pruning(thread_ids, strategy):
            self._memori.commit_sync(write)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """`prune` for the event loop."""
        for write in self._pruning(thread_ids, strategy):
            await self._memori.commit(write)

    # What the methods of both kinds share

    def _packed(self, new: Serialised, *, whole: bool = False) -> NewCheckpoint:
        def earlier(channel: str) -> Earlier | None:
            return None if whole else self._earlier.get((self._memori.tenant, *new.place, channel))

        return NewCheckpoint(
            place=new.place,
            checkpoint_id=new.checkpoint_id,
            parent_id=new.parent_id,
            run_id=new.run_id,
            metadata=new.metadata,
            head=new.head,
            extra=new.extra,
            values={at: pack(value, earlier(at[0])) for at, value in new.values.items()},
        )

    def _stored(
        self, new: Serialised, packed: NewCheckpoint, config: RunnableConfig
    ) -> RunnableConfig:
        """Let later values build on what is durable now; the config that names the checkpoint."""
        for (channel, version), value in new.values.items():
            chain = packed.values[channel, version].chain
            key = (self._memori.tenant, *new.place, channel)
            self._earlier.remember(key, Earlier(version, value.data, chain))
        thread_id = convert.configurable(config)["thread_id"]
        return convert.config_of(new.place, new.checkpoint_id, thread_id)

    def _writing(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, path: str
    ) -> Commit[None]:
        checkpoint_id = convert.checkpoint_id(config)
        if checkpoint_id is None:
            raise InputError("writes need config['configurable']['checkpoint_id']")
        task_id, task_path = convert.task(task_id, path)
        rows = [
            Write(number, channel, pack(value))
            for number, channel, value in convert.numbered(self.serde, writes)
        ]
        return partial(
            checkpoint_rows.put_writes,
            place=convert.place_of(config),
            checkpoint_id=checkpoint_id,
            task_id=task_id,
            task_path=task_path,
            writes=rows,
        )

    def _getting(self, config: RunnableConfig) -> Commit[CheckpointTuple | None]:
        place, checkpoint_id = convert.place_of(config), convert.checkpoint_id(config)

        def get(tx: Tx) -> CheckpointTuple | None:
            stored = checkpoint_rows.get(tx, place, checkpoint_id)
            return None if stored is None else convert.tuple_of(self.serde, stored)

        return get

    def _history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Commit[dict[str, DeltaChannelHistory]]:
        place, checkpoint_id = convert.place_of(config), convert.checkpoint_id(config)

        def read(tx: Tx) -> dict[str, DeltaChannelHistory]:
            found = checkpoint_history.histories(tx, place, checkpoint_id, channels)
            return {name: convert.history_of(self.serde, each) for name, each in found.items()}

        return read

    def _page(self, tx: Tx, *, pages: _Pages) -> Sequence[CheckpointTuple]:
        found = checkpoint_rows.page(tx, pages.wanted, pages.last, pages.limit)
        return [convert.tuple_of(self.serde, stored) for stored in found]

    def _deleting(self, thread_id: str) -> Commit[None]:
        return partial(checkpoint_upkeep.delete_thread, thread_id=convert.thread_id(thread_id))

    def _pruning(self, thread_ids: Sequence[str], strategy: str) -> Iterator[Commit[None]]:
        if strategy not in ("keep_latest", "delete"):
            raise InputError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r:.40}")
        prune = (
            checkpoint_upkeep.delete_thread
            if strategy == "delete"
            else checkpoint_upkeep.keep_latest
        )
        for thread_id in thread_ids:
            yield partial(prune, thread_id=convert.thread_id(thread_id))


class _Pages:
    """How far a listing has come."""

    def __init__(self, wanted: Wanted, limit: int | None) -> None:
        if limit is not None and limit < 0:
            raise InputError(f"limit must be 0 or more, not {limit}")
        self.wanted = wanted
        self.last: tuple[str, str, str] | None = None
        self._left = limit
        self.more = limit != 0

    @property
    def limit(self) -> int:
        """How many the next page may have."""
        return _PAGE if self._left is None else min(_PAGE, self._left)

    def turned(self, page: Sequence[CheckpointTuple]) -> Sequence[CheckpointTuple]:
        """The page itself, after which the next one follows."""
        if self._left is not None:
            self._left -= len(page)
        self.more = bool(page) and self._left != 0
        if page:
            last = convert.configurable(page[-1].config)
            self.last = (last["checkpoint_id"], last["thread_id"], last["checkpoint_ns"])
        return page


def _deleting_run(thread_id: str, run_id: str) -> Commit[None]:
    return partial(checkpoint_upkeep.delete_run, thread_id=thread_id, run_id=run_id)


def _copying(source: str, target: str) -> Commit[None]:
    return partial(
        checkpoint_upkeep.copy_thread,
        source=convert.thread_id(source),
        target=convert.thread_id(target),
    )
