"""What a person's message decides, in words or as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from genesis.execution.approvals import VERBS, Verb
from genesis.result import ApprovalReport
from infrastructure.a2a.types import Message
from infrastructure.jsonvalue import JsonObject, JsonValue

_YES: Final = frozenset({"approve", "approved", "yes", "y", "ok", "okay"})
_NO: Final = frozenset({"reject", "rejected", "no", "n", "deny", "denied"})
_FIRST_WORD: Final = re.compile(r"\s*([A-Za-z]+)[\s,.:;!-]*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """A decision, and the question that it answers."""

    run_id: str
    approval_id: str
    verb: Verb
    edit: JsonValue = None
    comment: str = ""


def read_decision(message: Message, approvals: Sequence[ApprovalReport]) -> Said | str:
    """The decision in a message, or why there is none.

    Args:
        message: its data part names `decision` ("approve", "reject", "edit"), and, where wanted,
            `approval_id`, `edit` and `comment`; without one its text answers the first question.
        approvals: what is asked; at least one.
    """
    for part in message.parts:
        if isinstance(part.data, Mapping) and "decision" in part.data:
            return _as_data(part.data, approvals)
    asked = approvals[0]
    if asked.kind == "input":
        if not message.text.strip():
            return "the message holds no text that answers"
        return Said(asked.run_id, asked.id, "edit", message.text)
    words = _FIRST_WORD.fullmatch(message.text)
    first = words.group(1).lower() if words else ""
    rest = words.group(2).strip() if words else ""
    if first in _YES:
        return Said(asked.run_id, asked.id, "approve", comment=rest)
    if first in _NO:
        return Said(asked.run_id, asked.id, "reject", comment=rest)
    return "that neither approves nor rejects; begin with 'approve' or 'reject'"


def _as_data(data: JsonObject, approvals: Sequence[ApprovalReport]) -> Said | str:
    verbs: dict[JsonValue, Verb] = {verb: verb for verb in VERBS}
    said = data.get("decision")
    verb = verbs.get(said) if isinstance(said, str) else None
    if verb is None:
        return f"decision must be one of {', '.join(VERBS)}"
    wanted = data.get("approval_id") or approvals[0].id
    asked = next((approval for approval in approvals if approval.id == wanted), None)
    if asked is None:
        known = ", ".join(approval.id for approval in approvals)
        return f"nothing of the id {wanted!r:.80} is asked; it is one of {known}"
    comment = data.get("comment")
    return Said(
        asked.run_id,
        asked.id,
        verb,
        data.get("edit"),
        comment if isinstance(comment, str) else "",
    )
