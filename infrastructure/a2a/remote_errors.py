"""What goes wrong on the way to an agent elsewhere, as our errors: away, misbehaved, refused."""

from __future__ import annotations

from typing import Any

import httpx
from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.utils.errors import A2AError, InternalError, TaskNotFoundError

from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable, GenesisError
from infrastructure.text import one_line

_MAX_SAID = 500
# By name: gRPC is imported only where it is used.
_GRPC_AWAY = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"})
_GRPC_REFUSED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_GRPC_BROKEN = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "OUT_OF_RANGE"})


def as_ours(error: Exception, url: str) -> GenesisError:
    """An error met while talking to the agent at a URL, as one of ours.

    `AgentUnavailable`: the same request may succeed later. `AgentMisbehaved`: what it sends is of
    no use. `AgentError`: it, or we, refuse.
    """
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, GenesisError):
            return cause
    if isinstance(error, A2AError) and not isinstance(error, A2AClientError):
        return _protocol_error(error, url)
    for cause in causes:
        if isinstance(cause, httpx.HTTPStatusError):
            return _status_error(cause.response, url)
        if isinstance(cause, httpx.TransportError | A2AClientTimeoutError | TimeoutError):
            return AgentUnavailable(f"the agent at {url} cannot be reached: {_said(cause)}")
        if callable(getattr(cause, "trailing_metadata", None)):
            return _grpc_error(cause, url)
    if isinstance(error, A2AClientError) and str(error).startswith("JSON-RPC Error"):
        return AgentError(f"the agent at {url} answered with an error: {_said(error)}")
    return AgentMisbehaved(
        f"the agent at {url} sent what is not A2A: {type(error).__name__}: {_said(error)}"
    )


def _protocol_error(error: A2AError, url: str) -> AgentError:
    if isinstance(error, TaskNotFoundError):
        return AgentError(f"the agent at {url} knows no such task: {_said(error)}")
    if isinstance(error, InternalError):
        return AgentUnavailable(f"the agent at {url} failed inside: {_said(error)}")
    return AgentError(f"the agent at {url} answered with an error: {_said(error)}")


def _status_error(response: httpx.Response, url: str) -> AgentError:
    code = response.status_code
    if code in (408, 425, 429) or code >= 500:
        return AgentUnavailable(f"the agent at {url} cannot answer now: HTTP {code}")
    if code in (401, 403):
        return AgentError(f"the agent at {url} refuses the token (HTTP {code}): pass its token=")
    if response.is_redirect:
        return AgentMisbehaved(
            f"the agent at {url} redirects, which is not followed: register the URL where it is"
        )
    return AgentError(f"the agent at {url} refused the request: HTTP {code}")


def _grpc_error(error: Any, url: str) -> AgentError:
    code, said = str(error.code().name), one_line(str(error.details() or ""), _MAX_SAID)
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in said:
        return AgentMisbehaved(f"the answer of the agent at {url} was refused: {said}")
    if code == "RESOURCE_EXHAUSTED" or code in _GRPC_AWAY:
        return AgentUnavailable(f"the agent at {url} cannot be reached: {code}: {said}")
    if code in _GRPC_REFUSED:
        return AgentError(f"the agent at {url} refuses the token ({code}): pass its token=")
    if code in _GRPC_BROKEN:
        return AgentMisbehaved(f"the agent at {url} sent what is not A2A: {code}: {said}")
    return AgentError(f"the agent at {url} refused the request: {code}: {said}")


def _said(error: BaseException) -> str:
    """An error's words, which may be a stranger's."""
    return one_line(str(error) or type(error).__name__, _MAX_SAID)
