"""The conformance kit's fixtures that ask the client something back, in either protocol's way.

Up to 2025-11-25 the server sends a request of its own while the tool runs; from 2026-07-28 on it
answers `InputRequiredResult`, and the client repeats the call with what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

Context = ServerRequestContext[Any, Any]
Answer = types.CallToolResult | types.InputRequiredResult
Run = Callable[[Context, types.CallToolRequestParams], Awaitable[Answer]]

_STATE: Final = "round 1"


def text_result(text: str) -> types.CallToolResult:
    """A result of one text."""
    return types.CallToolResult(content=[types.TextContent(text=text)])


async def log(ctx: Context, said: str) -> None:
    """Send a log message, where the client wants them."""
    modern = ctx.protocol_version >= "2026-07-28"
    if modern and types.LOG_LEVEL_META_KEY not in (ctx.meta or {}):
        return
    params = types.LoggingMessageNotificationParams(level="info", data=said)
    await ctx.session.send_notification(
        types.LoggingMessageNotification(params=params), related_request_id=ctx.request_id
    )


def _form(properties: Mapping[str, Any], required: list[str], message: str) -> types.ElicitRequest:
    schema = {"type": "object", "properties": dict(properties), "required": required}
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def _sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    params = types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    return types.CreateMessageRequest(params=params)


def _texts(**names: str) -> dict[str, Any]:
    return {name: {"type": "string", "description": said} for name, said in names.items()}


# Up to 2025-11-25: requests of the server's own.


async def _sampling(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    prompt = str((params.arguments or {}).get("prompt", ""))
    answer = await ctx.session.send_request(
        _sample(prompt), types.CreateMessageResult, metadata=_of(ctx)
    )
    said = answer.content.text if isinstance(answer.content, types.TextContent) else ""
    return text_result(f"LLM response: {said}")


async def _elicit(ctx: Context, request: types.ElicitRequest, said: str) -> types.CallToolResult:
    answer = await ctx.session.send_request(request, types.ElicitResult, metadata=_of(ctx))
    return text_result(f"{said}: action={answer.action}, content={json.dumps(answer.content)}")


async def _elicitation(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    message = str((params.arguments or {}).get("message", ""))
    properties = _texts(username="User's response", email="User's email address")
    return await _elicit(ctx, _form(properties, list(properties), message), "User response")


async def _defaults(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicit(ctx, _form(properties, [], "Your details?"), "Elicitation completed")


async def _enums(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    plain = ["option1", "option2", "option3"]
    ordinals = ("First", "Second", "Third")

    def titled(noun: str) -> list[dict[str, str]]:
        return [
            {"const": f"value{number}", "title": f"{ordinal} {noun}"}
            for number, ordinal in enumerate(ordinals, 1)
        ]

    properties = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }
    return await _elicit(ctx, _form(properties, [], "Which ones?"), "Elicitation completed")


def _of(ctx: Context) -> ServerMessageMetadata:
    return ServerMessageMetadata(related_request_id=ctx.request_id)


# From 2026-07-28 on: the call is repeated with what was asked for.

_NAME: Final = _form({"name": {"type": "string"}}, ["name"], "What is your name?")
_CONFIRM: Final = _form({"ok": {"type": "boolean"}}, ["ok"], "Please confirm")
_COLOR: Final = _form(
    {"color": {"type": "string"}}, ["color"], "Step 2: What is your favorite color?"
)
_STEP_1: Final = _form({"name": {"type": "string"}}, ["name"], "Step 1: What is your name?")
_CONTEXT: Final = _form(
    {"context": {"type": "string"}}, ["context"], "What context should the prompt use?"
)


def _required(
    requests: Mapping[str, types.InputRequest], state: str | None = None
) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def _asking(
    requests: Mapping[str, types.InputRequest],
    done: Callable[[Mapping[str, types.InputResponse]], str],
    state: str | None = None,
) -> Run:
    """A tool that asks once for all of `requests`, and again while an answer is missing."""

    async def run(ctx: Context, params: types.CallToolRequestParams) -> Answer:
        given = params.input_responses or {}
        if not all(key in given for key in requests) or params.request_state != state:
            return _required(requests, state)
        return text_result(done(given))

    return run


def _hello(given: Mapping[str, types.InputResponse]) -> str:
    answer = given["user_name"]
    content = answer.content if isinstance(answer, types.ElicitResult) else None
    return f"Hello, {(content or {}).get('name', 'nobody')}!"


def _sampled(given: Mapping[str, types.InputResponse]) -> str:
    answer = given["capital_question"]
    content = getattr(answer, "content", None)
    return content.text if isinstance(content, types.TextContent) else "No answer."


def _roots(given: Mapping[str, types.InputResponse]) -> str:
    answer = given["client_roots"]
    found = answer.roots if isinstance(answer, types.ListRootsResult) else []
    return "Roots: " + ", ".join(str(root.uri) for root in found)


async def _multi_round(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    given = params.input_responses or {}
    if params.request_state == "round 2" and "step2" in given:
        return text_result("Both steps were answered.")
    if params.request_state == _STATE and "step1" in given:
        return _required({"step2": _COLOR}, "round 2")
    return _required({"step1": _STEP_1}, _STATE)


async def _capabilities(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    declared = ctx.session.client_capabilities or types.ClientCapabilities()
    requests: dict[str, types.InputRequest] = {}
    if declared.sampling is not None:
        requests["question"] = _sample("What is the capital of France?")
    if declared.elicitation is not None:
        requests["user_name"] = _NAME
    if not requests or params.input_responses:
        return text_result("Nothing more is asked for.")
    return _required(requests)


async def _missing_capability(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed = types.ClientCapabilities(sampling=types.SamplingCapability())
        data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "this tool needs the client's sampling",
            data.model_dump(by_alias=True, mode="json", exclude_none=True),
        )
    return text_result("The client can sample.")


async def prompt(
    ctx: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    """A prompt that asks for its context."""
    answer = (params.input_responses or {}).get("user_context")
    if not isinstance(answer, types.ElicitResult):
        return _required({"user_context": _CONTEXT})
    said = (answer.content or {}).get("context", "")
    message = types.PromptMessage(role="user", content=types.TextContent(text=f"Context: {said}"))
    return types.GetPromptResult(messages=[message])


def _takes(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


TOOLS: Final[Mapping[str, tuple[Run, Mapping[str, Any] | None]]] = MappingProxyType(
    {
        "test_sampling": (_sampling, _takes("prompt")),
        "test_elicitation": (_elicitation, _takes("message")),
        "test_elicitation_sep1034_defaults": (_defaults, None),
        "test_elicitation_sep1330_enums": (_enums, None),
        "test_missing_capability": (_missing_capability, None),
        "test_streaming_elicitation": (_asking({"user_name": _NAME}, _hello), None),
        "test_input_required_result_elicitation": (_asking({"user_name": _NAME}, _hello), None),
        "test_input_required_result_sampling": (
            _asking({"capital_question": _sample("What is the capital of France?")}, _sampled),
            None,
        ),
        "test_input_required_result_list_roots": (
            _asking({"client_roots": types.ListRootsRequest()}, _roots),
            None,
        ),
        "test_input_required_result_request_state": (
            _asking({"confirm": _CONFIRM}, lambda given: "state-ok", _STATE),
            None,
        ),
        "test_input_required_result_tampered_state": (
            _asking({"confirm": _CONFIRM}, lambda given: "state-ok", _STATE),
            None,
        ),
        "test_input_required_result_multiple_inputs": (
            _asking(
                {
                    "user_name": _NAME,
                    "greeting": _sample("Generate a greeting", 50),
                    "client_roots": types.ListRootsRequest(),
                },
                _hello,
                _STATE,
            ),
            None,
        ),
        "test_input_required_result_multi_round": (_multi_round, None),
        "test_input_required_result_capabilities": (_capabilities, None),
    }
)
