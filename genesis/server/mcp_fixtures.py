"""What MCP's conformance kit asks a server for: tools, resources and prompts of fixed answers.

They are there only in test mode. Each of our handlers stays in place behind them, so that the kit
tests the server that is served otherwise. The texts are those that the kit expects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import PromptsListChanged, ServerEvent, ToolsListChanged
from pydantic import BaseModel

from genesis.server import mcp_fixture_dialogues as dialogues

Context = ServerRequestContext[Any, Any]
Answer = types.CallToolResult | types.InputRequiredResult
Publish = Callable[[ServerEvent], Awaitable[None]]
_Params = TypeVar("_Params", bound=BaseModel)

_PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/"
    "q842iQAAAABJRU5ErkJggg=="
)
_WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
_STEP_S: Final = 0.05
_NO_ARGUMENTS: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_HEADER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"value": {"type": "string", "x-mcp-header": "Value"}},
}
_SCHEMA_2020_12: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Tool:
    run: Callable[[Context, types.CallToolRequestParams], Awaitable[Answer]]
    schema: Mapping[str, Any] = field(default_factory=lambda: _NO_ARGUMENTS)


def _fixed(*content: types.ContentBlock, is_error: bool = False) -> _Tool:
    async def run(ctx: Context, params: types.CallToolRequestParams) -> Answer:
        return types.CallToolResult(content=list(content), is_error=is_error)

    return _Tool(run)


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(resource=contents)


async def _with_logging(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await dialogues.log(ctx, said)
        await anyio.sleep(_STEP_S)
    return dialogues.text_result("Three messages were logged.")


async def _with_progress(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    for progress in (0, 50, 100):
        await ctx.session.report_progress(progress, 100)
        await anyio.sleep(_STEP_S)
    return dialogues.text_result("Progress was reported.")


def _changing(publish: Publish, event: ServerEvent) -> _Tool:
    async def run(ctx: Context, params: types.CallToolRequestParams) -> Answer:
        await publish(event)
        return dialogues.text_result("Listeners were told.")

    return _Tool(run)


def _tools(publish: Publish) -> dict[str, _Tool]:
    image = types.ImageContent(data=_PNG, mime_type="image/png")
    return {
        "test_simple_text": _fixed(
            types.TextContent(text="This is a simple text response for testing.")
        ),
        "test_image_content": _fixed(image),
        "test_audio_content": _fixed(types.AudioContent(data=_WAV, mime_type="audio/wav")),
        "test_embedded_resource": _fixed(
            _embedded(
                "test://embedded-resource", "text/plain", "This is an embedded resource content."
            )
        ),
        "test_multiple_content_types": _fixed(
            types.TextContent(text="Multiple content types test:"),
            image,
            _embedded(
                "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
            ),
        ),
        "test_error_handling": _fixed(
            types.TextContent(text="This tool intentionally returns an error for testing"),
            is_error=True,
        ),
        "test_tool_with_logging": _Tool(_with_logging),
        "test_logging_tool": _Tool(_with_logging),
        "test_tool_with_progress": _Tool(_with_progress),
        "test_trigger_tool_change": _changing(publish, ToolsListChanged()),
        "test_trigger_prompt_change": _changing(publish, PromptsListChanged()),
        "json_schema_2020_12_tool": _Tool(
            _fixed(types.TextContent(text="The arguments were taken.")).run, _SCHEMA_2020_12
        ),
        "test_custom_header": _Tool(
            _fixed(types.TextContent(text="The header was checked.")).run, _HEADER_SCHEMA
        ),
        **{
            name: _Tool(run, schema or _NO_ARGUMENTS)
            for name, (run, schema) in dialogues.TOOLS.items()
        },
    }


_RESOURCES: Final = (
    types.Resource(
        uri="test://static-text",
        name="Static text",
        description="A text that never changes.",
        mime_type="text/plain",
    ),
    types.Resource(
        uri="test://static-binary",
        name="Static binary",
        description="An image that never changes.",
        mime_type="image/png",
    ),
)
_TEMPLATE: Final = types.ResourceTemplate(
    name="Test template",
    uri_template="test://template/{id}/data",
    description="Data of an id.",
    mime_type="application/json",
)


def _content(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    if uri == "test://static-text":
        said = "This is the content of the static text resource."
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=said)
    if uri == "test://static-binary":
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=_PNG)
    id_ = uri.removeprefix("test://template/").removesuffix("/data")
    if uri == f"test://template/{id_}/data":
        said = f'{{"id":"{id_}","templateTest":true,"data":"Data for ID: {id_}"}}'
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=said)
    return None


def _prompt(name: str, *arguments: str) -> types.Prompt:
    return types.Prompt(
        name=name,
        description="For tests.",
        arguments=[
            types.PromptArgument(name=each, description="For tests.", required=True)
            for each in arguments
        ],
    )


_PROMPTS: Final = (
    _prompt("test_simple_prompt"),
    _prompt("test_prompt_with_arguments", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "resourceUri"),
    _prompt("test_prompt_with_image"),
    _prompt("test_input_required_result_prompt"),
)


def _messages(name: str, given: Mapping[str, str]) -> Sequence[types.ContentBlock]:
    if name == "test_simple_prompt":
        return [types.TextContent(text="This is a simple prompt for testing.")]
    if name == "test_prompt_with_arguments":
        said = f"arg1='{given.get('arg1', '')}', arg2='{given.get('arg2', '')}'"
        return [types.TextContent(text=f"Prompt with arguments: {said}")]
    if name == "test_prompt_with_image":
        return [
            types.ImageContent(data=_PNG, mime_type="image/png"),
            types.TextContent(text="Please analyze the image above."),
        ]
    uri = given.get("resourceUri", "")
    return [
        _embedded(uri, "text/plain", "Embedded resource content for testing."),
        types.TextContent(text="Please process the embedded resource above."),
    ]


def install(server: Server[Any], publish: Publish) -> None:
    """Put the fixtures before the server's own answers.

    Args:
        publish: tells the caller's listeners of a change.
    """
    tools = _tools(publish)

    async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> BaseModel | None:
        tool = tools.get(params.name)
        return None if tool is None else await tool.run(ctx, params)

    async def read(ctx: Context, params: types.ReadResourceRequestParams) -> BaseModel | None:
        content = _content(str(params.uri))
        return None if content is None else types.ReadResourceResult(contents=[content])

    async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> BaseModel | None:
        if params.name not in {prompt.name for prompt in _PROMPTS}:
            return None
        if params.name == "test_input_required_result_prompt":
            return await dialogues.prompt(ctx, params)
        messages = [
            types.PromptMessage(role="user", content=content)
            for content in _messages(params.name, params.arguments or {})
        ]
        return types.GetPromptResult(messages=messages)

    async def set_level(ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        return types.EmptyResult()

    _before(server, "tools/call", types.CallToolRequestParams, call_tool)
    _before(server, "resources/read", types.ReadResourceRequestParams, read)
    _before(server, "prompts/get", types.GetPromptRequestParams, get_prompt)
    listed = [
        types.Tool(name=name, description="For tests.", input_schema=dict(tool.schema))
        for name, tool in tools.items()
    ]
    _extend(server, "tools/list", "tools", listed)
    _extend(server, "resources/list", "resources", _RESOURCES)
    _extend(server, "resources/templates/list", "resource_templates", [_TEMPLATE])
    _extend(server, "prompts/list", "prompts", _PROMPTS)
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)
    server_schema = server.get_tool_input_schema

    def schema_of(name: str) -> Mapping[str, Any] | None:
        if name in tools:
            return tools[name].schema
        return server_schema(name) if server_schema else None

    server.get_tool_input_schema = schema_of
    security = RequestStateSecurity.ephemeral()
    server.middleware.append(RequestStateBoundary(security, default_audience=server.name))


def _before(
    server: Server[Any],
    method: str,
    params_type: type[_Params],
    fixture: Callable[[Context, _Params], Awaitable[BaseModel | None]],
) -> None:
    own = server.get_request_handler(method)
    assert own is not None
    handler = own.handler

    async def answer(ctx: Context, params: _Params) -> Any:
        found = await fixture(ctx, params)
        return await handler(ctx, params) if found is None else found

    server.add_request_handler(method, params_type, answer)


def _extend(server: Server[Any], method: str, name: str, more: Sequence[BaseModel]) -> None:
    own = server.get_request_handler(method)
    assert own is not None
    handler = own.handler

    async def answer(ctx: Context, params: types.PaginatedRequestParams) -> Any:
        page: Any = await handler(ctx, params)
        if params.cursor is not None:
            return page
        return page.model_copy(update={name: [*more, *getattr(page, name)]})

    server.add_request_handler(method, types.PaginatedRequestParams, answer)
