"""What providers raise, as one error that says what to do and shows no key."""

from __future__ import annotations

import time
from typing import Any

from infrastructure.errors import ModelError
from infrastructure.models.usage import ModelUsage
from infrastructure.redaction import hide_secrets
from infrastructure.resilience.retry import asked_pause_s
from infrastructure.text import one_line

_EXCERPT_CHARS = 300


class UnusableAnswer(ModelError):
    """A chat model answered what does not fit; what it wrote and cost is kept.

    Args:
        message: what is wrong with the answer, with an excerpt.
        text: the answer.
        usage: what it consumed, which must be paid all the same.
    """

    def __init__(self, message: str, text: str, usage: ModelUsage) -> None:
        self.text = text
        self.usage = usage
        super().__init__(message)


def redact(text: str) -> str:
    """A provider's text as one bounded line, with whatever looks like a key taken out."""
    return one_line(hide_secrets(text), _EXCERPT_CHARS)


def status_of(error: Exception) -> int | None:
    """The HTTP status that a provider's error carries, if any."""
    status: object = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def as_model_error(error: Exception, model: str, secrets: tuple[str, ...] = ()) -> ModelError:
    """A provider's error as ModelError; `retryable` where the same call may succeed later.

    Args:
        secrets: keys that the client holds; the caller's environment is known by itself.
    """
    text = str(error)
    for secret in secrets:
        text = text.replace(secret, "***")
    detail = f"{type(error).__name__}: {redact(text)}"
    cause, retryable = _cause(error, status_of(error))
    return ModelError(
        f"the chat model {model!r} {cause} ({detail})",
        retryable=retryable,
        retry_after_s=asked_pause_s(error, time.time()) or None,
    )


_BY_STATUS = {
    400: "refused the request",
    401: "refused the key: check the provider's API key",
    403: "refused the key: it may not use this model",
    404: "is not known at this address: check the name and the base URL",
    408: "took too long",
    429: "is over its rate limit or quota",
}
_RETRYABLE = frozenset({408, 409, 425, 429})
_SERVER_FAILURE = 500


def _cause(error: Exception, status: int | None) -> tuple[str, bool]:
    # Imported here because LangChain takes a third of a second to load.
    import httpx
    from langchain_core import exceptions as langchain

    if isinstance(error, langchain.ContextOverflowError):
        return "cannot read so long a request", False
    if status is not None and status >= _SERVER_FAILURE:
        return f"failed on the provider's side (HTTP {status})", True
    if status is not None and status in _BY_STATUS:
        return f"{_BY_STATUS[status]} (HTTP {status})", status in _RETRYABLE
    if isinstance(error, TimeoutError | langchain.ModelTimeoutError | httpx.TimeoutException):
        return "did not answer in time", True
    unreachable = (ConnectionError, langchain.ModelConnectionError, httpx.TransportError)
    # A pooled connection of an event loop that has ended; the next call opens a new one.
    stale = isinstance(error, RuntimeError) and "Event loop is closed" in str(error)
    if stale or isinstance(error, unreachable):
        return "could not be reached, or broke off: check the base URL and the network", True
    if isinstance(error, ValueError | KeyError | TypeError):
        return "answered what is not its protocol: check the base URL", False
    return "failed", bool(getattr(error, "is_retryable", False))


def cut_answer(error: Exception) -> tuple[str, int, int] | None:
    """Text, input and output tokens of an answer that hit its token limit.

    OpenAI's client raises for it instead of returning it; the tokens are paid all the same.
    """
    completion: Any = getattr(error, "completion", None)
    usage: Any = getattr(completion, "usage", None)
    if usage is None:
        return None
    text = completion.choices[0].message.content or ""
    return str(text), int(usage.prompt_tokens), int(usage.completion_tokens)
