"""Who calls: bearer tokens from a file and the environment; without any, whoever is on loopback."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from genesis.server.tokens import TokenEntry, expired, hash_of, read_tokens
from infrastructure.callers import Caller
from infrastructure.clock import Clock
from infrastructure.errors import ConfigError

log = logging.getLogger("genesis.server")

TOKEN_VARIABLE: Final = "GENESIS_TOKEN"  # noqa: S105 - a name
LOCAL_CALLER: Final = "local"
_MIN_TOKEN_CHARS: Final = 16
_LOOK_AGAIN_S: Final = 1.0


class Callers:
    """Tells from a bearer token who calls.

    The file is read again when it changes, so that a token can be added or taken away while the
    server runs. A file that became unreadable is reported and the tokens read before stay.

    Args:
        clock: for expiry, and for how often the file is looked at.
        tokens_file: see `genesis.server.tokens`; None or a missing file holds none.
        token: one more, of `tenant`; empty for none.
        tenant: of that token, and of callers on loopback where there are no tokens.

    Raises:
        ConfigError: the file is damaged, or the token is too short to be one.
    """

    def __init__(
        self, clock: Clock, tokens_file: Path | None = None, token: str = "", tenant: str = ""
    ) -> None:
        self._clock = clock
        self._file = tokens_file
        self._tenant = tenant or "default"
        self._fixed = _fixed(token, self._tenant)
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = clock.monotonic()
        self._entries: tuple[TokenEntry, ...] = ()
        self._needed = bool(self._fixed)
        self._read()

    @classmethod
    def of_environment(
        cls, clock: Clock, tokens_file: Path, tenant: str, environ: Mapping[str, str]
    ) -> Callers:
        """Those of a file and of `GENESIS_TOKEN`."""
        return cls(clock, tokens_file, environ.get(TOKEN_VARIABLE, ""), tenant)

    @property
    def needed(self) -> bool:
        """Whether a token is asked for; once it is, taking the last one away admits nobody."""
        return self._needed

    @property
    def tenants(self) -> tuple[str, ...]:
        """Whose runs this server works on."""
        if not self._needed:
            return (self._tenant,)
        return tuple(dict.fromkeys(entry.tenant for entry in self._all()))

    def authenticate(self, bearer: str | None) -> Caller | None:
        """The caller with this token (None without one); None when it is refused."""
        self._look_again()
        if not self._needed:
            return Caller(self._tenant, LOCAL_CALLER)
        entry = self._entry(bearer)
        return None if entry is None else Caller(entry.tenant, entry.name)

    def is_operator(self, bearer: str | None) -> bool:
        """Whether the holder of the token may read the metrics of the whole process."""
        self._look_again()
        if not self._needed:
            return True
        entry = self._entry(bearer)
        return entry is not None and entry.operator

    def _entry(self, bearer: str | None) -> TokenEntry | None:
        given = hash_of(bearer or "")
        found = None
        for entry in self._all():
            # All are compared, so that the time taken says nothing of where one was found.
            if hmac.compare_digest(entry.sha256, given):
                found = entry
        if found is None or not bearer or expired(found, self._clock.now()):
            return None
        return found

    def _all(self) -> Iterable[TokenEntry]:
        return (*self._entries, *self._fixed)

    def _look_again(self) -> None:
        now = self._clock.monotonic()
        if self._file is None or now - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = now
        try:
            if self._read():
                log.info("read the tokens again: %s", self._file)
        except ConfigError as error:
            log.error("the tokens read before stay in force: %s", error)

    def _read(self) -> bool:
        """Read the file if it changed; whether it did."""
        if self._file is None:
            return False
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            changed, self._entries, self._seen = self._seen is not None, (), None
            return changed
        except OSError as error:
            raise ConfigError(str(self._file), "", f"cannot be read: {error}") from error
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen == self._seen:
            return False
        self._seen = seen
        self._entries = tuple(read_tokens(self._file))
        self._needed = self._needed or bool(self._entries)
        return True


def _fixed(token: str, tenant: str) -> tuple[TokenEntry, ...]:
    if not token:
        return ()
    if len(token) < _MIN_TOKEN_CHARS:
        problem = f"is too short to be a token; use {_MIN_TOKEN_CHARS} random characters or more"
        raise ConfigError(TOKEN_VARIABLE, "", problem)
    return (TokenEntry(name=TOKEN_VARIABLE, tenant=tenant, sha256=hash_of(token), operator=True),)


def bearer_of(authorization: str | None) -> str | None:
    """The bearer token in an `Authorization` header; None when there is none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
