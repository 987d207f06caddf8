"""What a tool of an MCP server answered, in plain types and bounds."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types

from infrastructure.errors import AgentError
from infrastructure.text import cut, strip_control

MAX_TEXT: Final = 100_000
_MAX_FILE: Final = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool answered; others wrote it, so that it is data.

    Attributes:
        text: its texts, stripped of control characters and cut.
        structured: its structured content; None without.
        files: (media type, bytes) of the images and other files that came along.
        failed: whether the tool calls it an error.
    """

    text: str
    structured: dict[str, Any] | None
    files: tuple[tuple[str, bytes], ...]
    failed: bool


def answer_of(result: types.CallToolResult) -> ToolAnswer:
    """The answer of a call.

    Raises:
        AgentError: a file is too large, or no base64.
    """
    texts: list[str] = []
    files: list[tuple[str, bytes]] = []
    for block in result.content:
        if isinstance(block, types.TextContent):
            texts.append(block.text)
        elif isinstance(block, types.ImageContent | types.AudioContent):
            files.append((block.mime_type, _decoded(block.data)))
        elif isinstance(block, types.EmbeddedResource):
            contents = block.resource
            if isinstance(contents, types.TextResourceContents):
                texts.append(contents.text)
            else:
                files.append((contents.mime_type or "", _decoded(contents.blob)))
        else:
            texts.append(str(block.uri))
    return ToolAnswer(
        text=cut(strip_control("\n\n".join(texts)), MAX_TEXT),
        structured=result.structured_content,
        files=tuple(files),
        failed=bool(result.is_error),
    )


def _decoded(data: str) -> bytes:
    if len(data) > _MAX_FILE * 4 // 3 + 4:
        raise AgentError(f"the tool sent a file of more than {_MAX_FILE:,} bytes")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise AgentError("the tool sent a file that is no base64") from error
