"""Names that are keys of tables, bounded so that every index of both databases can hold them."""

from __future__ import annotations

from typing import Final

from infrastructure.errors import InputError

MAX_NAME_BYTES: Final = 400
"""PostgreSQL's index rows end at 2,704 bytes, and the longest of ours has a tenant, five names."""


def checked_name(name: object, what: str) -> str:
    """The name itself: text with something to read in it, at most MAX_NAME_BYTES long in UTF-8.

    Raises:
        InputError: it is something else; the message names it.
    """
    text = checked_label(name, what)
    if not text.strip():
        raise InputError(f"{what} must be a string that is not empty")
    return text


def checked_label(label: object, what: str) -> str:
    """Like `checked_name`, but it may be empty."""
    if not isinstance(label, str):
        raise InputError(f"{what} must be a string, not {type(label).__name__}")
    # Surrogates are refused with all other text that cannot be stored, by the transaction.
    size = len(label.encode(errors="surrogatepass"))
    if size > MAX_NAME_BYTES:
        raise InputError(f"{what} has {size:,} bytes, and at most {MAX_NAME_BYTES} are stored")
    return label
