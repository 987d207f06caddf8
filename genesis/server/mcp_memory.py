"""What the MCP tools do, over the handle of one caller's tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
from langgraph.store.base import SearchItem

from genesis.server import mcp_models as m
from genesis.server.mcp_places import (
    dotted,
    labels,
    memory_uri,
    metadata_of,
    session_namespace,
    text_of,
)
from genesis.server.mcp_summary import summarise
from infrastructure.callers import Caller
from infrastructure.clock import new_id
from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import InputError, VersionConflict
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.present import MemoriItem, MemoriSearchItem
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.orchestrator_memory_tool import MemoryTool
from infrastructure.memory.workflow_memory import APP, SESSION, WorkflowMemory
from infrastructure.text import cut, strip_control

UNDO_S: Final = 86_400
_RETRIES: Final = 8
_MAX_ANSWER: Final = 200_000
_MAX_SOURCE_BYTES: Final = 500


class CallerMemory:
    """The memory of a caller's tenant; what it writes is marked `mcp:<caller's name>`.

    Args:
        memori: the open database, of any tenant.
        caller: who asks; its tenant alone decides what is seen.
        embedder: searches by meaning too; None by words alone.
    """

    def __init__(self, memori: Memori, caller: Caller, embedder: Embedder | None) -> None:
        own = memori.for_tenant(caller.tenant)
        self._clock = own.clock
        self.store = MemoriStore(
            own,
            embedder=embedder,
            provenance=Provenance(source=source_of(caller)),
            undo_s=UNDO_S,
        )
        self.workflows = WorkflowMemory(own)

    async def add(self, asked: m.AddArguments) -> m.Added:
        """Store a memory; the same text under the same key is stored once.

        Raises:
            InputError: the key holds another text.
        """
        namespace = _place(asked)
        key = asked.key or new_id(self._clock)
        value = {"text": asked.text, "metadata": asked.metadata}
        try:
            version = await self.store.awrite(namespace, key, value, expected_version=0)
            added = True
        except VersionConflict as error:
            known = await self.store.aget(namespace, key)
            if known is None or known.value != value:
                raise InputError(
                    f"the key {key!r} in {dotted(namespace)!r} holds another memory"
                    f"{_at_version(known)}: choose another key, or call `update`"
                ) from error
            version, added = known.version, False
        return m.Added(
            uri=memory_uri(namespace, key),
            namespace=dotted(namespace),
            key=key,
            version=version,
            added=added,
        )

    async def get(self, asked: m.GetArguments) -> m.Memory:
        """One memory with its whole text.

        Raises:
            InputError: there is none.
        """
        namespace = _place(asked)
        item = await self.store.aget(namespace, asked.key)
        if item is None:
            raise _missing(namespace, asked.key)
        return shown(item, m.MAX_TEXT)

    async def update(self, asked: m.UpdateArguments) -> m.Updated:
        """Change a memory's text, metadata or both.

        Raises:
            InputError: there is none.
            VersionConflict: it was changed since it was read.
        """
        namespace = _place(asked)
        for _ in range(_RETRIES):
            item = await self.store.aget(namespace, asked.key)
            if item is None:
                raise _missing(namespace, asked.key)
            _expect(asked.expected_version, item)
            value = dict(item.value)
            if asked.text is not None:
                value["text"] = asked.text
            if asked.metadata is not None:
                value["metadata"] = asked.metadata
            try:
                version = await self.store.awrite(
                    namespace, asked.key, value, expected_version=item.version
                )
            except VersionConflict:
                continue  # somebody was quicker: what was not asked to change is read again
            uri = memory_uri(namespace, asked.key)
            return m.Updated(uri=uri, namespace=dotted(namespace), key=asked.key, version=version)
        raise VersionConflict(f"{asked.key!r} is being changed by others all the time: try again")

    async def delete(self, asked: m.DeleteArguments) -> m.Deleted:
        """Delete a memory; it can be brought back for a day.

        Raises:
            VersionConflict: it was changed since it was read.
        """
        namespace = _place(asked)
        item = await self.store.aget(namespace, asked.key)
        until: datetime | None = None
        if item is not None:
            _expect(asked.expected_version, item)
            await self.store.adelete(namespace, asked.key, expected_version=asked.expected_version)
            now = datetime.fromtimestamp(self._clock.now(), UTC)
            until = (now + timedelta(seconds=UNDO_S)).replace(microsecond=0)
        return m.Deleted(
            uri=memory_uri(namespace, asked.key),
            namespace=dotted(namespace),
            key=asked.key,
            deleted=item is not None,
            restorable_until=until,
        )

    async def restore(self, asked: m.GetArguments) -> m.Updated:
        """Bring back what the last delete of a key took.

        Raises:
            InputError: nothing is kept of it.
            VersionConflict: the key holds a newer memory.
        """
        namespace = _place(asked)
        version = await self.store.aundelete(namespace, asked.key)
        if version is None:
            raise InputError(
                f"nothing deleted is kept of {asked.key!r} in {dotted(namespace)!r}: a memory can "
                "be brought back for a day"
            )
        uri = memory_uri(namespace, asked.key)
        return m.Updated(uri=uri, namespace=dotted(namespace), key=asked.key, version=version)

    async def retrieve(self, asked: m.RetrieveArguments) -> m.Memories:
        """The memories that match a query, best first."""
        found = await self.store.asearch(
            _place(asked),
            query=asked.query,
            filter=asked.filter or None,
            since=asked.since,
            limit=asked.limit,
        )
        # After the matches the store gives the rest, unranked.
        matches = [item for item in found if item.score is not None]
        return m.Memories(memories=_shown_all(matches, asked.max_chars))

    async def filter(self, asked: m.FilterArguments) -> m.FilteredMemories:
        """The memories that meet conditions, the last written first, in pages."""
        page = await self.store.apage(
            _place(asked),
            filter=asked.criteria or None,
            since=asked.since,
            limit=asked.limit,
            cursor=asked.cursor,
        )
        memories = _shown_all(page.items, asked.max_chars)
        return m.FilteredMemories(memories=memories, next_cursor=page.cursor)

    async def summary(self, asked: m.SummaryArguments) -> m.Summary:
        """Figures of a namespace, and its most telling sentences."""
        return await summarise(self.store, _place(asked), asked.sentences, asked.since)

    async def patterns(self, asked: m.PatternsArguments) -> m.Patterns:
        """Step lists that work for a task type, best first."""
        found = await MemoryTool(self.workflows).retrieve_workflow_patterns(
            asked.task_type,
            asked.min_success_rate,
            SESSION if asked.session else APP,
            asked.limit,
            session_id=asked.session,
        )
        patterns = [
            m.Pattern(
                steps=each.workflow_steps,
                success_rate=each.success_rate,
                executions=each.total_executions,
                successes=each.successful_executions,
                avg_duration_s=each.avg_duration,
                avg_cost_usd=each.avg_cost,
                last_used=datetime.fromtimestamp(each.last_used, UTC),
                supporting_runs=each.supporting_runs,
            )
            for each in found
        ]
        return m.Patterns(task_type=asked.task_type, patterns=patterns)

    async def metrics(self, asked: m.MetricsArguments) -> m.Metrics:
        """What was learnt, in figures."""
        since = None if asked.since is None else asked.since.timestamp()
        found = await self.workflows.learning_metrics(asked.task_type, since, asked.session)
        return m.Metrics.model_validate(found)


def source_of(caller: Caller) -> str:
    """Under what source the memories are kept that a caller writes."""
    return f"mcp:{caller.name}".encode()[:_MAX_SOURCE_BYTES].decode(errors="ignore")


def _shown_all(items: Sequence[SearchItem], max_chars: int) -> list[m.Memory]:
    """Found items; together their texts have no more than an answer may."""
    share = min(max_chars, _MAX_ANSWER // max(len(items), 1))
    return [shown(cast("MemoriSearchItem", item), share) for item in items]


def shown(item: MemoriItem | MemoriSearchItem, max_chars: int) -> m.Memory:
    """A stored item as it is shown: control characters stripped, text cut, metadata bounded."""
    whole = strip_control(text_of(item.value))
    metadata = metadata_of(item.value)
    too_much = len(orjson.dumps(metadata)) > 2 * m.MAX_METADATA_BYTES
    return m.Memory(
        uri=memory_uri(item.namespace, item.key),
        namespace=dotted(item.namespace),
        key=item.key,
        text=cut(whole, max_chars),
        truncated=len(whole) > max_chars or too_much,
        metadata={} if too_much else metadata,
        version=item.version,
        created_at=item.created_at,
        updated_at=item.updated_at,
        source=item.provenance.source,
        verified=item.provenance.verified,
        score=getattr(item, "score", None),
    )


def _place(asked: Any) -> tuple[str, ...]:
    if asked.session is not None:
        return session_namespace(asked.session)
    return labels(asked.namespace)


def _expect(version: int | None, item: MemoriItem) -> None:
    if version is not None and version != item.version:
        raise VersionConflict(
            f"{item.key!r} is at version {item.version} now, not {version}: read it again and "
            "decide anew"
        )


def _missing(namespace: tuple[str, ...], key: str) -> InputError:
    return InputError(
        f"there is no memory {key!r} in {dotted(namespace)!r}: `filter` lists what there is, `add` "
        "makes a new one, `restore` brings a deleted one back"
    )


def _at_version(item: MemoriItem | None) -> str:
    return "" if item is None else f" (version {item.version})"
