"""A run's result as an A2A artifact: the answer, its facts, and the files as bytes."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from genesis.agents.wire import MAX_FILE_BYTES, MAX_FILES_BYTES, safe_name, usage_json
from genesis.result import OrchestrationResult
from genesis.server.own_files import own_file
from genesis.tasks.task import Usage
from infrastructure.a2a.types import EXTENSION, Artifact, Part
from infrastructure.jsonvalue import JsonObject


def result_artifact(result: OrchestrationResult, data_dir: Path) -> Artifact:
    """The result for another machine; files that are too large are named. Reads files.

    Args:
        result: of the run.
        data_dir: the setting; only files of the run's own folder there are sent.
    """
    text = (Part(text=result.output),) if result.output else ()
    facts: JsonObject = {
        "run_id": result.run_id,
        "task_type": result.task_type,
        "success": result.success,
        "plan_source": result.plan_source,
        "cost_usd": result.cost_usd,
        "duration_s": result.duration_s,
        "tasks": [
            {"id": t.id, "description": t.description, "agent": t.agent, "status": t.status}
            for t in result.tasks
        ],
    }
    files: list[Part] = []
    left = MAX_FILES_BYTES
    for named in result.artifacts:
        path = own_file(named, result.run_id, data_dir)
        if path is None:
            files.append(Part(text=f"[{Path(named).name} is not kept any more]"))
            continue
        part = _file(path, min(MAX_FILE_BYTES, left))
        left -= len(part.raw or b"")
        files.append(part)
    # Tokens are counted by task, not by run; the money is all of it.
    ours: JsonObject = {"usage": usage_json(Usage(0, 0, result.cost_usd))}
    parts = (*text, Part(data=facts), *files)
    return Artifact("result", parts, "result", metadata={EXTENSION: ours})


def _file(path: Path, limit: int) -> Part:
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        return Part(text=f"[{path.name} cannot be read any more: {error.strerror}]")
    if len(raw) > limit:
        return Part(text=f"[{path.name} is too large to be sent along]")
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Part(raw=raw, media_type=media_type, filename=safe_name(path.name))
