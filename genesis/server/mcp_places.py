"""Where a memory is: namespaces as dotted text, resources as URIs, and what is shown of a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote, unquote

import orjson

from infrastructure.errors import InputError

METRICS_URI: Final = "memory://metrics"
_ITEM: Final = "memory://item/"
_PATTERNS: Final = "memory://patterns/"
ITEM_TEMPLATE: Final = _ITEM + "{namespace}/{key}"
PATTERNS_TEMPLATE: Final = _PATTERNS + "{task_type}"
_SESSIONS: Final = "sessions"


def dotted(namespace: tuple[str, ...]) -> str:
    """A namespace as text; no label has a period."""
    return ".".join(namespace)


def labels(namespace: str) -> tuple[str, ...]:
    """A namespace of text; an empty one has no labels.

    Raises:
        InputError: a label is empty.
    """
    if not namespace:
        return ()
    parts = tuple(namespace.split("."))
    if not all(part.strip() for part in parts):
        raise InputError(f"the namespace {namespace!r} has an empty label between its periods")
    return parts


def session_namespace(session: str) -> tuple[str, ...]:
    """Where the notes of a session are; different sessions never share one."""
    return (_SESSIONS, session.replace("%", "%25").replace(".", "%2E"))


def memory_uri(namespace: tuple[str, ...], key: str) -> str:
    """The resource of a memory."""
    return f"{_ITEM}{quote(dotted(namespace), safe='')}/{quote(key, safe='')}"


def patterns_uri(task_type: str) -> str:
    """The resource of a task type's patterns."""
    return _PATTERNS + quote(task_type, safe="")


def memory_at(uri: str) -> tuple[tuple[str, ...], str] | None:
    """Namespace and key of a memory's URI; None for any other."""
    if not uri.startswith(_ITEM):
        return None
    namespace, slash, key = uri.removeprefix(_ITEM).partition("/")
    if not slash or not namespace or not key or "/" in key:
        return None
    return labels(unquote(namespace)), unquote(key)


def task_type_at(uri: str) -> str | None:
    """The task type of a URI of patterns; None for any other."""
    name = uri.removeprefix(_PATTERNS) if uri.startswith(_PATTERNS) else ""
    return unquote(name) if name and "/" not in name else None


def text_of(value: Mapping[str, Any]) -> str:
    """What is shown of a value as text: its `text`, or all of it as JSON."""
    text = value.get("text")
    return text if isinstance(text, str) else orjson.dumps(dict(value)).decode()


def metadata_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a value holds beside its text."""
    if not isinstance(value.get("text"), str):
        return {}
    rest = {name: each for name, each in value.items() if name != "text"}
    only = rest.get("metadata")
    if len(rest) == 1 and isinstance(only, dict):
        return cast("dict[str, Any]", only)
    return rest
