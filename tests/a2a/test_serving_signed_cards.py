"""Signed cards: whoever fetches the key set can prove the card, and no change goes unnoticed."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any, cast

import httpx
import jwt
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.json_format import ParseDict
from serving_world import Worlds

from genesis.testing import FakeAgent
from infrastructure.a2a.serving import A2AServer
from infrastructure.a2a.signing import CardSigner
from infrastructure.callers import Caller
from infrastructure.errors import ConfigError


def _pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEYS = [
    pytest.param(ec.generate_private_key(ec.SECP256R1()), "ES256", id="P-256"),
    pytest.param(ed25519.Ed25519PrivateKey.generate(), "EdDSA", id="Ed25519"),
]


async def _fetched(url: str, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        return (await http.get(url + path)).json()


def _verify(card: dict[str, Any], keys: dict[str, Any], algorithm: str) -> None:
    by_id = {key["kid"]: jwt.PyJWK(key) for key in keys["keys"]}
    wire = ParseDict(card, pb.AgentCard())
    create_signature_verifier(lambda kid, _: by_id[kid or ""], [algorithm])(wire)


@pytest.mark.parametrize(("key", "algorithm"), KEYS)
async def test_the_published_key_proves_the_card(worlds: Worlds, key: Any, algorithm: str) -> None:
    signer = CardSigner(_pem(key))
    world = await worlds(
        lambda url, address: A2AServer(FakeAgent("a"), url=url, grpc_url=address, signer=signer)
    )
    card = await _fetched(world.url, "/.well-known/agent-card.json")
    keys = await _fetched(world.url, "/.well-known/jwks.json")
    (signature,) = card["signatures"]
    header = json.loads(_decoded(signature["protected"]))
    assert header == {
        "alg": algorithm,
        "kid": signer.key_id,
        "jku": world.url + "/.well-known/jwks.json",
        "typ": "JOSE",
    }
    (published,) = keys["keys"]
    assert (published["kid"], published["alg"], published["use"]) == (
        signer.key_id,
        algorithm,
        "sig",
    )
    assert "d" not in published  # the private half
    _verify(card, keys, algorithm)
    changes: list[dict[str, Any]] = [
        {"name": "b"},
        {"supportedInterfaces": card["supportedInterfaces"][::-1]},
        {"skills": []},
    ]
    for change in changes:
        with pytest.raises(InvalidSignaturesError):
            _verify({**card, **change}, keys, algorithm)


async def test_what_is_shown_is_exactly_what_was_signed(worlds: Worlds) -> None:
    """Proved without the SDK's canonical form: by RFC 8785 for a card without odd numbers."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = CardSigner(_pem(key))
    world = await worlds(
        lambda url, address: A2AServer(FakeAgent("a"), url=url, grpc_url=address, signer=signer)
    )
    card = await _fetched(world.url, "/.well-known/agent-card.json")
    (signature,) = card.pop("signatures")
    canonical = json.dumps(
        _without_empty(card), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    token = b".".join(
        [
            signature["protected"].encode(),
            base64.urlsafe_b64encode(canonical.encode()).rstrip(b"="),
            signature["signature"].encode(),
        ]
    )
    jwt.api_jws.decode(token.decode(), key=key.public_key(), algorithms=["ES256"])


def _without_empty(value: Any) -> Any:
    """Empty texts, lists and objects are no part of what is signed; 4.0 is written as 4."""
    if isinstance(value, dict):
        inside = cast("dict[str, Any]", value)
        kept = {name: _without_empty(inner) for name, inner in inside.items()}
        return {name: inner for name, inner in kept.items() if inner not in ("", [], {}, None)}
    if isinstance(value, list):
        listed = [_without_empty(inner) for inner in cast("list[Any]", value)]
        return [inner for inner in listed if inner not in ("", [], {})]
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def test_the_extended_card_is_signed_too(worlds: Worlds) -> None:
    signer = CardSigner(_pem(ec.generate_private_key(ec.SECP256R1())))

    def make(url: str, address: str) -> A2AServer:
        def authenticate(token: str | None) -> Caller | None:
            return Caller("acme", "ann") if token == "t" else None

        return A2AServer(
            FakeAgent("a"), url=url, grpc_url=address, signer=signer, authenticate=authenticate
        )

    world = await worlds(make)
    extended = await world.wire("GRPC", "t").call("GetExtendedAgentCard", {})
    _verify(extended, dict(signer.jwks), "ES256")


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a2a.pem"
    first, second = CardSigner.load_or_create(path), CardSigner.load_or_create(path)
    assert first.key_id == second.key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_key_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    for pem in (b"nonsense", _pem(rsa.generate_private_key(65537, 2048))):
        path.write_bytes(pem)
        with pytest.raises(ConfigError, match="key"):
            CardSigner.load_or_create(path)
    with pytest.raises(ConfigError, match="cannot be"):
        CardSigner.load_or_create(tmp_path)
