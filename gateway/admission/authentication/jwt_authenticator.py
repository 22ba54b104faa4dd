"""The authenticator of JSON Web Tokens: finds the token, its issuer and its key, and remembers what it found.

Sources: RFC 6750; RFC 7519; RFC 8725.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from json import dumps
from time import time
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from gateway.admission.authentication.challenge import challenge, misuse, rejection
from gateway.admission.authentication.fetched_keys import FetchedKeys
from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings, is_url
from gateway.admission.authentication.key_source import FileKeys, KeySource, file_keys, secret_keys
from gateway.admission.authentication.remembered import Remembered, digest
from gateway.admission.authentication.token import (
    TokenError,
    UnverifiedToken,
    check_header,
    read_token,
    verified_claims,
)
from gateway.admission.authentication.token_location import LocationError, TokenLocation
from gateway.admission.identity import Identity
from gateway.admission.metadata_text import metadata_text
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import UNAVAILABLE, StatusError

_SCHEME: Final = "Bearer"
_AUTHORIZATION: Final = "authorization"
_NO_EXPIRY: Final = float("inf")


class _Issuer(NamedTuple):
    """One issuer, with its keys."""

    settings: IssuerSettings
    source: KeySource


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a verified token has said."""

    identity: Identity
    metadata: tuple[tuple[str, str], ...]
    stream_end: float | None
    """Unix time at which streams of the token end; None: never."""


class JwtAuthenticator:
    """Verifies tokens. As a block, it keeps the keys of the issuers fresh."""

    def __init__(
        self, settings: JwtSettings, allows_origin: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Reads the keys that are in files.

        Args:
            settings: with one issuer or more.
            allows_origin: whether a page of an origin may send the cookie; see `TokenLocation`.

        Raises:
            AdmissionError: a file of keys is wrong.
            FileReadError: one cannot be read; it is an OSError.
        """
        self._settings = settings
        self._max_token_bytes = settings.max_token_bytes
        self._forwards = settings.forward_token
        self._location = TokenLocation(
            settings.cookie,
            refuse_query=settings.refuse_query_token,
            allows_origin=allows_origin,
        )
        self._verified: Remembered[_Verified] = Remembered(settings.max_remembered)
        self._refused: Remembered[str] = Remembered(settings.max_remembered)
        self._issuers = {
            each.issuer: _Issuer(each, self._source(each)) for each in settings.all_issuers
        }
        sources = [each.source for each in self._issuers.values()]
        self.files = tuple(each.file for each in sources if isinstance(each, FileKeys))
        self._stack = AsyncExitStack()
        self.challenge = challenge(_SCHEME, settings.realm)
        self.reserved_metadata = frozenset(
            {
                *(key for each in settings.all_issuers for key in each.claim_metadata.values()),
                *(_AUTHORIZATION, *(("cookie",) if settings.cookie else ())),
            }
        )

    def _source(self, issuer: IssuerSettings) -> KeySource:
        settings, on_change = self._settings, self._forget
        if issuer.secret_file is not None:
            return secret_keys(issuer.secret_file, issuer, on_change, settings)
        if is_url(issuer.jwks):
            return FetchedKeys(issuer.jwks, on_change, settings)
        return file_keys(issuer.jwks, on_change, settings)

    def _forget(self) -> None:
        """Forgets all decisions, for they were made with other keys."""
        self._verified.clear()
        self._refused.clear()

    async def __aenter__(self) -> Self:
        """Begins to keep the keys fresh."""
        for issuer in self._issuers.values():
            await self._stack.enter_async_context(issuer.source)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        await self._stack.aclose()

    def authenticate(self, request: RequestInfo) -> Identity | Awaitable[Identity | None] | None:
        """See `Authenticator`."""
        try:
            token = self._location.find(request)
        except LocationError as misplaced:
            raise misuse(_SCHEME, self._settings.realm, str(misplaced)) from None
        if token is None:
            return None
        if len(token) > self._max_token_bytes:
            raise self._rejection(f"the token has more than {self._max_token_bytes} bytes")
        now, key = time(), digest(token)
        known = self._verified.get(key, now)
        if known is not None:
            return self._accept(request, token, known)
        problem = self._refused.get(key, now)
        if problem is not None:
            raise self._rejection(problem)
        try:
            read = read_token(token)
            issuer = self._issuer(read)
            found = self._keys(issuer, read)
            if not found:
                return self._with_other_keys(request, token, read, issuer)
            return self._verify(request, token, read, issuer, found)
        except TokenError as error:
            raise self._refuse(key, error) from None

    def _issuer(self, read: UnverifiedToken) -> _Issuer:
        issuer = self._issuers.get(read.issuer)
        if issuer is None:
            raise TokenError("the issuer of the token is not accepted")
        check_header(read, issuer.settings)
        return issuer

    def _keys(self, issuer: _Issuer, read: UnverifiedToken) -> tuple[Any, ...]:
        """Returns the keys that a token may be signed with; none: they may be there later.

        Raises:
            TokenError: no key fits, and it is too early to ask for others.
            StatusError: UNAVAILABLE, there are no keys.
        """
        keys = issuer.source.keys
        if keys is not None and (found := keys.find(read.kid, read.algorithm)):
            return found
        if issuer.source.refetch():
            return ()
        if keys is None:
            raise _no_keys()
        raise _unknown_key()

    async def _with_other_keys(
        self, request: RequestInfo, token: bytes, read: UnverifiedToken, issuer: _Issuer
    ) -> Identity:
        """Waits for the keys that are being fetched, and verifies a token with them."""
        await issuer.source.fetched()
        keys = issuer.source.keys
        if keys is None:
            raise _no_keys()
        try:
            found = keys.find(read.kid, read.algorithm)
            if not found:
                raise _unknown_key()
            return self._verify(request, token, read, issuer, found)
        except TokenError as error:
            raise self._refuse(digest(token), error) from None

    def _verify(
        self,
        request: RequestInfo,
        token: bytes,
        read: UnverifiedToken,
        issuer: _Issuer,
        keys: tuple[Any, ...],
    ) -> Identity:
        """Verifies a token, remembers what it says, and accepts it.

        Raises:
            TokenError: it is wrong.
        """
        settings = self._settings
        claims = verified_claims(read, keys, issuer.settings)
        expiry = claims.get("exp")
        valid_until = _NO_EXPIRY if expiry is None else expiry + issuer.settings.skew_seconds
        verified = _Verified(
            identity=Identity(
                name=str(claims.get("sub", "")),
                kind="jwt",
                claims=MappingProxyType(dict(claims)),
                expires_at=None if expiry is None else float(expiry),
            ),
            metadata=_claim_metadata(claims, issuer.settings.claim_metadata),
            stream_end=None if expiry is None else valid_until + settings.stream_grace_seconds,
        )
        if settings.remember_seconds:
            until = min(time() + settings.remember_seconds, valid_until)
            self._verified.put(digest(token), verified, until)
        return self._accept(request, token, verified)

    def _accept(self, request: RequestInfo, token: bytes, verified: _Verified) -> Identity:
        if verified.metadata:
            request.metadata.extend(verified.metadata)
        if self._forwards:
            request.metadata.append((_AUTHORIZATION, f"{_SCHEME} {token.decode('ascii')}"))
        if verified.stream_end is not None:
            request.expires_at = verified.stream_end
        return verified.identity

    def _refuse(self, key: bytes, error: TokenError) -> StatusError:
        if error.lasting and self._settings.remember_failures_seconds:
            self._refused.put(key, str(error), time() + self._settings.remember_failures_seconds)
        return self._rejection(str(error))

    def _rejection(self, description: str) -> StatusError:
        return rejection(_SCHEME, self._settings.realm, description)


def _no_keys() -> StatusError:
    return StatusError.of(UNAVAILABLE, "the keys that verify tokens cannot be fetched now")


def _unknown_key() -> TokenError:
    return TokenError("the token is signed with an unknown key", lasting=False)


def _claim_metadata(
    claims: Mapping[str, Any], keys: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Returns the claims that go upstream; those that the token lacks, or that are null, are left out."""
    return tuple(
        (key, _metadata_text(claims[claim]))
        for claim, key in keys.items()
        if claims.get(claim) is not None
    )


def _metadata_text(value: Any) -> str:
    """Returns a claim as text of metadata: see `metadata_text`, and JSON of what is no text."""
    return metadata_text(value) if isinstance(value, str) else dumps(value)
