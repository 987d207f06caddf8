"""The one retry helper: jittered exponential backoff for what another try may mend."""

from __future__ import annotations

import asyncio
import errno
import math
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar, cast

from infrastructure.clock import Clock
from infrastructure.errors import AgentUnavailable, ConfigError, TaskTimeout

T = TypeVar("T")

_MAX_CAUSES = 10
_MAX_HEADER = 100
_NETWORK_ERRNOS = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    }
)
# By name, so that neither library is imported to look at an error that it did not raise.
_TRANSPORT_LIBRARIES = ("httpx.", "httpcore.", "httpx2.")
_TRANSPORT_ERRORS = frozenset({"NetworkError", "RemoteProtocolError", "TimeoutException"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to try again.

    Attributes:
        tries: calls at most, the first included.
        first_delay_s: upper bound of the first pause, seconds.
        growth: each further bound is this many times the last.
        longest_delay_s: no pause is longer, seconds.

    Raises:
        ConfigError: a value is out of range.
    """

    tries: int = 3
    first_delay_s: float = 0.2
    growth: float = 2.0
    longest_delay_s: float = 10.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ConfigError("retry", "tries", f"must be 1 or more, not {self.tries}")
        if not (math.isfinite(self.first_delay_s) and self.first_delay_s >= 0):
            raise ConfigError("retry", "first_delay_s", f"must not be {self.first_delay_s}")
        if self.growth < 1:
            raise ConfigError("retry", "growth", f"must be 1 or more, not {self.growth}")
        if self.longest_delay_s < self.first_delay_s:
            raise ConfigError("retry", "longest_delay_s", "must not be below first_delay_s")

    def delay_s(self, failed_tries: int, rng: random.Random) -> float:
        """Seconds to pause after this many failed tries: uniform below a growing bound.

        "Full jitter" spreads callers that failed together (M. Brooker, "Exponential Backoff And
        Jitter", 2015).
        """
        bound = self.first_delay_s * self.growth ** (failed_tries - 1)
        return rng.uniform(0.0, min(bound, self.longest_delay_s))


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed a little later.

    An error's own `retryable` attribute decides where it has one (a rate limit of a model is, a
    refused key is not). Otherwise: an agent or host that cannot be reached, a broken connection,
    a network time-out. A task that used up its time is not: it would use it up again. Nor is a
    programming error.
    """
    own = getattr(error, "retryable", None)
    if isinstance(own, bool):
        return own
    if isinstance(error, TaskTimeout):
        return False
    if isinstance(error, AgentUnavailable | ConnectionError | TimeoutError):
        return True
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    if isinstance(error, OSError):
        return error.errno in _NETWORK_ERRNOS
    return any(
        kind.__name__ in _TRANSPORT_ERRORS
        and f"{kind.__module__}.".startswith(_TRANSPORT_LIBRARIES)
        for kind in type(error).__mro__
    )


def asked_pause_s(error: BaseException, now: float) -> float:
    """Seconds that whoever was called asks to be left alone; 0 where it asks nothing.

    An error's own `retry_after_s` says so, or the `Retry-After` header (RFC 9110, 10.2.3) of the
    `response` that it, or one of its causes, carries.

    Args:
        error: what the call raised.
        now: seconds since the epoch, for a date in the header.
    """
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        own = getattr(cause, "retry_after_s", None)
        if isinstance(own, int | float) and math.isfinite(own):
            return max(0.0, own)
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if isinstance(headers, Mapping):
            said = cast("Mapping[str, object]", headers).get("retry-after")
        else:
            said = None
        if isinstance(said, str):
            return _header_s(said, now)
        cause = cause.__cause__
    return 0.0


def _header_s(said: str, now: float) -> float:
    said = said.strip()[:_MAX_HEADER]
    if said.isdecimal() and said.isascii():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0  # it says nothing that can be understood


async def retry(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    *,
    clock: Clock,
    rng: random.Random,
    deadline: float | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Call until it succeeds, fails for good, or has used up its tries.

    A pause that an error asks for (`Retry-After`) is kept, with the policy's jitter on top.

    Args:
        call: makes one try.
        policy: how often and how soon.
        clock: for the deadline.
        rng: for the jitter.
        deadline: on `clock.monotonic()`; a pause that would end after it is not begun.
        sleep: pauses for so many seconds.

    Raises:
        Exception: the last try's, unchanged.
    """
    for failed_tries in range(1, policy.tries):
        try:
            return await call()
        except Exception as error:
            if not is_retryable(error):
                raise
            pause = policy.delay_s(failed_tries, rng) + asked_pause_s(error, clock.now())
            if deadline is not None and clock.monotonic() + pause >= deadline:
                raise
        await sleep(pause)
    return await call()
