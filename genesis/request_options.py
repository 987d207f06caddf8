"""What callers say beside a request, checked before anything is stored."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genesis.errors import InputError
from genesis.execution.approvals import ApprovalPolicy
from genesis.run_setup import Limits, Request
from infrastructure.clock import Clock, new_id
from infrastructure.config import Settings
from infrastructure.jsonvalue import JsonValue

_MAX_SESSION_CHARS = 200
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What came beside a request, unchecked; as `GenesisOrchestrator.accept` takes it."""

    session_id: str | None = None
    budget_usd: float | None = None
    timeout_s: float | None = None
    context: Mapping[str, JsonValue] | None = None
    approve: Sequence[str] = ()
    run_id: str | None = None
    remote: bool = False

    def request(self, text: str, settings: Settings, clock: Clock) -> Request:
        """The request, with the settings where nothing was said.

        Raises:
            InputError: something that was said cannot be.
        """
        ApprovalPolicy.read(self.approve)
        return Request(
            text=text,
            run_id=_run_id(self.run_id) or new_id(clock),
            session_id=_session(self.session_id) or f"session-{new_id(clock)}",
            budget_usd=_amount("budget_usd", self.budget_usd, settings.budget_usd),
            timeout_s=_amount("timeout_s", self.timeout_s, settings.run_timeout_s) or 0.0,
            given=self.context or {},
            approve=tuple(self.approve),
            remote=self.remote,
            new_session=not self.session_id,
        )


def checked_limits(budget_usd: float | None, timeout_s: float | None) -> Limits:
    """What a caller allows who goes on with a run.

    Raises:
        InputError: a limit that cannot be.
    """
    return Limits(_amount("budget_usd", budget_usd, None), _amount("timeout_s", timeout_s, None))


def _run_id(given: str | None) -> str | None:
    if given is not None and not (isinstance(given, str) and _RUN_ID.fullmatch(given)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InputError(f"run_id must be 1 to 100 letters, digits, '-' or '_', not {given!r:.120}")
    return given


def _session(given: str | None) -> str | None:
    if not given:
        return None
    if not isinstance(given, str) or not given.strip() or not given.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InputError(f"session_id must be printable text, not {given!r:.80}")
    if len(given) > _MAX_SESSION_CHARS:
        raise InputError(f"session_id has {len(given)} characters; {_MAX_SESSION_CHARS} at most")
    return given


def _amount(name: str, value: float | None, default: float | None) -> float | None:
    if value is None:
        return default
    if isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise InputError(f"{name} must be a finite number, 0 or more, not {value!r}")
    return value
