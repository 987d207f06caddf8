"""Pages of runs: a cursor names the last run of a page, so that new runs move nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Final, TypeAlias, cast

from genesis.errors import InputError
from genesis.orchestrator import GenesisOrchestrator
from genesis.server.schemas import RunHead, RunPage
from genesis.server.views import head_of
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.text import cut

_Place: TypeAlias = "tuple[float, str]"
_MOST: Final = 10_000
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
        InputError: the cursor is none that this server gave, or leads too far back.
    """
    after = None if cursor is None else _place(cursor)
    asked = limit + 1
    while True:
        found = await orchestrator.runs(
            state=state, session_id=session_id, since=since, limit=asked
        )
        runs = [run for run in found if after is None or _key(run) < after]
        if len(runs) > limit or len(found) < asked:
            break
        if asked >= _MOST:
            raise InputError(f"pages lead {_MOST} runs back; ask with `since` or `session_id`")
        asked = min(_MOST, asked * 4)
    page = runs[:limit]
    more = _cursor(page[-1]) if len(runs) > limit else None
    return RunPage(runs=[_listed(run) for run in page], next_cursor=more)


def _listed(run: RunRecord) -> RunHead:
    head = head_of(run)
    return head.model_copy(update={"request": cut(head.request, _SHOWN_CHARS)})


def _key(run: RunRecord) -> _Place:
    return run.created_at, run.run_id


def _cursor(run: RunRecord) -> str:
    return base64.urlsafe_b64encode(json.dumps(_key(run)).encode()).decode()


def _place(cursor: str) -> _Place:
    try:
        place = cast("object", json.loads(base64.urlsafe_b64decode(cursor.encode())))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        place = None
    match place:
        case [int() | float() as created_at, str() as run_id]:
            return created_at, run_id
        case _:
            raise InputError("cursor: give `next_cursor` of the page before, as it is")
