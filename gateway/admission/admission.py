"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from gateway.admission.authentication.api_keys import ApiKeys
from gateway.admission.authentication.authentication import Authentication, IdentityRequired
from gateway.admission.authentication.authenticator import Authenticator
from gateway.admission.cors import Cors, PathMethods
from gateway.admission.error import AdmissionError
from gateway.admission.strict_transport import StrictTransport
from gateway.exchange.policy import Policy
from gateway.settings import Settings
from gateway.transcoding.origin import Origins


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        policies: in the order in which they are asked: who calls, load shedding, CORS, limits by address,
            identity, rights, limits by identity.
    """

    def __init__(self, settings: Settings, path_methods: PathMethods) -> None:
        """Makes the policies that the settings switch on.

        Args:
            settings: of the edge.
            path_methods: returns the HTTP methods that a path takes, whoever answers it.

        Raises:
            AdmissionError: settings cannot be obeyed: a file is wrong, or an extra is not installed.
            FileReadError: a file cannot be read; it is an OSError.
        """
        policies: list[Policy] = []
        needed: list[AbstractAsyncContextManager[object]] = []
        if settings.hsts:
            policies.append(StrictTransport(settings.hsts))
        if settings.cors.origins:
            cors = Cors(
                settings.cors,
                path_methods,
                from_callers=_read_headers(settings),
                from_metadata=settings.response_headers,
            )
            policies.append(cors)
        if authenticators := _authenticators(settings):
            needed += [
                each for each in authenticators if isinstance(each, AbstractAsyncContextManager)
            ]
            health_path = settings.health_path
            authentication = Authentication(authenticators, health_path)
            policies += [authentication, IdentityRequired(authentication, health_path)]
        self.policies = tuple(policies)
        self._needed = tuple(needed)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens what the policies need."""
        for each in self._needed:
            await self._stack.enter_async_context(each)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._stack.aclose()


def _authenticators(settings: Settings) -> list[Authenticator]:
    """Returns the authenticators that the settings switch on, in their order."""
    found: list[Authenticator] = []
    if settings.jwt.all_issuers:
        found.append(_jwt(settings))
    if settings.api_keys.file is not None:
        found.append(ApiKeys(settings.api_keys))
    return found


def _jwt(settings: Settings) -> Authenticator:
    try:
        from gateway.admission.authentication.jwt_authenticator import JwtAuthenticator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise AdmissionError(
            f"jwt_issuer: tokens need the package {error.name}; pip install 'protoway[jwt]'"
        ) from error
    return JwtAuthenticator(settings.jwt, cookie_origins(settings))


def cookie_origins(settings: Settings) -> Callable[[str], bool]:
    """Returns whether a page of an origin beside the edge's own may use a token in a cookie.

    Those are the origins of CORS, if they may send credentials; `*` is none of them.
    """
    cors = settings.cors
    if not cors.credentials:
        return lambda _: False
    return Origins(each for each in cors.origins if each != "*").allow


def _read_headers(settings: Settings) -> tuple[str, ...]:
    """Returns the request headers that the edge reads for these settings, beside its own."""
    keys = settings.api_keys
    return (*settings.request_headers, *((keys.header,) if keys.file and keys.header else ()))
