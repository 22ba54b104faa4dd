"""Tokens and keys for the tests, and whatever an attacker makes of them."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "echo"
_ALGORITHMS: dict[str, Any] = {"RS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}


class Key:
    """A key pair with its id."""

    def __init__(self, kid: str, algorithm: str = "ES256", *, bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: Any
        if algorithm.startswith("RS"):
            self.private = generate_rsa(65537, bits)
        elif algorithm == "EdDSA":
            self.private = Ed25519PrivateKey.generate()
        else:
            self.private = generate_private_key(SECP256R1())

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key as a member of a key set."""
        kind = _ALGORITHMS[self.algorithm[:2]]
        made: dict[str, Any] = json.loads(kind.to_jwk(self.private.public_key()))
        return made | {"kid": self.kid, "use": "sig", "alg": self.algorithm} | members

    def private_jwk(self) -> dict[str, Any]:
        """The private key as a member of a key set, where it must not be."""
        made: dict[str, Any] = json.loads(_ALGORITHMS[self.algorithm[:2]].to_jwk(self.private))
        made.pop("key_ops", None)
        return made | {"kid": self.kid}

    def pem(self) -> bytes:
        """The public key in PEM."""
        public = self.private.public_key()
        made: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return made

    def sign(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Returns a token; a claim of None is left out."""
        named = {"kid": self.kid, **(header or {})}
        return jwt.api_jws.encode(
            json.dumps(claims_of(**claims)).encode(),
            self.private,
            self.algorithm,
            headers={k: v for k, v in named.items() if v is not None or k != "kid"},
        )


@cache
def key(kid: str = "one", algorithm: str = "ES256", bits: int = 2048) -> Key:
    """The same key for the same arguments."""
    return Key(kid, algorithm, bits=bits)


def claims_of(**claims: Any) -> dict[str, Any]:
    """Returns good claims, with some that are other; None leaves one out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 3600}
    return {name: value for name, value in (good | claims).items() if value is not None}


def part(value: object) -> str:
    """Returns JSON, or bytes, as a part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_set(*members: dict[str, Any]) -> bytes:
    """Returns a key set."""
    return json.dumps({"keys": members}).encode()


def bearer(token: str) -> dict[str, str]:
    """Returns the header with a token."""
    return {"authorization": f"Bearer {token}"}


def write_keys(folder: Path, *members: dict[str, Any]) -> str:
    """Writes a key set; returns its path."""
    path = folder / "keys.json"
    path.write_bytes(key_set(*(members or (key().jwk(),))))
    return str(path)
