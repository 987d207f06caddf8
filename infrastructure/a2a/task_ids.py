"""The names of A2A tasks."""

from __future__ import annotations

import uuid
from typing import Final

from infrastructure.callers import Caller

_TASKS: Final = uuid.UUID("6f1f2c52-6b2c-4f0b-9d5e-0d2f6f0a7b11")


def task_id_of(caller: Caller, message_id: str) -> str:
    """The task that a caller's message begins: the same for the same message, at any time."""
    return str(uuid.uuid5(_TASKS, f"{caller.tenant}\n{caller.name}\n{message_id}"))
