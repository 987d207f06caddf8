"""Who caused a record: kept beside it, so that all that a source caused can be forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from infrastructure.memory.memori.values import InvalidItem, check_text

_MAX_BYTES = 500


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a record comes from.

    Fields:
        source: who or what made it, such as `agent:writer`, `user:ada` or a document's URL; empty
            when nobody said.
        run_id: the run in which it was made; empty outside any.
        verified: whether its content was checked and held; None when nobody checked.

    Raises:
        InvalidItem: a source or a run id that is not a text of at most 500 bytes.
    """

    source: str = ""
    run_id: str = ""
    verified: bool | None = None

    def __post_init__(self) -> None:
        for name, text in (("source", self.source), ("run_id", self.run_id)):
            if len(check_text(text, name).encode()) > _MAX_BYTES:
                raise InvalidItem(f"{name} is longer than {_MAX_BYTES} bytes")
        if self.verified is not None and not isinstance(self.verified, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InvalidItem(f"verified must be True, False or None, not {self.verified!r:.40}")


UNKNOWN = Provenance()
