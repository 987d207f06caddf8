"""A2A's three bindings spoken by hand, so that a server is not tested by its own client."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio
import httpx
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2, status_pb2

JSON = {"content-type": "application/json", "a2a-version": "1.0"}
BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
NATIVE = {
    "TASK_NOT_FOUND": {"JSONRPC": -32001, "HTTP+JSON": 404, "GRPC": "NOT_FOUND"},
    "TASK_NOT_CANCELABLE": {"JSONRPC": -32002, "HTTP+JSON": 400, "GRPC": "FAILED_PRECONDITION"},
    "UNSUPPORTED_OPERATION": {"JSONRPC": -32004, "HTTP+JSON": 400, "GRPC": "FAILED_PRECONDITION"},
    "CONTENT_TYPE_NOT_SUPPORTED": {
        "JSONRPC": -32005,
        "HTTP+JSON": 400,
        "GRPC": "INVALID_ARGUMENT",
    },
    "VERSION_NOT_SUPPORTED": {"JSONRPC": -32009, "HTTP+JSON": 400, "GRPC": "FAILED_PRECONDITION"},
    "INVALID_PARAMS": {"JSONRPC": -32602, "HTTP+JSON": 400, "GRPC": "INVALID_ARGUMENT"},
}


class WireError(Exception):
    """A refusal: A2A's reason, and the code that the binding gives it."""

    def __init__(self, reason: str, native: object, message: str) -> None:
        super().__init__(f"{reason} ({native}): {message}")
        self.reason, self.native, self.message = reason, native, message


class Wire(Protocol):
    """One binding: requests and answers in ProtoJSON, whatever goes over the wire."""

    binding: str
    headers: dict[str, str]

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]: ...

    def follow(self, method: str, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]: ...


def message(text: str = "hello", message_id: str = "", **more: Any) -> dict[str, Any]:
    """A client's message."""
    return {
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        "messageId": message_id or uuid.uuid4().hex,
        **more,
    }


async def send(wire: Wire, message_id: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    """The task, or message, that a message leads to."""
    config = more.pop("configuration", None)
    params: dict[str, Any] = {"message": message(text, message_id, **more)}
    if config is not None:
        params["configuration"] = config
    answer = await wire.call("SendMessage", params)
    return answer.get("task") or answer["message"]


async def streamed(wire: Wire, method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream from its beginning to its end."""
    async with aclosing(wire.follow(method, params)) as events:
        return [event async for event in events]


def state_of(task: dict[str, Any]) -> str:
    """A task's state without its prefix."""
    return str(task["status"]["state"]).removeprefix("TASK_STATE_")


@dataclass
class JsonRpc:
    """JSON-RPC 2.0 over HTTP, with SSE."""

    http: httpx.AsyncClient
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    binding: str = "JSONRPC"

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        answer = await self.http.post(self.url, json=body, headers={**JSON, **self.headers})
        return _result(_checked(answer).json())

    async def follow(self, method: str, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        request = self.http.stream("POST", self.url, json=body, headers={**JSON, **self.headers})
        async with request as answer:
            async for event in _events(answer):
                yield _result(event)


@dataclass
class Rest:
    """HTTP+JSON, with SSE."""

    http: httpx.AsyncClient
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    binding: str = "HTTP+JSON"

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        verb, path, body, query = _place(method, dict(params))
        answer = await self.http.request(
            verb,
            self.url + path,
            json=body,
            params=query,
            headers={**JSON, **self.headers} if body is not None else {**_VERSION, **self.headers},
        )
        return _checked(answer).json()

    async def follow(self, method: str, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        verb, path, body, query = _place(method, dict(params))
        request = self.http.stream(
            verb,
            self.url + path,
            json=body,
            params=query,
            headers={**JSON, **self.headers} if body is not None else {**_VERSION, **self.headers},
        )
        async with request as answer:
            async for event in _events(answer):
                yield event


@dataclass
class Grpc:
    """gRPC on a channel of its own."""

    channel: Any
    headers: dict[str, str] = field(default_factory=dict[str, str])
    binding: str = "GRPC"

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return list({"a2a-version": "1.0", **self.headers}.items())

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        stub: Any = a2a_pb2_grpc.A2AServiceStub(self.channel)
        request = ParseDict(params, _REQUESTS[method]())
        try:
            answer = await getattr(stub, method)(request, metadata=self.metadata, timeout=20)
        except grpc.aio.AioRpcError as error:
            raise _grpc_error(error) from error
        return MessageToDict(answer)

    async def follow(self, method: str, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        stub: Any = a2a_pb2_grpc.A2AServiceStub(self.channel)
        request = ParseDict(params, _REQUESTS[method]())
        call = getattr(stub, method)(request, metadata=self.metadata, timeout=20)
        try:
            async for event in call:
                yield MessageToDict(event)
        except grpc.aio.AioRpcError as error:
            raise _grpc_error(error) from error
        finally:
            call.cancel()


_VERSION = {"a2a-version": "1.0"}

_REQUESTS: dict[str, Any] = {
    "SendMessage": pb.SendMessageRequest,
    "SendStreamingMessage": pb.SendMessageRequest,
    "GetTask": pb.GetTaskRequest,
    "ListTasks": pb.ListTasksRequest,
    "CancelTask": pb.CancelTaskRequest,
    "SubscribeToTask": pb.SubscribeToTaskRequest,
    "CreateTaskPushNotificationConfig": pb.TaskPushNotificationConfig,
    "GetTaskPushNotificationConfig": pb.GetTaskPushNotificationConfigRequest,
    "ListTaskPushNotificationConfigs": pb.ListTaskPushNotificationConfigsRequest,
    "DeleteTaskPushNotificationConfig": pb.DeleteTaskPushNotificationConfigRequest,
    "GetExtendedAgentCard": pb.GetExtendedAgentCardRequest,
}


def _place(method: str, params: dict[str, Any]) -> tuple[str, str, Any, dict[str, Any]]:
    """Verb, path, body and query of an operation, as section 11 of the specification has them."""
    match method:
        case "SendMessage":
            return "POST", "/message:send", params, {}
        case "SendStreamingMessage":
            return "POST", "/message:stream", params, {}
        case "GetTask":
            return "GET", f"/tasks/{params.pop('id')}", None, params
        case "ListTasks":
            return "GET", "/tasks", None, params
        case "CancelTask":
            return "POST", f"/tasks/{params.pop('id')}:cancel", params, {}
        case "SubscribeToTask":
            return "POST", f"/tasks/{params.pop('id')}:subscribe", params, {}
        case "GetExtendedAgentCard":
            return "GET", "/extendedAgentCard", None, {}
        case _:
            return _push_place(method, params)


def _push_place(method: str, params: dict[str, Any]) -> tuple[str, str, Any, dict[str, Any]]:
    path = f"/tasks/{params.pop('taskId')}/pushNotificationConfigs"
    match method:
        case "CreateTaskPushNotificationConfig":
            return "POST", path, params, {}
        case "ListTaskPushNotificationConfigs":
            return "GET", path, None, params
        case "GetTaskPushNotificationConfig":
            return "GET", f"{path}/{params['id']}", None, {}
        case _:
            return "DELETE", f"{path}/{params['id']}", None, {}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    details = error.get("details", [])
    raise WireError(_reason(details) or error["status"], answer.status_code, error["message"])


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["jsonrpc"] == "2.0"
    if "error" not in answer:
        assert answer["id"] == 7
        return answer["result"] or {}
    error = answer["error"]
    raise WireError(_reason(error.get("data") or []), error["code"], error["message"])


def _reason(details: list[dict[str, Any]]) -> str:
    for detail in details:
        if str(detail.get("@type", "")).endswith("google.rpc.ErrorInfo"):
            assert detail["domain"] == "a2a-protocol.org"
            return str(detail["reason"])
    return ""


def _grpc_error(error: Any) -> WireError:
    reason = ""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    assert info.domain == "a2a-protocol.org"
                    reason = info.reason
    return WireError(reason or error.code().name, error.code().name, error.details())


async def _events(answer: httpx.Response) -> AsyncGenerator[dict[str, Any]]:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        await answer.aread()
        body = _checked(answer).json()
        yield body
        return
    async for line in answer.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))
