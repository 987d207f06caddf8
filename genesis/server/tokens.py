"""The file of those who may call: names, tenants and hashes of tokens, never a token itself.

    - name: ci
      tenant: team-a
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      expires: 2027-01-01T00:00:00Z    # optional, with its time zone
      operator: true                   # optional: may read the metrics of the whole process

A token is 256 random bits, so that a plain SHA-256 of it gives nothing away.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, cast

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as PydanticError

from infrastructure.config import yaml_problem
from infrastructure.errors import ConfigError, InputError
from infrastructure.jsonvalue import JsonValue

# The prefix is one that redaction knows: such a token is taken out of whatever is logged.
TOKEN_PREFIX: Final = "key-"  # noqa: S105 - the part of it that is no secret
_TOKEN_BYTES: Final = 32
_MAX_NAME_BYTES: Final = 200


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("must be printable text")
    if len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
        raise ValueError(f"must have at most {_MAX_NAME_BYTES} bytes")
    return name


Label = Annotated[str, AfterValidator(_printable)]


class TokenEntry(BaseModel):
    """One who may call.

    Attributes:
        name: says in logs and journals who called.
        tenant: whose runs and memory the holder sees.
        sha256: of the token, in hexadecimal.
        expires: from then on it is refused; None never.
        operator: may read the metrics of the whole process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Label
    tenant: Label
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None
    operator: bool = False


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made.

    Attributes:
        token: the secret itself; it is kept nowhere.
        entry: what is kept of it.
    """

    token: str
    entry: TokenEntry


_ENTRIES: Final = TypeAdapter(list[TokenEntry])


def hash_of(token: str) -> str:
    """The SHA-256 of a token, in hexadecimal."""
    # A header can hold bytes that are no text; they must be refused, not break the hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_tokens(path: Path) -> list[TokenEntry]:
    """The entries of a file of tokens.

    Raises:
        ConfigError: it cannot be read, is not well formed, or has a name or token twice.
    """
    try:
        data = cast("JsonValue", yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read as UTF-8 text: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(path), "", yaml_problem(error)) from error
    try:
        entries = _ENTRIES.validate_python(data or [])
    except PydanticError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(str(path), key, first["msg"]) from error
    for field in ("name", "sha256"):
        counts = Counter(cast("str", getattr(entry, field)) for entry in entries)
        twice = [entry.name for entry in entries if counts[getattr(entry, field)] > 1]
        if twice:
            raise ConfigError(str(path), field, f"is there more than once: {', '.join(twice)}")
    return entries


def make_token(
    path: Path,
    name: str,
    tenant: str,
    *,
    expires: datetime | None = None,
    operator: bool = False,
) -> NewToken:
    """Make a token and add its hash to the file, which is made when missing.

    Raises:
        InputError: the name is taken, or a value cannot be used.
        ConfigError: the file is there and damaged, or cannot be written.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        entry = TokenEntry(
            name=name, tenant=tenant, sha256=hash_of(token), expires=expires, operator=operator
        )
    except PydanticError as error:
        first = error.errors(include_input=False)[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    known = read_tokens(path) if path.exists() else []
    if any(other.name == name for other in known):
        raise InputError(f"{path} has a token named {name!r} already; remove it or choose a name")
    _append(path, [entry])
    return NewToken(token, entry)


def _append(path: Path, entries: Sequence[TokenEntry]) -> None:
    """Add entries at the end, so that whatever people wrote in the file stays as it is."""
    text = yaml.safe_dump(
        [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries],
        sort_keys=False,
        allow_unicode=True,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                text = text if file.read(1) == b"\n" else f"\n{text}"
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be written: {error}") from error


def expired(entry: TokenEntry, now: float) -> bool:
    """Whether a token is past its time; `now` in seconds since the epoch."""
    return entry.expires is not None and entry.expires <= datetime.fromtimestamp(now, UTC)
