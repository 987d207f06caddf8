"""The one MCP prompt: what is remembered that bears on a task, before it is begun."""

from __future__ import annotations

from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from genesis.server import mcp_models as m
from genesis.server.mcp_memory import CallerMemory
from genesis.server.mcp_tools import say_memories
from infrastructure.errors import InputError
from infrastructure.text import cut, strip_control

_MAX_TASK: Final = 4_000

RECALL: Final = types.Prompt(
    name="recall",
    title="Recall before a task",
    description="The task, with the memories that bear on it as data.",
    arguments=[
        types.PromptArgument(name="task", description="What is to be done.", required=True),
        types.PromptArgument(
            name="namespace", description="Only memories under it.", required=False
        ),
    ],
)


async def recall(memory: CallerMemory, arguments: dict[str, str]) -> types.GetPromptResult:
    """The prompt with its memories.

    Raises:
        MCPError: the task is missing, or the namespace is none.
    """
    task = strip_control(arguments.get("task", "")).strip()
    if not task:
        raise MCPError(types.INVALID_PARAMS, "the prompt 'recall' needs the argument 'task'")
    try:
        namespace = arguments.get("namespace", "")
        asked = m.RetrieveArguments(query=cut(task, _MAX_TASK), namespace=namespace)
        found = await memory.retrieve(asked)
    except (InputError, ValueError) as error:
        raise MCPError(types.INVALID_PARAMS, f"recall: {error}") from error
    text = (
        f"{cut(task, _MAX_TASK)}\n\nWhat is remembered that may bear on it: {say_memories(found)}"
    )
    message = types.PromptMessage(role="user", content=types.TextContent(text=text))
    return types.GetPromptResult(description=RECALL.description, messages=[message])
