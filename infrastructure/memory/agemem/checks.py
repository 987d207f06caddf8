"""What callers of AgeMem give, checked: every message says what is wrong and what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.values import decode, encode

if TYPE_CHECKING:
    from infrastructure.models.chat import ChatModel

MOST_CHARACTERS: Final = 100_000
MOST_ENTRIES: Final = 1_000_000
MOST_WORDS: Final = 2_000
"""Characters of a reason, a source or a name of a type."""

_REFUSED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_MOST_LABELS: Final = 20
_MOST_ID: Final = 200


def text(given: object, what: str, *, most: int = MOST_CHARACTERS, empty: bool = False) -> str:
    """A text without control characters, that is not blank unless `empty` says that it may be.

    Raises:
        InputError: it is none.
    """
    if not isinstance(given, str):
        raise InputError(f"{what} must be a str, not {type(given).__name__}")
    if len(given) > most:
        raise InputError(
            f"{what} has {len(given):,} characters, and at most {most:,} are taken; cut it, or "
            "keep it in a file and its path here"
        )
    if not empty and not given.strip():
        raise InputError(f"{what} is empty; give a text that says something")
    if (not given.isascii() or not given.isprintable()) and (bad := _REFUSED.search(given)):
        raise InputError(
            f"{what} has the control character {bad.group()!r} at place {bad.start():,}; remove "
            "it (infrastructure.text.strip_control does)"
        )
    return given


def entry_id(given: object, what: str = "an entry's id") -> str:
    """A text that may be an id; whether there is such an entry is another question."""
    return text(given, what, most=_MOST_ID)


def metadata(given: object) -> JsonObject:
    """A copy of a dict of plain JSON values, which later changes of the caller's cannot reach."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"metadata must be a dict, not {type(given).__name__}")
    if not given:
        return {}
    written = encode(dict(cast("Mapping[str, object]", given)), "metadata")
    if len(written) > MOST_CHARACTERS:
        raise InputError(
            f"metadata takes {len(written):,} characters as JSON, and at most "
            f"{MOST_CHARACTERS:,} are taken; keep large values in a file and its path here"
        )
    return cast("JsonObject", decode(written))


def share(given: object, what: str) -> float:
    """A finite number from 0 to 1."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise InputError(f"{what} must be a number from 0 to 1, not {given!r:.40}")
    return float(given)


def count(given: object, what: str, *, least: int = 1, most: int = MOST_ENTRIES) -> int:
    """A whole number within bounds."""
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise InputError(
            f"{what} must be a whole number from {least:,} to {most:,}, not {given!r:.40}"
        )
    return given


def namespace(given: object) -> tuple[str, ...]:
    """Labels as LangGraph's stores take them: not empty, without a period, not "langgraph" first.

    Raises:
        InputError: they are none.
    """
    if not isinstance(given, tuple | list) or not cast("list[object]", given):
        raise InputError("the namespace must be a tuple of at least one label, like ('agemem',)")
    labels = tuple(
        text(label, "a label of the namespace", most=_MOST_ID)
        for label in cast("list[object]", given)
    )
    if len(labels) > _MOST_LABELS:
        raise InputError(f"the namespace has more than {_MOST_LABELS} labels")
    for label in labels:
        if "." in label or "\n" in label:
            raise InputError(f"the namespace's label {label!r:.80} has a period or a line break")
    if labels[0] == "langgraph":
        raise InputError("the namespace must not begin with 'langgraph', which LangGraph keeps")
    return labels


def model(given: ChatModel | None) -> ChatModel | None:
    """A chat model, or none; its name alone is none yet."""
    if given is not None and not callable(getattr(given, "complete", None)):
        raise InputError(
            f"model must be a ChatModel, not {type(given).__name__}; "
            "ChatModels(['provider:name']).default makes one"
        )
    return given


def is_share(given: object) -> bool:
    """Whether a stored value is a number from 0 to 1."""
    return is_number(given) and 0 <= cast("float", given) <= 1


def is_number(given: object) -> bool:
    """Whether a stored value is a finite number."""
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
