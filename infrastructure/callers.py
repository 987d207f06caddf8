"""Who calls over a wire: found out from a bearer token, never from what a request says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller.

    Attributes:
        tenant: whose memory and runs it sees; nothing else decides that.
        name: of the token's holder, for journals and logs; never the token itself.
    """

    tenant: str
    name: str


Authenticate: TypeAlias = Callable[[str | None], Caller | None]
"""Takes the bearer token of a request (None without one); None means that it is refused."""
