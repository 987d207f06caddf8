"""Signed agent cards: a JWS over the canonical card (RFC 8785), and the key set that proves it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from a2a.types import a2a_pb2 as pb

from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonObject

JWKS_PATH: Final = "/.well-known/jwks.json"

_THUMBPRINT: Final = ("crv", "kty", "x", "y")
_EXTRA: Final = "signing needs the a2a extra: pip install 'genesis-orchestrator[a2a]'"


class CardSigner:
    """Signs cards with one private key, by ES256 (P-256) or EdDSA (Ed25519).

    Args:
        pem: the private key, PKCS#8 in PEM without a password.
        source: where it comes from, for error messages.

    Raises:
        ConfigError: it is no such key, or the `a2a` extra is not installed.
    """

    def __init__(self, pem: bytes, source: str = "the signing key") -> None:
        self._key, self._algorithm, self._public = _read(pem, source)
        needed = {
            name: self._public[name] for name in ("crv", "kty", "x", "y") if name in self._public
        }
        # The key's own thumbprint (RFC 7638) names it.
        canonical = json.dumps(needed, sort_keys=True, separators=(",", ":")).encode()
        self.key_id = _base64url(hashlib.sha256(canonical).digest())

    @classmethod
    def load_or_create(cls, path: Path) -> CardSigner:
        """The key in a file; a new one is made, readable by its owner only, where there is none.

        Raises:
            ConfigError: the file cannot be read or made, or holds no key.
        """
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            pem = _create(path)
        except OSError as error:
            raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from error
        return cls(pem, str(path))

    @property
    def jwks(self) -> JsonObject:
        """The public key, as a JWK set to be served at `JWKS_PATH`."""
        return {
            "keys": [{**self._public, "kid": self.key_id, "use": "sig", "alg": self._algorithm}]
        }

    def sign(self, card: pb.AgentCard, base_url: str) -> None:
        """Add a signature to a card, in place.

        Args:
            card: complete; whatever is changed afterwards breaks the signature.
            base_url: of the server; the key set is found under it.
        """
        from a2a.utils.signing import ProtectedHeader, create_agent_card_signer

        header = ProtectedHeader(
            kid=self.key_id,
            alg=self._algorithm,
            jku=base_url.rstrip("/") + JWKS_PATH,
            typ="JOSE",
        )
        create_agent_card_signer(self._key, header)(card)


def _read(pem: bytes, source: str) -> tuple[Any, str, dict[str, str]]:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from jwt.algorithms import ECAlgorithm, OKPAlgorithm
    except ImportError as error:
        raise ConfigError(source, "", _EXTRA) from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(source, "", "must be a private key in PEM without a password") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key, "ES256", json.loads(ECAlgorithm.to_jwk(key.public_key()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key, "EdDSA", json.loads(OKPAlgorithm.to_jwk(key.public_key()))
    raise ConfigError(source, "", "must be a P-256 or an Ed25519 key")


def _create(path: Path) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )
    except ImportError as error:
        raise ConfigError(str(path), "", _EXTRA) from error
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was quicker: one key serves both
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be made: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return pem


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
