"""The MCP tools: what each takes, gives and does to the world, and how its answer is put."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import mcp_types as types
from langgraph.store.base import InvalidNamespaceError
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from genesis.server import mcp_models as m
from genesis.server.mcp_memory import CallerMemory
from infrastructure.errors import GenesisError
from infrastructure.text import DATA_RULE, counted, fence, one_line, strip_control

log = logging.getLogger("genesis.server.mcp")

_READS: Final = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS: Final = types.ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
_RESTORES: Final = types.ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_CHANGES: Final = types.ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
_MAX_PROBLEMS: Final = 5


@dataclass(frozen=True, slots=True)
class MemoryTool:
    """One tool.

    Attributes:
        arguments, result: the models of its input and output schemas.
        run: does it.
        say: the answer as text for a chat model.
    """

    title: str
    description: str
    annotations: types.ToolAnnotations
    arguments: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[CallerMemory, Any], Awaitable[BaseModel]]
    say: Callable[[Any], str]

    def shown_as(self, name: str) -> types.Tool:
        """The tool as clients list it."""
        return types.Tool(
            name=name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=self.annotations,
        )


async def call(
    tools: Mapping[str, MemoryTool], memory: CallerMemory, asked: types.CallToolRequestParams
) -> tuple[types.CallToolResult, BaseModel | None]:
    """Call a tool: its result for the client, and as the model that it is (None for an error).

    Raises:
        MCPError: there is no such tool.
    """
    tool = tools.get(asked.name)
    if tool is None:
        known = ", ".join(tools)
        raise MCPError(
            types.INVALID_PARAMS, f"unknown tool {one_line(asked.name, 80)!r}; there are: {known}"
        )
    try:
        arguments = tool.arguments.model_validate(asked.arguments or {})
        result = await tool.run(memory, arguments)
    except ValidationError as error:
        return _failure(f"{asked.name}: {_problems(error)}"), None
    except (GenesisError, InvalidNamespaceError) as error:
        return _failure(f"{asked.name}: {error}"), None
    except Exception:  # what breaks one call must not end the connection; the log has the cause
        log.exception("the MCP tool %s failed", asked.name)
        return _failure(f"{asked.name} failed inside the server; its log says why"), None
    return (
        types.CallToolResult(
            content=[types.TextContent(text=tool.say(result))],
            structured_content=result.model_dump(mode="json"),
        ),
        result,
    )


def _failure(message: str) -> types.CallToolResult:
    text = strip_control(message)[:2_000]
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = [
        f"{'.'.join(str(part) for part in each['loc']) or 'the arguments'}: {each['msg']}"
        for each in found[:_MAX_PROBLEMS]
    ]
    more = len(found) - len(said)
    return "; ".join(said) + (f"; and {counted(more, 'more problem')}" if more else "")


def _json(result: BaseModel) -> str:
    return result.model_dump_json()


def _memory_text(memory: m.Memory, limit: int) -> str:
    by = f" by {memory.source}" if memory.source else ""
    checked = ", verified" if memory.verified else ""
    facts = (
        f"key {memory.key!r} in {memory.namespace!r}, version {memory.version}, "
        f"{memory.updated_at:%Y-%m-%d}{by}{checked}"
    )
    return f"{one_line(facts, 1_000)}\n{fence('memory', memory.text, limit)}"


def say_memory(memory: m.Memory) -> str:
    """One memory for a chat model: fenced as data."""
    return f"{DATA_RULE}\n\n{_memory_text(memory, m.MAX_TEXT)}"


def say_memories(found: m.Memories) -> str:
    """Memories for a chat model: fenced as data, the best or the latest first."""
    if not found.memories:
        return "Nothing was found."
    texts = [_memory_text(memory, len(memory.text)) for memory in found.memories]
    number = "1 memory" if len(texts) == 1 else f"{len(texts)} memories"
    said = [f"{number}. {DATA_RULE}", *texts]
    cursor = getattr(found, "next_cursor", None)
    if cursor is not None:
        said.append(f"There are more: cursor={cursor!r}")
    return "\n\n".join(said)


def _say_summary(summary: m.Summary) -> str:
    least = "" if summary.counted_all else "more than "
    where = f" under {summary.namespace!r}" if summary.namespace else ""
    head = f"{least}{summary.count:,} memories{where}"
    if summary.newest is None:
        return f"{head}."
    of = ", ".join(f"{name}: {count:,}" for name, count in summary.namespaces.items())
    extract = "\n".join(f"- {sentence.text}" for sentence in summary.extract)
    return "\n\n".join(
        [
            f"{head}, the latest of {summary.newest:%Y-%m-%d %H:%M} UTC; by namespace: {of}.",
            f"Sentences of the latest {summary.read:,}, word for word. {DATA_RULE}",
            fence("memories", extract, m.MAX_TEXT),
        ]
    )


TOOLS: Final[Mapping[str, MemoryTool]] = MappingProxyType(
    {
        "add": MemoryTool(
            "Remember",
            "Store a memory durably: a fact, a preference, a decision, a lesson. Returns its key "
            "and version. Give a key of your own to store once even if the call is repeated.",
            _ADDS,
            m.AddArguments,
            m.Added,
            CallerMemory.add,
            _json,
        ),
        "get": MemoryTool(
            "Read one memory",
            "One memory by its key, with its whole text and its version.",
            _READS,
            m.GetArguments,
            m.Memory,
            CallerMemory.get,
            say_memory,
        ),
        "update": MemoryTool(
            "Correct a memory",
            "Replace the text or the metadata of a memory. With expected_version nothing is "
            "overwritten that somebody else changed meanwhile.",
            _CHANGES,
            m.UpdateArguments,
            m.Updated,
            CallerMemory.update,
            _json,
        ),
        "delete": MemoryTool(
            "Delete a memory",
            "Delete a memory by its key. For a day `restore` can bring it back.",
            _CHANGES,
            m.DeleteArguments,
            m.Deleted,
            CallerMemory.delete,
            _json,
        ),
        "restore": MemoryTool(
            "Undo a delete",
            "Bring back the memory that the last delete of this key took.",
            _RESTORES,
            m.GetArguments,
            m.Updated,
            CallerMemory.restore,
            _json,
        ),
        "retrieve": MemoryTool(
            "Search memories",
            "The memories that fit a question or a topic, best first, by words and by meaning. "
            "Ask before a task what is known about it.",
            _READS,
            m.RetrieveArguments,
            m.Memories,
            CallerMemory.retrieve,
            say_memories,
        ),
        "filter": MemoryTool(
            "List memories",
            "The memories that meet conditions on their fields, the last written first, in pages. "
            "Without conditions it lists all.",
            _READS,
            m.FilterArguments,
            m.FilteredMemories,
            CallerMemory.filter,
            say_memories,
        ),
        "summary": MemoryTool(
            "Summarise memories",
            "What is under a namespace or a session: how many memories, since when, and their most "
            "telling sentences word for word. No model writes it.",
            _READS,
            m.SummaryArguments,
            m.Summary,
            CallerMemory.summary,
            _say_summary,
        ),
        "patterns": MemoryTool(
            "What works for a task",
            "Step lists that succeeded for a type of task, best first: success rate, duration and "
            "cost over all executions, and runs that support each.",
            _READS,
            m.PatternsArguments,
            m.Patterns,
            CallerMemory.patterns,
            _json,
        ),
        "metrics": MemoryTool(
            "Learning metrics",
            "What was executed and learnt: success rates by task type, how often memory was used "
            "and what it saved, with 95 % intervals.",
            _READS,
            m.MetricsArguments,
            m.Metrics,
            CallerMemory.metrics,
            _json,
        ),
    }
)
