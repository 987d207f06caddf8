"""The card of an agent elsewhere: read within bounds, its signature checked, changes noticed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import httpx
from a2a.client.card_resolver import parse_agent_card
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseError

from infrastructure.errors import AgentMisbehaved, InputError
from infrastructure.text import one_line

CardKey: TypeAlias = str | Mapping[str, Any]
"""The public key of whoever signs a card: PEM text, a JWK, or a JWK set."""

_CARD_PATH = "/.well-known/agent-card.json"
_MAX_CARD_BYTES = 1024 * 1024
_CARD_S = 15.0
# Asymmetric only: a card is signed by its owner, and whoever can check it must not be able to sign.
_ALGORITHMS = (
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
)  # fmt: skip
_MAX_NAMED = 5
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class ReadCard:
    """A card as it was read, and the tag by which its server knows that version."""

    wire: pb.AgentCard
    etag: str = ""


class CardSource:
    """Where an agent's card is read.

    Args:
        url: where the agent is, or its card (a URL that ends in ".json").
        key: whose signature it must carry; None asks for none.

    Raises:
        InputError: the key cannot be read.
    """

    def __init__(self, url: str, key: CardKey | None = None) -> None:
        own = httpx.URL(url).path.endswith(".json")
        self.url = url if own else url.rstrip("/") + _CARD_PATH
        self._verify = _verifier(key) if key is not None else None

    async def read(self, http: httpx.AsyncClient, known_etag: str = "") -> ReadCard | None:
        """The card; None where it is still the version of that tag.

        Raises:
            AgentMisbehaved: what is there is no card, is too large, or is not signed as it must be.
            httpx.HTTPError: it cannot be read.
        """
        headers = {"If-None-Match": known_etag} if known_etag else {}
        async with asyncio.timeout(_CARD_S), http.stream("GET", self.url, headers=headers) as got:
            if known_etag and got.status_code == _NOT_MODIFIED:
                return None
            got.raise_for_status()
            body = await self._body(got)
        try:
            wire = parse_agent_card(json.loads(body))
        except (ValueError, ParseError, RecursionError) as error:
            said = one_line(str(error), 300)
            raise AgentMisbehaved(
                f"what is at {self.url} is not an A2A agent card: {said}"
            ) from error
        self.require_signed(wire)
        return ReadCard(wire, got.headers.get("etag", "")[:200])

    def require_signed(self, wire: pb.AgentCard) -> None:
        """Refuse a card without a valid signature by the key, where one was given.

        Raises:
            AgentMisbehaved: it has none.
        """
        if self._verify is None:
            return
        from a2a.utils.signing import SignatureVerificationError

        try:
            self._verify(wire)
        except SignatureVerificationError as error:
            raise AgentMisbehaved(
                f"the agent card at {self.url} is not signed by the key that was given: {error}"
            ) from error

    async def _body(self, response: httpx.Response) -> bytes:
        read = bytearray()
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) > _MAX_CARD_BYTES:
                raise AgentMisbehaved(
                    f"the agent card at {self.url} is larger than {_MAX_CARD_BYTES} bytes"
                )
        return bytes(read)


@dataclass(frozen=True, slots=True)
class CardChange:
    """How a card differs from the one that an agent was registered with.

    Attributes:
        broken: what the registration stood on and is no longer so, one sentence each.
        new: what came beside it and is not used.
    """

    broken: tuple[str, ...]
    new: tuple[str, ...]


def card_change(before: pb.AgentCard, now: pb.AgentCard) -> CardChange:
    """What changed between two readings; descriptions, versions and the like may."""
    broken: list[str] = []
    if before.name != now.name:
        broken.append(f"it was {_quoted(before.name)} and is now {_quoted(now.name)}")
    were, are = _interfaces(before), _interfaces(now)
    if were - are:
        broken.append(f"it is no longer at {_listed(were - are)}")
    old, new = _skills(before), _skills(now)
    if old.keys() - new.keys():
        broken.append(f"it no longer offers {_listed(old.keys() - new.keys())}")
    changed = {skill for skill in old.keys() & new.keys() if old[skill] != new[skill]}
    if changed:
        broken.append(f"it changed what it says of {_listed(changed)}")
    if _demands(before) != _demands(now):
        broken.append("it asks for other credentials")
    added = [_listed(found) for found in (new.keys() - old.keys(), are - were) if found]
    return CardChange(tuple(broken), tuple(added))


def _interfaces(card: pb.AgentCard) -> set[str]:
    return {f"{i.protocol_binding} {i.url} {i.tenant}".strip() for i in card.supported_interfaces}


def _skills(card: pb.AgentCard) -> dict[str, Any]:
    """By id, what routing and planning go by: tags, modes, and our extension's parameters."""
    said = {e.uri: cast("Any", MessageToDict(e.params)) for e in card.capabilities.extensions}
    described = [p.get("skills") for p in said.values() if isinstance(p.get("skills"), Mapping)]
    return {
        skill.id: (
            sorted(skill.tags),
            list(skill.input_modes),
            list(skill.output_modes),
            [one.get(skill.id) for one in described],
        )
        for skill in card.skills
    }


def _demands(card: pb.AgentCard) -> Any:
    return [MessageToDict(requirement) for requirement in card.security_requirements]


def _listed(names: set[str]) -> str:
    shown = ", ".join(map(_quoted, sorted(names)[:_MAX_NAMED]))
    return shown + (f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else "")


def _quoted(name: str) -> str:
    return repr(one_line(name, 100))


def _verifier(key: CardKey) -> Any:
    try:
        from a2a.utils.signing import create_signature_verifier
        from jwt import PyJWK, PyJWKSet
        from jwt.exceptions import PyJWTError
    except ImportError as error:
        raise InputError(
            'card_key= needs PyJWT: pip install "genesis-orchestrator[a2a]"'
        ) from error

    if isinstance(key, str) and not key.lstrip().startswith("{"):
        if "PUBLIC KEY" not in key:
            raise InputError("card_key= must be a public key: PEM text, a JWK or a JWK set")
        return create_signature_verifier(lambda kid, jku: key, list(_ALGORITHMS))
    try:
        said: dict[str, Any] = json.loads(key) if isinstance(key, str) else dict(key)
        listed = PyJWKSet.from_dict(said).keys if "keys" in said else [PyJWK.from_dict(said)]
    except (PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"card_key= is no JWK or JWK set: {error}") from error
    if any(one.key_type == "oct" for one in listed):
        raise InputError("card_key= must be a public key, not a shared secret")

    def choose(kid: str | None, jku: str | None) -> PyJWK:
        # A URL that the card itself names (jku) proves nothing, and is never fetched.
        named = [one for one in listed if one.key_id == kid]
        return (named or listed)[0]

    return create_signature_verifier(choose, list(_ALGORITHMS))
