"""The policy that finds out who calls, and the one that has every request say so."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from gateway.admission.authentication.authenticator import Authenticator
from gateway.admission.authentication.challenge import challenges
from gateway.admission.identity import Identity
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import UNAUTHENTICATED, StatusError


class Authentication:
    """Asks authenticators in their order; the first that finds credentials says who calls.

    It sets `request.identity`, or leaves None where no credentials came. Wrong credentials are refused, even
    where none are needed.

    Attributes:
        reserved: lower-case metadata keys that no client may set.
    """

    def __init__(
        self,
        authenticators: Iterable[Authenticator],
        health_paths: frozenset[str] = frozenset(),
        parameters: Iterable[str] = (),
    ) -> None:
        """Takes the authenticators.

        Args:
            authenticators: in their order.
            health_paths: at which nobody is asked.
            parameters: of the query, which have credentials. Nobody behind sees them, also where other
                credentials have come before.
        """
        self._parameters = tuple(each.encode() for each in parameters)
        self._authenticators = tuple(authenticators)
        self._asked = tuple(
            (position, each.authenticate) for position, each in enumerate(self._authenticators)
        )
        self._health_paths = health_paths
        self.reserved = frozenset[str]().union(
            *(each.reserved_metadata for each in self._authenticators)
        )
        self._challenges = challenges(tuple(each.challenge for each in self._authenticators))

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """See `Policy`."""
        if request.is_preflight:
            return None
        if request.path in self._health_paths:
            return None
        if removed := request.removed_metadata:
            request.removed_metadata = removed | self.reserved
        else:
            request.removed_metadata = self.reserved
        for position, authenticate in self._asked:
            found = authenticate(request)
            if found is None:
                continue
            if isinstance(found, Identity):
                self._accept(request, found)
                return None
            return self._wait(request, found, position + 1)
        return None

    async def _wait(
        self, request: RequestInfo, found: Awaitable[Identity | None], position: int
    ) -> None:
        """Waits for an authenticator, then asks those from `position` on if it has found nothing."""
        identity = await found
        for authenticator in self._authenticators[position:]:
            if identity is not None:
                break
            later = authenticator.authenticate(request)
            identity = later if later is None or isinstance(later, Identity) else await later
        self._accept(request, identity)

    def _accept(self, request: RequestInfo, identity: Identity | None) -> None:
        request.identity = identity
        if request.query:
            for parameter in self._parameters:
                request.take_parameter(parameter)

    def missing(self) -> StatusError:
        """Returns the error for a request that must have an identity and has no credentials.

        Its challenges name no error: the client may not know that it has to authenticate (RFC 6750, 3.1).
        """
        text = "the request has no credentials, and needs some"
        return StatusError.of(UNAUTHENTICATED, text, headers=self._challenges)


class IdentityRequired:
    """Refuses every request without an identity, but for preflights and health checks.

    It stands in for the rights where none are set.
    """

    def __init__(self, authentication: Authentication, health_paths: frozenset[str]) -> None:
        """Takes the policy that asks before, and the paths that are open to all."""
        self._authentication = authentication
        self._health_paths = health_paths

    def admit(self, request: RequestInfo) -> None:
        """See `Policy`."""
        if request.identity is not None or (request.is_preflight):
            return
        if request.path not in self._health_paths:
            raise self._authentication.missing()
