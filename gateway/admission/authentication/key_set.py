"""A set of public keys (RFC 7517), as a table from key id and algorithm to keys.

What a set says is not trusted further than needed: a key that is private, symmetric, weak, for something else
than signatures or malformed is left out, and the log says why.

Sources: RFC 7517, section 4 and 5; RFC 7518, section 3.3 (RSA of 2048 bits or more), 3.4 and 6; RFC 8037;
RFC 8725, 3.5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gateway.transcoding.violations import quoted, truncated

log = logging.getLogger(__name__)

MAX_KEYS: Final = 100
"""Maximum keys of a set."""
MAX_CANDIDATES: Final = 3
"""Maximum keys that one token is tried with: those with the same id, or all for a token without one."""
MAX_KID: Final = 256
"""Maximum characters of a key id."""
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of private and of symmetric keys (RFC 7518, 6.2.2, 6.3.2 and 6.4)."""
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_RSA_EXPONENT: Final = 2**32
"""A larger exponent makes a verification expensive."""
_MAX_MEMBER: Final = 1400
"""Maximum characters of a member of a key: 8192 bits in base64url, and some."""
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
_MATERIAL: Final = ("kty", "crv", "n", "e", "x", "y")
_Key: TypeAlias = tuple[str | None, frozenset[str], Any]
"""Id, algorithms and public key."""
_READERS: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


class KeySet:
    """The usable keys of a set."""

    def __init__(self, keys: list[tuple[str | None, frozenset[str], Any]]) -> None:
        """Takes id, algorithms and public key of each."""
        self._keys: dict[tuple[str | None, str], tuple[Any, ...]] = {}
        for kid, algorithms, public in keys:
            for algorithm in algorithms:
                for place in {(kid, algorithm), (None, algorithm)}:
                    self._keys[place] = (*self._keys.get(place, ()), public)

    def find(self, kid: str | None, algorithm: str) -> tuple[Any, ...]:
        """Returns the keys that a token may be signed with; none if no key, or too many keys, fit.

        Args:
            kid: the key id of the token; None: the token has none, and any key for its algorithm fits.
            algorithm: of the token.
        """
        found = self._keys.get((kid, algorithm), ())
        return found if len(found) <= MAX_CANDIDATES else ()


class SecretKey(KeySet):
    """The secret of an issuer whose tokens have symmetric signatures; key ids do not count."""

    def __init__(self, secret: bytes, algorithms: frozenset[str]) -> None:
        super().__init__([(None, algorithms, secret)])

    def find(self, kid: str | None, algorithm: str) -> tuple[Any, ...]:
        """Returns the secret, if the algorithm is one of its own."""
        del kid
        return super().find(None, algorithm)


def read_key_set(text: bytes, source: str) -> KeySet:
    """Reads a key set.

    Args:
        text: JSON.
        source: file or URL, for the log.

    Raises:
        ValueError: it is no key set, or has too many keys, or none that can be used.
    """
    return KeySet([key for key, _ in _usable(text, source)])


def public_keys(text: bytes, source: str, algorithms: Collection[str]) -> list[dict[str, str]]:
    """Returns the usable keys of a set in its own form, each for one of some algorithms.

    A key for several of them is there several times, so that its `alg` says what it verifies.

    Raises:
        ValueError: see `read_key_set`; or no key is for one of the algorithms.
    """
    found = [
        {
            **{name: member[name] for name in ("kid", *_MATERIAL) if name in member},
            "use": "sig",
            "alg": algorithm,
        }
        for (_, possible, _), member in _usable(text, source)
        for algorithm in algorithms
        if algorithm in possible
    ]
    if not found:
        raise ValueError(f"has no key for {', '.join(algorithms)}")
    return found


def _usable(text: bytes, source: str) -> list[tuple[_Key, dict[str, Any]]]:
    """Returns the usable keys with what the set says of each; see `read_key_set`."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError('is no key set: expected {"keys": [...]}')
    if len(members) > MAX_KEYS:
        raise ValueError(f"has {len(members)} keys; the maximum is {MAX_KEYS}")
    keys = []
    for number, member in enumerate(members):
        try:
            keys.append((_read_key(member), member))
        except ValueError as problem:
            log.warning("%s: key %d is left out: %s", source, number, problem)
    if not keys:
        raise ValueError("has no key that can verify signatures")
    return keys


def _read_key(member: Any) -> _Key:
    """Returns id, algorithms and public key.

    Raises:
        ValueError: the key cannot be used; the text says why, without the key.
    """
    if not isinstance(member, dict):
        raise ValueError("it is no object")
    key_type, kid = member.get("kty"), member.get("kid")
    if key_type == "oct":
        raise ValueError("it is symmetric; a secret belongs into secret_file")
    if private := sorted(_PRIVATE & member.keys()):
        raise ValueError(f"it is private (it has {', '.join(private)}) and so no secret any more")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise ValueError(f"its kid is no text of at most {MAX_KID} characters")
    if member.get("use", "sig") != "sig" or "verify" not in _operations(member):
        raise ValueError("it is not for verifying signatures (use, key_ops)")
    algorithms = _algorithms(member)
    material = {name: member.get(name) for name in _MATERIAL}
    if any(isinstance(value, str) and len(value) > _MAX_MEMBER for value in material.values()):
        raise ValueError("it is too large")
    try:
        public = _READERS[str(key_type)]({k: v for k, v in material.items() if v is not None})
    except (PyJWTError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"it is malformed: {truncated(str(error), 100)}") from None
    if isinstance(public, RSAPublicKey):
        _check_rsa(public)
    return kid, algorithms, public


def _operations(member: dict[str, Any]) -> list[Any]:
    operations = member.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _algorithms(member: dict[str, Any]) -> frozenset[str]:
    """Returns the algorithms that a key is for, by its type, its curve and its `alg`.

    Raises:
        ValueError: it is for none that the edge knows.
    """
    key_type, curve, own = (str(member.get(name)) for name in ("kty", "crv", "alg"))
    possible = _RSA if key_type == "RSA" else _CURVES.get((key_type, curve), frozenset())
    if "alg" in member:
        own = "EdDSA" if own == "Ed25519" else own  # RFC 9864
        possible &= {own}
    if not possible:
        shown = ", ".join(
            f"{name} {quoted(truncated(str(member[name]), 40))}"
            for name in ("kty", "crv", "alg")
            if name in member
        )
        raise ValueError(f"no signature that the edge knows is made with it ({shown})")
    return possible


def _check_rsa(public: RSAPublicKey) -> None:
    if not _MIN_RSA_BITS <= public.key_size <= _MAX_RSA_BITS:
        raise ValueError(
            f"it has {public.key_size} bits; RSA keys have {_MIN_RSA_BITS} to {_MAX_RSA_BITS}"
        )
    if public.public_numbers().e > _MAX_RSA_EXPONENT:
        raise ValueError("its exponent is too large")
