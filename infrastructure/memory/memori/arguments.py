"""What callers of the store give, checked: namespaces, counts, lives and paths."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, InvalidNamespaceError, MatchCondition, TTLConfig

from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.memori.items import MAX_KEY_BYTES, Namespace, encode_namespace
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.ranking import Ranking
from infrastructure.memory.memori.values import InvalidItem, check_text

WHOLE: Final = "$"
"""The path of the whole value."""

_PLACES: Final = "a store is opened on a path, ':memory:' or 'postgresql://...'"
_SQLITE: Final = "sqlite:///"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_MINUTE: Final = 60_000_000
_MAX_TTL_MINUTES: Final = 1e9
_MAX_COUNT: Final = 2**62
_MAX_SECONDS: Final = 1e10
_NAMESPACES: Final = 4_096


def namespace(labels: object, *, required: bool = False) -> Namespace:
    """The labels, each a text that is not empty and has no period in it.

    Raises:
        InvalidNamespaceError: they are not, there is none where one is required, or they are
            longer than MAX_KEY_BYTES together.
    """
    if not isinstance(labels, tuple | list):
        raise InvalidNamespaceError(
            f"a namespace is a tuple of labels, not {type(labels).__name__}"
        )
    given = tuple(cast("Sequence[object]", labels))
    try:
        checked = _labels(given)
    except TypeError:  # something in it cannot be hashed; then it is no label either
        checked = _labels.__wrapped__(given)
    if required and not checked:
        raise InvalidNamespaceError("an item needs a namespace of at least one label")
    return checked


@lru_cache(maxsize=_NAMESPACES)
def _labels(labels: tuple[object, ...]) -> Namespace:
    checked: list[str] = []
    for label in labels:
        if not isinstance(label, str) or not label or "." in label:
            raise InvalidNamespaceError(
                f"namespace {labels!r:.200} has the label {label!r:.80}; a label is a text that is "
                "not empty and has no period in it"
            )
        checked.append(_label(label))
    namespace = tuple(checked)
    if len(encode_namespace(namespace).encode()) > MAX_KEY_BYTES:
        raise InvalidNamespaceError(f"a namespace is longer than {MAX_KEY_BYTES} bytes")
    return namespace


def _label(label: str) -> str:
    try:
        return check_text(label, "a namespace label")
    except InvalidItem as error:
        raise InvalidNamespaceError(str(error)) from error


def count(number: object, what: str) -> int:
    """An integer of at least 0."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MAX_COUNT:
        raise InvalidItem(
            f"{what} must be an integer of at least 0 (and at most 2**62), not {number!r:.40}"
        )
    return number


def flag(given: object, what: str) -> bool:
    """True or False."""
    if not isinstance(given, bool):
        raise InvalidItem(f"{what} must be True or False, not {given!r:.40}")
    return given


def minutes(given: object, what: str) -> float:
    """A number of minutes above 0."""
    if (
        isinstance(given, bool)
        or not isinstance(given, int | float)
        or not 0 < given <= _MAX_TTL_MINUTES
    ):
        raise InvalidItem(f"{what} must be a number of minutes above 0, not {given!r:.40}")
    return given


def page_size(number: object) -> int:
    """How many results a page has: an integer of at least 1."""
    if count(number, "limit") == 0:
        raise InvalidItem("limit must be at least 1 for a page, which could not end otherwise")
    return cast("int", number)


def ttl(minutes: object) -> int | None:
    """Minutes as whole microseconds; None for ever."""
    if minutes is None:
        return None
    if (
        isinstance(minutes, bool)
        or not isinstance(minutes, int | float)
        or not math.isfinite(minutes)
        or not 0 <= minutes <= _MAX_TTL_MINUTES
    ):
        raise InvalidItem(
            f"ttl must be a number of minutes from 0 to {_MAX_TTL_MINUTES:.0e}, not {minutes!r:.40}"
        )
    return round(minutes * _US_PER_MINUTE)


def undo_us(seconds: object) -> int:
    """How long deleted items are kept, as whole microseconds."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 <= seconds <= _MAX_SECONDS
    ):
        raise InvalidItem(f"undo_s must be a number of seconds, 0 for never, not {seconds!r:.40}")
    return round(seconds * 1_000_000)


def provenance(given: object) -> Provenance:
    """Where what is written comes from."""
    if not isinstance(given, Provenance):
        raise InvalidItem(f"provenance must be a Provenance, not {type(given).__name__}")
    return given


def place(given: object) -> str:
    """Where a store is: a path, in which a leading `~` is the user's folder, or an address."""
    if not isinstance(given, str | Path):
        raise InvalidItem(f"{_PLACES}, not on {type(given).__name__}")
    text = str(given)
    path = text.removeprefix(_SQLITE)
    if not path:
        raise InvalidItem(f"{_PLACES}, not on {text!r}")
    return os.path.expanduser(path) if path.startswith("~") else text  # noqa: PTH111 - never raises


def embedder(given: object) -> Embedder:
    """An embedder of ours, with all that the store asks of one."""
    kinds = {"name": str, "version": str, "dimensions": int}
    described = all(isinstance(getattr(given, name, None), kind) for name, kind in kinds.items())
    if described and callable(getattr(given, "embed", None)):
        checked = cast("Embedder", given)
        if checked.dimensions >= 1:
            return checked
    raise InvalidItem(
        "an embedder needs a name and a version (str), dimensions (int, at least 1) and "
        f"embed(texts), see embeddings.embedder.Embedder; {type(given).__name__} has not; a "
        "LangChain Embeddings, a function or 'provider:model' goes into index={'embed': ..., "
        "'dims': ...}"
    )


def ttl_config(config: object) -> TTLConfig | None:
    """LangGraph's TTL config, with values that can be used."""
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise InvalidItem(f"ttl must be a dict, not {type(config).__name__}")
    given = cast("Mapping[str, object]", config)
    for name in ("refresh_on_read", "omit_expired"):
        if given.get(name) is not None:
            flag(given[name], f"ttl[{name!r}]")
    ttl(given.get("default_ttl"))
    if given.get("sweep_interval_minutes") is not None:
        minutes(given["sweep_interval_minutes"], "ttl['sweep_interval_minutes']")
    return cast("TTLConfig", config)


def index_config(config: object) -> IndexConfig | None:
    """LangGraph's index config, with an embedder that can be used."""
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise InvalidItem(f"index must be a dict, not {type(config).__name__}")
    given = cast("Mapping[str, object]", config)
    embed, dimensions = given.get("embed"), given.get("dims")
    if embed is None:
        return cast("IndexConfig", config)
    if not (isinstance(embed, str | Embeddings) or callable(embed)):
        raise InvalidItem(
            "index['embed'] must be a LangChain Embeddings, a function of a list of texts, or "
            f"'provider:model', not {type(embed).__name__}"
        )
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
        raise InvalidItem(
            "index['embed'] needs index['dims'], the length of its vectors, a positive integer, "
            f"not {dimensions!r:.40}"
        )
    return cast("IndexConfig", config)


def indexed_paths(config: IndexConfig | None) -> list[str]:
    """The paths that an index config names; LangGraph's SQLite store calls them `text_fields`."""
    given = cast("Mapping[str, Any]", config or {})
    return paths(given.get("fields") or given.get("text_fields") or [WHOLE])


def paths(given: object) -> list[str]:
    """A list of paths into a value."""
    if not isinstance(given, list):
        raise InvalidItem("index must be False, None or a list of paths into the value")
    return [check_text(path, "a path of index") for path in cast("list[object]", given)]


def ranking(given: object) -> Ranking:
    """How matches are weighed; None for the default."""
    if given is None:
        return Ranking()
    if not isinstance(given, Ranking):
        raise InvalidItem(f"ranking must be a Ranking, not {type(given).__name__}")
    return given


def match_conditions(given: object) -> list[MatchCondition]:
    """The conditions of a list of namespaces."""
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise InvalidItem(f"match_conditions must be a tuple, not {type(given).__name__}")
    for condition in cast("Sequence[object]", given):
        if not isinstance(condition, MatchCondition):
            raise InvalidItem(
                f"a match condition must be a MatchCondition, not {type(condition).__name__}"
            )
        if condition.match_type not in ("prefix", "suffix"):
            raise InvalidItem("a match condition is of type 'prefix' or 'suffix'")
    return list(cast("Sequence[MatchCondition]", given))


def write_id(given: object) -> str | None:
    """A caller's id of a write: a text that is not empty."""
    if given is None:
        return None
    text = check_text(given, "write_id")
    if not text or len(text.encode()) > MAX_KEY_BYTES:
        raise InvalidItem(f"write_id must have 1 to {MAX_KEY_BYTES} bytes; a UUID does")
    return text


def version(given: object) -> int | None:
    """An expected version: None for any, 0 for no item."""
    return None if given is None else count(given, "expected_version")


def query(given: object) -> str | None:
    """The words of a search; None for none."""
    return None if given is None else check_text(given, "query") or None


def moment(given: object, what: str) -> int | None:
    """A point in time as microseconds since the epoch; None for none.

    Raises:
        InvalidItem: not a datetime, or one that leaves its time zone open.
    """
    if given is None:
        return None
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise InvalidItem(
            f"{what} must be a datetime with its time zone, such as datetime.now(UTC), not "
            f"{given!r:.80}"
        )
    return (given - _EPOCH) // timedelta(microseconds=1)
