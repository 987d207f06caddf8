"""The names of A2A tasks: they follow from who asks, and with which message."""

from __future__ import annotations

import uuid
from typing import Final

from infrastructure.callers import Caller

MAX_TRIES: Final = 100

_TASKS: Final = uuid.UUID("6f1f2c52-6b2c-4f0b-9d5e-0d2f6f0a7b11")


def task_id_of(caller: Caller, message_id: str, number: int = 0) -> str:
    """The task that a caller's message begins: the same for the same message, at any time.

    Args:
        caller: who sends it.
        message_id: its id.
        number: counts the tries before that failed for the moment, or were cancelled.
    """
    name = f"{caller.tenant}\n{caller.name}\n{message_id}"
    return str(uuid.uuid5(_TASKS, f"{name}\n{number}" if number else name))


def begins(message_id: str, caller: Caller, task_id: str) -> bool:
    """Whether a message is the one that its task began with, rather than a later turn."""
    return any(task_id == task_id_of(caller, message_id, n) for n in range(MAX_TRIES))
