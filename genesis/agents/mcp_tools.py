"""Tools of MCP servers for agents: as one agent with a skill a tool, or as LangChain tools.

What a server says of its tools, and what they answer, was written by strangers: it is data, which
is stripped, cut, and fenced where a chat model reads it.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import mcp_types as types

from genesis.agents.adapters import FunctionAgent
from genesis.agents.assignment import Assignment
from genesis.agents.mcp_answer import ToolAnswer
from genesis.agents.mcp_arguments import arguments_for, problem_with
from genesis.agents.mcp_connection import McpConnection
from genesis.agents.mcp_server import McpServer
from genesis.tasks.task import TaskOutput, Usage
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import AgentError, InputError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.models.chat import ChatModels
from infrastructure.text import fence, one_line

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ["McpAgent", "McpServer", "tools_of"]

log = logging.getLogger("genesis.agents.mcp")

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_MAX_DESCRIPTION: Final = 400
_MAX_RESULT: Final = 20_000
_MAX_DATUM: Final = 1_000_000


class McpAgent(FunctionAgent):
    """An MCP server's tools as one agent: each tool is an operation.

    A tool's arguments are the task's inputs of the same names. Where a required one is missing, a
    chat model fills it in from the task's words, if there is one.

    Make it with `connect`, and register it: `orchestrator.register_agent(agent)`. The orchestrator
    closes it.
    """

    def __init__(
        self,
        card: AgentCard,
        connection: McpConnection,
        tools: Mapping[str, types.Tool],
        models: ChatModels | None,
    ) -> None:
        super().__init__(card, self._answer)
        self._connection = connection
        self._tools = dict(tools)
        self._models = models

    @classmethod
    async def connect(
        cls,
        server: McpServer,
        *,
        name: str = "",
        only: Iterable[str] = (),
        task_types: Iterable[str] = (),
        models: ChatModels | None = None,
        max_concurrency: int = 4,
    ) -> McpAgent:
        """Connect to a server and read its tools.

        Args:
            name: of the agent; the command's or the host's unless given.
            only: the tools that are offered; all unless given.
            task_types: task types that they serve; empty means any.
            models: fills in arguments that a task's inputs do not have; None fills in nothing, and
                the tools' required arguments are then data that the request must give.
            max_concurrency: calls at once.

        Raises:
            InputError: the server has no such tool, or none that can be used.
            AgentUnavailable, AgentError: the server cannot be used; the message says why.
        """
        connection = McpConnection(server)
        try:
            tools = _chosen(await connection.tools(), frozenset(only), str(server))
            skills = tuple(
                _skill(tool, tuple(task_types), with_model=models is not None)
                for tool in tools.values()
            )
        except BaseException:
            await connection.aclose()
            raise
        called = name or one_line(str(server), 80)
        card = AgentCard(
            called, f"Tools of the MCP server {called}.", skills, max_concurrency=max_concurrency
        )
        return cls(card, connection, tools, models)

    async def aclose(self) -> None:
        """End the connection, and the process that was started for it."""
        await self._connection.aclose()

    async def _answer(self, assignment: Assignment) -> TaskOutput:
        tool = self._tools.get(assignment.task.operation)
        if tool is None:
            raise AgentError(
                f"{self.card.name} has no tool {assignment.task.operation!r}; it has: "
                + ", ".join(self._tools)
            )
        arguments, usage = await arguments_for(tool, assignment, self._models)
        answer = await self._connection.call(tool.name, arguments)
        if answer.failed:
            raise AgentError(f"{tool.name} failed: {one_line(answer.text, 1_000)}")
        return _output(answer, assignment, usage)


@asynccontextmanager
async def tools_of(
    server: McpServer, *, only: Iterable[str] = ()
) -> AsyncGenerator[list[BaseTool]]:
    """A server's tools as LangChain tools, for graphs and agents of your own.

    Their answers are fenced; put `infrastructure.text.DATA_RULE` into the system prompt. The
    connection ends with the context.

    Raises:
        InputError: the server has no such tool, or none that can be used.
        AgentUnavailable, AgentError: the server cannot be used; the message says why.
    """
    from langchain_core.tools import StructuredTool

    connection = McpConnection(server)
    try:
        tools = _chosen(await connection.tools(), frozenset(only), str(server))
        yield [
            StructuredTool(
                name=tool.name.replace(".", "_"),
                description=_described(tool),
                args_schema=tool.input_schema,
                coroutine=_caller(connection, tool),
                response_format="content_and_artifact",
                handle_tool_error=True,
            )
            for tool in tools.values()
        ]
    finally:
        await connection.aclose()


def _caller(
    connection: McpConnection, tool: types.Tool
) -> Callable[..., Coroutine[Any, Any, tuple[str, dict[str, Any] | None]]]:
    from langchain_core.tools import ToolException

    async def call(**arguments: Any) -> tuple[str, dict[str, Any] | None]:
        problem = problem_with(arguments, tool)
        if problem:
            raise ToolException(f"{tool.name}: {problem}")
        try:
            answer = await connection.call(tool.name, arguments)
        except AgentError as error:
            raise ToolException(str(error)) from error
        said = fence(f"tool {tool.name}", answer.text, _MAX_RESULT)
        if answer.failed:
            raise ToolException(f"The tool failed.\n{said}")
        return said, answer.structured

    return call


def _chosen(
    tools: Sequence[types.Tool], only: frozenset[str], server: str
) -> dict[str, types.Tool]:
    """The tools that can be used, by name; the first of those that share one."""
    usable: dict[str, types.Tool] = {}
    for tool in tools:
        required = _required(tool)
        if not _NAME.fullmatch(tool.name) or not all(_NAME.fullmatch(each) for each in required):
            log.warning("a tool of %s has no usable name: %.200r", server, tool.name)
        elif not only or tool.name in only:
            usable.setdefault(tool.name, tool)
    missing = sorted(only - set(usable))
    if missing:
        offered = one_line(", ".join(tool.name for tool in tools), 500) or "none"
        raise InputError(f"{server} has no tool {', '.join(missing)}; it has: {offered}")
    if not usable:
        raise InputError(f"{server} offers no tool that can be used")
    return usable


def _required(tool: types.Tool) -> tuple[str, ...]:
    required: object = tool.input_schema.get("required")
    if not isinstance(required, list):
        return ()
    return tuple(str(name) for name in cast("list[object]", required))


def _skill(tool: types.Tool, task_types: tuple[str, ...], *, with_model: bool) -> Skill:
    return Skill(
        id=tool.name,
        description=_described(tool),
        task_types=task_types,
        # A model finds them in the task's words.
        requires=() if with_model else _required(tool),
        needs_model=with_model and bool(_required(tool)),
    )


def _described(tool: types.Tool) -> str:
    said = tool.description or tool.title or tool.name
    return one_line(said, _MAX_DESCRIPTION) or tool.name


def _output(answer: ToolAnswer, assignment: Assignment, usage: Usage) -> TaskOutput:
    produces = assignment.task.produces
    value: JsonValue = answer.text
    structured = answer.structured
    if structured is not None:
        if len(json.dumps(structured)) > _MAX_DATUM:
            raise AgentError(f"the tool answered more than {_MAX_DATUM:,} characters of data")
        value = structured
    named: JsonObject = dict.fromkeys(produces, value)
    if structured is not None and len(produces) > 1:
        named = {name: structured[name] for name in produces if name in structured}
    written: list[str] = []
    for number, (media_type, content) in enumerate(answer.files):
        suffix = mimetypes.guess_extension(media_type) or ".bin"
        path = assignment.artifacts_dir / f"{assignment.task.operation}-{number}{suffix}"
        path.write_bytes(content)
        written.append(str(path))
    return TaskOutput(text=answer.text, data=named, artifacts=tuple(written), usage=usage)
