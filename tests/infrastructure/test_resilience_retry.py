from __future__ import annotations

import errno
import random
import socket
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.testing import FakeClock
from infrastructure.errors import (
    AgentError,
    AgentUnavailable,
    ConfigError,
    ModelError,
    TaskTimeout,
)
from infrastructure.models.failures import as_model_error
from infrastructure.resilience.retry import RetryPolicy, asked_pause_s, is_retryable, retry

RETRYABLE = [
    AgentUnavailable("down"),
    ConnectionResetError(),
    TimeoutError(),
    OSError(errno.ENETUNREACH, "unreachable"),
    socket.gaierror(socket.EAI_AGAIN, "try again"),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("cut off"),
    ModelError("429", retryable=True),
]
FINAL = [
    AgentError("no such column"),
    TaskTimeout("too slow"),
    ModelError("wrong key"),
    KeyError("defect"),
    FileNotFoundError(errno.ENOENT, "gone"),
    socket.gaierror(socket.EAI_NONAME, "unknown host"),
    httpx.UnsupportedProtocol("gopher"),
    ValueError("defect"),
]


@pytest.mark.parametrize("error", RETRYABLE, ids=repr)
def test_what_another_try_may_mend(error: Exception) -> None:
    assert is_retryable(error)


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_what_it_may_not(error: Exception) -> None:
    assert not is_retryable(error)


class _Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def _retry(call: _Flaky, tries: int = 4, deadline: float | None = None) -> str:
    clock = FakeClock()
    return await retry(
        call,
        RetryPolicy(tries=tries),
        clock=clock,
        rng=random.Random(3),
        deadline=deadline,
        sleep=clock.sleep,
    )


async def test_it_tries_until_it_succeeds() -> None:
    call = _Flaky(AgentUnavailable("1"), AgentUnavailable("2"))
    assert await _retry(call) == "answer"
    assert call.calls == 3


async def test_it_raises_the_last_error_when_its_tries_are_used_up() -> None:
    call = _Flaky(*(AgentUnavailable(str(i)) for i in range(9)))
    with pytest.raises(AgentUnavailable, match="3"):
        await _retry(call)
    assert call.calls == 4


async def test_what_is_final_is_raised_at_once() -> None:
    call = _Flaky(KeyError("defect"))
    with pytest.raises(KeyError):
        await _retry(call)
    assert call.calls == 1


async def test_no_pause_is_begun_that_would_end_after_the_deadline() -> None:
    call = _Flaky(*(AgentUnavailable("down") for _ in range(9)))
    with pytest.raises(AgentUnavailable):
        await _retry(call, tries=9, deadline=0.0)
    assert call.calls == 1


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_pauses_are_jittered_below_a_growing_bound(seed: int, failed: int) -> None:
    policy = RetryPolicy(first_delay_s=0.5, growth=2, longest_delay_s=8)
    delay = policy.delay_s(failed, random.Random(seed))
    assert 0 <= delay <= min(8, 0.5 * 2 ** (failed - 1))


def test_callers_that_failed_together_do_not_return_together() -> None:
    delays = sorted(RetryPolicy().delay_s(3, random.Random(seed)) for seed in range(20))
    assert all(a != b for a, b in pairwise(delays))


@pytest.mark.parametrize(
    "wrong", [{"tries": 0}, {"first_delay_s": -1}, {"growth": 0}, {"longest_delay_s": 0.1}]
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="retry"):
        RetryPolicy(**wrong)  # pyright: ignore[reportArgumentType] - one key at a time


def _limited() -> ModelError:
    return ModelError("429", retryable=True, retry_after_s=7.0)


def _answered(header: str | None) -> Exception:
    headers = {} if header is None else {"Retry-After": header}
    response = httpx.Response(429, headers=headers)
    return httpx.HTTPStatusError("429", request=httpx.Request("GET", "http://x"), response=response)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12),
        (" 3 ", 3),
        ("Fri, 15 Jan 2027 08:00:20 GMT", 20),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
        ("9" * 400, 10**100 - 1),
        (None, 0),
    ],
)
def test_a_retry_after_header_is_seconds_or_a_date(header: str | None, seconds: float) -> None:
    now = 1_800_000_000.0  # 2027-01-15 08:00:00 GMT
    direct = _answered(header)
    assert asked_pause_s(direct, now) == pytest.approx(seconds)
    wrapped = AgentUnavailable("the agent cannot answer now")
    wrapped.__cause__ = direct
    assert asked_pause_s(wrapped, now) == pytest.approx(seconds)


def test_what_asks_for_no_pause_gets_none() -> None:
    assert asked_pause_s(KeyError("defect"), 0.0) == 0
    loop = ValueError("its own cause")
    loop.__cause__ = loop
    assert asked_pause_s(loop, 0.0) == 0


async def test_the_pause_that_is_asked_for_is_kept_within_the_deadline() -> None:
    clock, call = FakeClock(), _Flaky(_limited())
    policy, rng = RetryPolicy(), random.Random(3)
    assert await retry(call, policy, clock=clock, rng=rng, sleep=clock.sleep) == "answer"
    assert 7 <= clock.monotonic() < 8
    late = _Flaky(_limited())
    with pytest.raises(ModelError):
        await retry(late, policy, clock=clock, rng=rng, sleep=clock.sleep, deadline=12.0)
    assert late.calls == 1


def test_a_models_rate_limit_says_how_long() -> None:
    failed = as_model_error(_answered("12"), "openai:any")
    assert asked_pause_s(failed, 0.0) == 12
    assert as_model_error(_answered(None), "openai:any").retry_after_s is None
