"""A JSON Web Token, read before and verified behind the choice of its key.

What the token's header says chooses among what the settings allow, and nothing else: `alg` must be one of the
issuer's, `kid` is looked up in a table, `jku`, `jwk`, `x5u` and `x5c` are ignored.

Sources: RFC 7515, section 4 and 7.1; RFC 7519, section 4 and 5; RFC 7797 (`b64`); RFC 8725; RFC 9068.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt
import orjson
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuedAtError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from gateway.admission.authentication.jwt_settings import IssuerSettings
from gateway.admission.authentication.key_set import MAX_KID

_SIGNED: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""The compact form of a signed token (RFC 7515, section 7.1), in base64url without padding."""
_ENCRYPTED_PARTS: Final = 5
_MAX_HEADER: Final = 2048
"""Maximum characters of a token's header, in base64url."""
_MAX_DATE: Final = 2**42
"""Latest time in a claim, in seconds; beyond it a date is a mistake."""
_DATES: Final = ("exp", "nbf", "iat")
_USUAL_TYPES: Final = frozenset({"", "jwt", "at+jwt"})
"""Values of `typ` that are accepted where none is set; other types are not for this use (RFC 8725, 3.11)."""


class TokenError(Exception):
    """A token is refused; the text says why, and has nothing of the token."""

    def __init__(self, description: str, *, lasting: bool = True) -> None:
        """Takes the text.

        Args:
            description: for developers.
            lasting: whether the token will be refused again, unless the keys change.
        """
        super().__init__(description)
        self.lasting = lasting


class UnverifiedToken(NamedTuple):
    """What a token says of itself: good to choose a key, and for nothing else."""

    text: str
    issuer: str
    algorithm: str
    kid: str | None
    token_type: str


def read_token(token: bytes) -> UnverifiedToken:
    """Reads what chooses the key of a token.

    Raises:
        TokenError: it is no signed JWT, or needs what the edge does not do.
    """
    parts = token.split(b".")
    if len(parts) == _ENCRYPTED_PARTS:
        raise TokenError("encrypted tokens are not accepted")
    if not _SIGNED.fullmatch(token):
        raise TokenError("the token is no JWT")
    if len(parts[0]) > _MAX_HEADER:
        raise TokenError("the header of the token is too large")
    header = _object(parts[0], "header")
    if "crit" in header or "b64" in header:
        raise TokenError("the token has critical extensions, of which the edge knows none")
    claims = _object(parts[1], "payload")
    algorithm, kid, token_type = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(algorithm, str) or not isinstance(token_type, str):
        raise TokenError("the header of the token is malformed")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenError("the key id of the token is malformed or too large")
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise TokenError("the token has no issuer")
    for name in _DATES:
        date = claims.get(name, 0)
        if isinstance(date, bool) or not isinstance(date, int | float) or not 0 <= date < _MAX_DATE:
            raise TokenError(f"the claim {name} is no date")
    return UnverifiedToken(token.decode("ascii"), issuer, algorithm, kid, token_type)


def _object(part: bytes, name: str) -> dict[str, Any]:
    try:
        found = orjson.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TokenError(f"the {name} of the token is malformed")
    return found


def check_header(token: UnverifiedToken, issuer: IssuerSettings) -> None:
    """Refuses an algorithm, or a type of token, that the issuer is not known for.

    Raises:
        TokenError: it is one.
    """
    if token.algorithm not in issuer.accepted_algorithms:
        raise TokenError("the algorithm of the token is not accepted")
    given, expected = (
        each.lower().removeprefix("application/") for each in (token.token_type, issuer.token_type)
    )
    if given not in ({expected} if expected else _USUAL_TYPES):
        raise TokenError("the type of the token is not accepted")


def verified_claims(
    token: UnverifiedToken, keys: tuple[Any, ...], issuer: IssuerSettings
) -> Mapping[str, Any]:
    """Returns the claims of a token, once its signature and its claims were verified.

    This takes 50 to 150 µs of CPU, in the event loop: a thread would cost about as much.

    Args:
        token: with an algorithm that `check_header` has accepted.
        keys: for its algorithm, of which one has made the signature.
        issuer: what the claims must be.

    Raises:
        TokenError: signature or claims are wrong.
    """
    required = ["iss", *issuer.required_claims, *(["aud"] if issuer.audiences else [])]
    for key in keys:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token.text,
                key,
                algorithms=[token.algorithm],
                audience=list(issuer.audiences) or None,
                issuer=issuer.issuer,
                leeway=issuer.skew_seconds,
                options={"require": required},
            )
        except InvalidSignatureError:
            continue
        except (PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise _explained(error) from None
        return claims
    raise TokenError("the signature of the token is wrong")


def _explained(error: Exception) -> TokenError:
    if isinstance(error, ExpiredSignatureError):
        return TokenError("the token has expired")
    if isinstance(error, ImmatureSignatureError | InvalidIssuedAtError):
        return TokenError("the token is not valid yet", lasting=False)
    if isinstance(error, InvalidAudienceError):
        return TokenError("the token is for another audience")
    if isinstance(error, MissingRequiredClaimError):
        return TokenError(f"the token has no claim {error.claim}")
    return TokenError("the token is malformed")
