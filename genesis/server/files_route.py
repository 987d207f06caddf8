"""The route of the files that a run wrote."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from genesis.server.hub import Visiting
from genesis.server.own_files import own_file
from genesis.server.problems import PROBLEMS
from genesis.server.runs import RunId

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)


@router.get(
    "/{run_id}/files/{number}",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file, to be saved under its own name.",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def run_file(
    run_id: RunId,
    number: Annotated[
        int, Path(ge=0, le=100_000, description="Its place in the result's `artifacts`, from 0.")
    ],
    visit: Visiting,
) -> FileResponse:
    """A file that the run wrote, while it is kept."""
    result = await visit.orchestrator.run(run_id)
    if number >= len(result.artifacts):
        raise HTTPException(404, f"run {run_id!r} has {len(result.artifacts)} files")
    data_dir = visit.orchestrator.settings.data_dir
    path = await run_in_threadpool(own_file, result.artifacts[number], run_id, data_dir)
    if path is None:
        raise HTTPException(404, "the file is not kept any more")
    # Never shown in a browser as a page of ours: what agents write may be HTML.
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)
