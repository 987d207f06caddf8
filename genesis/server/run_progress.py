"""The events of a run, as far as they say something to whoever waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infrastructure.a2a.types import EXTENSION, Message, Part, StatusUpdate, TaskState
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.text import one_line

_MAX_CHARS: Final = 500


def told(event: JsonObject) -> StatusUpdate | None:
    """A status update for an event; None for one that tells nothing to people."""
    text = _words(event)
    if not text:
        return None
    about: dict[str, JsonValue] = {"type": event["type"]}
    if isinstance(event.get("task_id"), str):
        about["task_id"] = event["task_id"]
    said = Message("progress", "agent", (Part(text=one_line(text, _MAX_CHARS)),))
    return StatusUpdate("", "", TaskState.WORKING, said, {EXTENSION: {"event": about}})


def _words(event: JsonObject) -> str:
    match event.get("type"):
        case "PlanMade":
            return f"planned: {event.get('reason', '')}"
        case "PlanSentBack":
            return "the plan goes back and is made again"
        case "AttemptStarted":
            number = event.get("number")
            again = f", attempt {number}" if number != 1 else ""
            return f"{event.get('task_id')}: {event.get('agent')} begins{again}"
        case "AttemptProgress":
            return f"{event.get('task_id')}: {event.get('agent')} says: {event.get('text', '')}"
        case "TaskEnded":
            return f"{event.get('task_id')}: {_status(event.get('result'))}"
        case "RunResumed":
            return "gone on with after a pause"
        case _:
            return ""


def _status(result: JsonValue) -> str:
    status = result.get("status") if isinstance(result, Mapping) else ""
    return status if isinstance(status, str) else "ended"
