"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from gateway.admission.authentication.api_keys import ApiKeys
from gateway.admission.authentication.authentication import Authentication, IdentityRequired
from gateway.admission.authentication.authenticator import Authenticator
from gateway.admission.certificates.authenticator import CertificateAuthenticator
from gateway.admission.cors import Cors, PathMethods
from gateway.admission.error import AdmissionError
from gateway.admission.proxies import Proxies
from gateway.admission.strict_transport import StrictTransport
from gateway.admission.tickets.streams import Streams
from gateway.admission.tickets.tickets import Tickets
from gateway.exchange.policy import Policy, RequestInfo
from gateway.settings import Settings


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        policies: in the order in which they are asked: who calls, load shedding, CORS, limits by address,
            identity, rights, limits by identity.
        issue_ticket: answers a request for a ticket; None: tickets are switched off.
        proxies: who is believed about callers; None if nobody is.
    """

    def __init__(
        self,
        settings: Settings,
        path_methods: PathMethods,
        streams: Streams | None = None,
    ) -> None:
        """Makes the policies that the settings switch on.

        Args:
            settings: of the edge.
            path_methods: returns the HTTP methods that a path takes, whoever answers it.
            streams: of the contract; tickets need them.

        Raises:
            AdmissionError: settings cannot be obeyed: a file is wrong, or an extra is not installed.
            FileReadError: a file cannot be read; it is an OSError.
        """
        policies: list[Policy] = []
        needed: list[AbstractAsyncContextManager[object]] = []
        self.issue_ticket: Callable[[RequestInfo, bytes], Awaitable[bytes]] | None = None
        self.proxies = proxies = _proxies(settings)
        if proxies is not None:
            policies.append(proxies)
        if settings.hsts:
            policies.append(StrictTransport(settings.hsts))
        if settings.cors.origins:
            cors = Cors(
                settings.cors,
                path_methods,
                from_callers=settings.request_headers,
                from_metadata=settings.response_headers,
            )
            policies.append(cors)
        authenticators = required = _authenticators(settings)
        if settings.tickets.enabled and streams is not None:
            keys = [each for each in required if isinstance(each, ApiKeys)]
            confirm = {"api_key": keys[0].confirm} if keys else {}
            tickets = Tickets(settings.tickets, streams, confirm)
            self.issue_ticket = tickets.issuer.issue
            needed.append(tickets.store)
            authenticators = [tickets.authenticator, *required]
        if authenticators:
            needed += [
                each for each in authenticators if isinstance(each, AbstractAsyncContextManager)
            ]
            health_path = settings.health_path
            authentication = Authentication(authenticators, health_path)
            policies.append(authentication)
            if required:  # with tickets alone, a policy of the user's says who calls
                policies.append(IdentityRequired(authentication, health_path))
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
    """Returns the authenticators that the settings switch on, in their order, but for tickets."""
    found: list[Authenticator] = []
    if settings.jwt.all_issuers:
        found.append(_jwt(settings))
    if settings.api_keys.file is not None:
        found.append(ApiKeys(settings.api_keys))
    if settings.client_certificates.identity:  # the last: other credentials say more
        found.append(CertificateAuthenticator(settings.client_certificates))
    return found


def _jwt(settings: Settings) -> Authenticator:
    try:
        from gateway.admission.authentication.jwt_authenticator import JwtAuthenticator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise AdmissionError(
            f"jwt_issuer: tokens need the package {error.name}; pip install 'protoway[jwt]'"
        ) from error
    return JwtAuthenticator(settings.jwt, lambda page: page in settings.cors.origins)


def _proxies(settings: Settings) -> Proxies | None:
    section = settings.proxies
    return Proxies(section, settings.health_path) if section.is_on else None
