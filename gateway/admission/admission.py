"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from gateway.admission.authentication.authentication import Authentication
from gateway.admission.authentication.authenticator import Authenticator
from gateway.admission.certificates.authenticator import CertificateAuthenticator
from gateway.admission.tickets.authenticator import TicketAuthenticator
from gateway.admission.tickets.issuer import TicketIssuer
from gateway.admission.tickets.store import FolderStore
from gateway.admission.tickets.streams import Streams
from gateway.contract.method import Method
from gateway.exchange.policy import Policy, RequestInfo
from gateway.exchange.routing import Router
from gateway.settings import Settings


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        policies: in the order in which they are asked: who calls, load shedding, CORS, limits by address,
            identity, rights, limits by identity.
        issue_ticket: answers a request for a ticket; None: tickets are switched off.
    """

    def __init__(self, settings: Settings, router: Router, methods: Iterable[Method] = ()) -> None:
        """Makes the policies that the settings switch on.

        Args:
            settings: of the edge.
            router: finds the routes of the contract.
            methods: that have routes.

        Raises:
            AdmissionError: a policy cannot be made of its settings.
        """
        policies: list[Policy] = []
        self._needed: list[AbstractAsyncContextManager[object]] = []
        self.issue_ticket: Callable[[RequestInfo, bytes], Awaitable[bytes]] | None = None
        authenticators: list[Authenticator] = []
        if settings.tickets.enabled:
            authenticators.append(self._tickets(settings, router, methods))
        if settings.client_certificates.identity:  # the last: other credentials say more
            authenticators.append(CertificateAuthenticator(settings.client_certificates))
        if authenticators:
            policies.append(Authentication(authenticators))
        self.policies = tuple(policies)
        self._stack = AsyncExitStack()

    def _tickets(
        self, settings: Settings, router: Router, methods: Iterable[Method]
    ) -> TicketAuthenticator:
        tickets, streams = settings.tickets, Streams(router, methods)
        store = FolderStore(
            tickets.folder,
            max_open=tickets.max_open,
            max_open_per_caller=tickets.max_open_per_caller,
        )
        self._needed.append(store)
        issuer = TicketIssuer(
            tickets, store, has_method=streams.has_method, has_path=streams.has_path
        )
        self.issue_ticket = issuer.issue
        return TicketAuthenticator(tickets, store)

    async def __aenter__(self) -> Self:
        """Opens what the policies need."""
        for each in self._needed:
            await self._stack.enter_async_context(each)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._stack.aclose()
