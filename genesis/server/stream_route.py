"""The route of a run's event stream."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from genesis.errors import InputError
from genesis.server.events import EVENT_STREAM, EventResponse, event_frames, with_first
from genesis.server.hub import Visiting
from genesis.server.problems import PROBLEMS
from genesis.server.runs import RunId
from genesis.server.views import OVER, run_record

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)

_NUMBER: Final = re.compile(r"\d{1,15}")


@router.get(
    "/{run_id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "The run's journal from the beginning, or from after `Last-Event-ID`,"
            " as it grows. The event's name is its type, its data a JSON object, its id its number."
            " The last event is `end`, with the run's state.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        204: {"description": "The run is over and everything was read: do not connect again."},
    },
)
async def events(
    run_id: RunId,
    visit: Visiting,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="The last event that was read.")
    ] = None,
    after: Annotated[int, Query(ge=0, description="The same, for clients without headers.")] = 0,
) -> Response:
    """Follow a run; a client that lost its connection goes on where it was."""
    start = _start(last_event_id, after)
    orchestrator, hub = visit.orchestrator, visit.hub
    run = await run_record(orchestrator, run_id)
    hub.streams.enter(visit.key)
    try:
        entries = orchestrator.follow(run_id, after=start)
        if start and run.state in OVER:
            first = await anext(entries, None)
            if first is None:
                hub.streams.leave(visit.key)
                return Response(status_code=204)
            entries = with_first(first, entries)
    except BaseException:
        hub.streams.leave(visit.key)
        raise

    async def state() -> str:
        return (await run_record(orchestrator, run_id)).state

    frames = event_frames(entries, state, hub.stopping, hub.limits.heartbeat_s)
    return EventResponse(frames, lambda: hub.streams.leave(visit.key))


def _start(last_event_id: str | None, after: int) -> int:
    if last_event_id is None:
        return after
    if _NUMBER.fullmatch(last_event_id) is None:
        raise InputError("Last-Event-ID must be the id of an event of this stream, a number")
    return int(last_event_id)
