"""Pages of runs: a cursor names the last run of a page, so that new runs move nothing."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Final, TypeAlias, cast

from genesis.errors import InputError
from genesis.orchestrator import GenesisOrchestrator
from genesis.server.schemas import RunHead, RunPage
from genesis.server.views import head_of
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.text import cut

_Place: TypeAlias = "tuple[float, str]"
_SHOWN_CHARS: Final = 1_000


async def page_of(
    orchestrator: GenesisOrchestrator,
    *,
    state: str | None,
    session_id: str | None,
    since: float | None,
    limit: int,
    cursor: str | None,
) -> RunPage:
    """One page of runs, newest first.

    Raises:
        InputError: the cursor is none that this server gave.
    """
    found = await orchestrator.runs(
        state=state,
        session_id=session_id,
        since=since,
        before=None if cursor is None else _place(cursor),
        limit=limit + 1,
    )
    page = found[:limit]
    more = _cursor(page[-1]) if len(found) > limit else None
    return RunPage(runs=[_listed(run) for run in page], next_cursor=more)


def _listed(run: RunRecord) -> RunHead:
    head = head_of(run)
    return head.model_copy(update={"request": cut(head.request, _SHOWN_CHARS)})


def _cursor(run: RunRecord) -> str:
    return base64.urlsafe_b64encode(json.dumps((run.created_at, run.run_id)).encode()).decode()


def _place(cursor: str) -> _Place:
    try:
        place = cast("object", json.loads(base64.urlsafe_b64decode(cursor.encode())))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        place = None
    match place:
        case [float() as created_at, str() as run_id] if math.isfinite(created_at):
            return created_at, run_id
        case _:
            raise InputError("cursor: give `next_cursor` of the page before, as it is")
