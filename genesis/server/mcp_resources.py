"""The memory as MCP resources: listed in pages, read as JSON, their names completed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import mcp_types as types
import orjson
from mcp.shared.exceptions import MCPError

from genesis.server import mcp_models as m
from genesis.server.mcp_memory import CallerMemory
from genesis.server.mcp_places import (
    ITEM_TEMPLATE,
    METRICS_URI,
    PATTERNS_TEMPLATE,
    dotted,
    labels,
    memory_at,
    memory_uri,
    patterns_uri,
    task_type_at,
)
from infrastructure.errors import InputError
from infrastructure.memory.memori.present import MemoriItem
from infrastructure.text import one_line

_JSON: Final = "application/json"
_PAGE: Final = 100
_MAX_TASK_TYPES: Final = 100
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_COMPLETIONS: Final = 100

TEMPLATES: Final = (
    types.ResourceTemplate(
        name="item",
        title="A memory",
        uri_template=ITEM_TEMPLATE,
        description="One memory: its whole value, version, times and who wrote it.",
        mime_type=_JSON,
    ),
    types.ResourceTemplate(
        name="patterns",
        title="What works for a task",
        uri_template=PATTERNS_TEMPLATE,
        description="Step lists that succeeded for a task type, best first.",
        mime_type=_JSON,
    ),
)


async def list_resources(memory: CallerMemory, cursor: str | None) -> types.ListResourcesResult:
    """A page of what can be read: metrics, patterns by task type, then memories, latest first.

    Raises:
        MCPError: the cursor is none of ours.
    """
    listed = [] if cursor is not None else await _figures(memory)
    try:
        page = await memory.store.apage((), limit=_PAGE, cursor=cursor)
    except InputError as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error
    for item in page.items:
        uri = memory_uri(item.namespace, item.key)
        listed.append(
            types.Resource(
                uri=uri,
                name=one_line(item.key),
                description=one_line(f"A memory in {dotted(item.namespace)}"),
                mime_type=_JSON,
                annotations=types.Annotations(last_modified=item.updated_at.isoformat()),
            )
        )
    return types.ListResourcesResult(resources=listed, next_cursor=page.cursor)


async def _figures(memory: CallerMemory) -> list[types.Resource]:
    metrics = types.Resource(
        uri=METRICS_URI,
        name="metrics",
        title="Learning metrics",
        description="What was executed and learnt, in figures.",
        mime_type=_JSON,
    )
    patterns = [
        types.Resource(
            uri=patterns_uri(name),
            name=one_line(f"patterns of {name}"),
            description=one_line(f"Step lists that succeeded for {name}, best first."),
            mime_type=_JSON,
        )
        for name in await _task_types(memory)
    ]
    return [metrics, *patterns]


async def _task_types(memory: CallerMemory) -> list[str]:
    known = sorted({count.task_type for count in await memory.workflows.counts()})
    return known[:_MAX_TASK_TYPES]


async def read_resource(memory: CallerMemory, uri: str) -> types.ReadResourceResult:
    """The JSON of a resource.

    Raises:
        MCPError: there is none at this URI, or it is too large for one answer.
    """
    content = await _content(memory, uri)
    if content is None:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    if len(content) > _MAX_BYTES:
        raise MCPError(
            types.INVALID_PARAMS,
            f"the resource has {len(content):,} bytes: too large",
            {"uri": uri},
        )
    return types.ReadResourceResult(
        contents=[types.TextResourceContents(uri=uri, mime_type=_JSON, text=content.decode())]
    )


async def _content(memory: CallerMemory, uri: str) -> bytes | None:
    try:
        if uri == METRICS_URI:
            return _dumped(await memory.metrics(m.MetricsArguments()))
        task_type = task_type_at(uri)
        if task_type is not None:
            return _dumped(await memory.patterns(m.PatternsArguments(task_type=task_type)))
        place = memory_at(uri)
        item = None if place is None else await memory.store.aget(*place)
    except ValueError:  # a name that nothing can have: there is nothing there
        return None
    except InputError:
        return None
    return None if item is None else _item(item)


def _dumped(found: m.Metrics | m.Patterns) -> bytes:
    return found.model_dump_json().encode()


def _item(item: MemoriItem) -> bytes:
    return orjson.dumps(
        {
            "namespace": dotted(item.namespace),
            "key": item.key,
            "value": item.value,
            "version": item.version,
            "created_at": item.created_at,
            "updated_at": item.updated_at,
            "provenance": {
                "source": item.provenance.source,
                "run_id": item.provenance.run_id,
                "verified": item.provenance.verified,
            },
        }
    )


async def complete(memory: CallerMemory, asked: types.CompleteRequestParams) -> types.Completion:
    """Names that begin as what was typed: namespaces, keys of a namespace, task types."""
    name, typed = asked.argument.name, asked.argument.value
    if name == "namespace":
        found = await memory.store.alist_namespaces(limit=1_000)
        return _completion((dotted(namespace) for namespace in found), typed)
    if name == "task_type":
        return _completion(await _task_types(memory), typed)
    if name == "key":
        chosen = (asked.context.arguments or {}) if asked.context else {}
        try:
            within = labels(chosen.get("namespace", ""))
        except InputError:
            return _completion((), typed)
        items = await memory.store.asearch(within, limit=1_000)
        return _completion((item.key for item in items), typed)
    return _completion((), typed)


def _completion(names: Iterable[str], typed: str) -> types.Completion:
    found = sorted({name for name in names if name.startswith(typed)})
    return types.Completion(
        values=found[:_MAX_COMPLETIONS],
        total=len(found),
        has_more=len(found) > _MAX_COMPLETIONS,
    )
