"""How the inspecting agents' acceptance checks are built: a claim is read strictly, then proven."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import Verdict
from infrastructure.errors import GenesisError

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+|pytest-of-[^\s/]+/pytest-\d+")


class Claim(BaseModel):
    """Base of the data that these agents produce: strict types, no extra keys, finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


ClaimT = TypeVar("ClaimT", bound=Claim)


class Refuted(Exception):
    """A claim does not hold; the message says what was compared and what differs."""


def require(holds: bool, reason: str) -> None:
    """Refute the claim for `reason` unless it holds."""
    if not holds:
        raise Refuted(reason)


def require_equal(what: str, claimed: object, found: object) -> None:
    """Refute the claim unless both are equal."""
    require(claimed == found, f"{what}: the result says {claimed!r}, the check found {found!r}")


def check_of(
    name: str,
    datum: str,
    model: type[ClaimT],
    prove: Callable[[Submission, ClaimT], Awaitable[str]],
) -> Check:
    """An acceptance check of one datum.

    `prove` returns what was compared, and raises `Refuted` when the claim does not hold.
    """

    async def check(submission: Submission) -> Verdict:
        value = submission.output.data.get(datum)
        if value in (None, "", [], {}):
            return Verdict(False, name, f"{datum!r} is missing or empty in the result")
        try:
            return Verdict(True, name, await prove(submission, model.model_validate(value)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or datum
            return Verdict(False, name, f"{datum!r} is malformed at {where}: {first['msg']}")
        except (Refuted, GenesisError, OSError, ValueError) as error:
            # the last two: a claimed path that no file can have, or a file that went away
            return Verdict(False, name, str(error))

    return check


def without_addresses(text: str) -> str:
    """Text with memory addresses and numbered temporary folders made equal between two runs."""
    return _ADDRESS.sub("@", text)
