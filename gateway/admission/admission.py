"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Self

from gateway.admission.authentication.api_keys import ApiKeys
from gateway.admission.authentication.authentication import Authentication, IdentityRequired
from gateway.admission.authentication.authenticator import Authenticator
from gateway.admission.authorizer.making import make_authorizer
from gateway.admission.certificates.authenticator import CertificateAuthenticator
from gateway.admission.cors import Cors, PathMethods
from gateway.admission.error import AdmissionError
from gateway.admission.limits.policy import limits_policies
from gateway.admission.limits.rules import check_patterns
from gateway.admission.limits.settings import LimitsSettings
from gateway.admission.limits.shared import SharedBuckets
from gateway.admission.overload.policy import Overload
from gateway.admission.proxies import Proxies
from gateway.admission.rights.rights import Rights, no_identity
from gateway.admission.rights.table import RightsTable, compile_rights, has_rights
from gateway.admission.strict_transport import StrictTransport
from gateway.admission.tickets.streams import Streams
from gateway.admission.tickets.tickets import Tickets
from gateway.contract.http_rule import Binding
from gateway.exchange.policy import Policy
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.store.store import Store
from gateway.transcoding.origin import Origins

log = logging.getLogger(__name__)

NO_CREDENTIALS: Final = (
    "rights are checked, but no credentials are accepted: all but anonymous requests are refused"
)


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        cors: the policy of CORS; None without origins.
        issue_ticket: answers a request for a ticket; None: tickets are switched off.
        proxies: who is believed about callers; None if nobody is.
        shared_limits: counts requests together with other processes; None: limits are not shared.
        reserved_metadata: lower-case keys that no client may set, so that servers may trust them.
    """

    def __init__(
        self,
        settings: Settings,
        path_methods: PathMethods,
        streams: Streams | None = None,
        store: Store | None = None,
    ) -> None:
        """Makes what the policies share whatever the contract is: what they read, count and remember.

        Args:
            settings: of the edge.
            path_methods: returns the HTTP methods that a path takes, whoever answers it.
            streams: of the contract; tickets need them.
            store: which replicas share.

        Raises:
            AdmissionError: settings cannot be obeyed: a file is wrong, or an extra is not installed.
            FileReadError: a file cannot be read; it is an OSError.
        """
        self._settings = settings
        self._store = store
        self.shared_limits = _shared_limits(settings.limits, store)
        self._by_address, self._by_identity = limits_policies(
            settings.limits, settings.health_paths(), store=self.shared_limits
        )
        self.issue_ticket: Callable[[RequestInfo, bytes], Awaitable[bytes]] | None = None
        self.proxies = _proxies(settings)
        self.cors = _cors(settings, path_methods) if settings.cors.origins else None
        self._first = _before_limits(settings, self.proxies, self.cors)
        self._authentication: Authentication | None = None
        self._authorizer = make_authorizer(settings)
        required = _authenticators(settings)
        self.files = tuple(file for each in required for file in each.files)
        authenticators = [*self._tickets(settings, streams, required), *required]
        # with tickets alone, a policy of the user's says who calls
        self._requires_identity = bool(required) and self._authorizer is None
        if authenticators:
            keys = settings.api_keys
            parameters = (keys.query,) if keys.file and keys.query else ()
            self._authentication = Authentication(
                authenticators, settings.health_paths(), parameters
            )
        authentication = self._authentication
        self.reserved_metadata: frozenset[str] = (
            frozenset() if authentication is None else authentication.reserved
        )
        opened = (*authenticators, self._authorizer, self.shared_limits)
        self._needed = [each for each in opened if isinstance(each, AbstractAsyncContextManager)]
        self._stack = AsyncExitStack()

    def policies(
        self, bindings: Sequence[Binding], others: Sequence[Policy] = ()
    ) -> tuple[Policy, ...]:
        """Returns the policies for a contract, in the order in which they are asked.

        Who calls, load shedding, CORS, limits by address, identity; those of a user, which may set an
        identity too; rights, an external authorizer, limits by identity.

        Args:
            bindings: of the contract, as the transcoder has them.
            others: those of a user.

        Raises:
            AdmissionError: the settings do not fit the contract.
        """
        settings, authentication = self._settings, self._authentication
        if (
            settings.rpc != "upstream"
        ):  # a pattern may be of a method that the contract does not know
            check_patterns(settings.limits, {binding.method for binding in bindings})
        table = rights_table(settings, bindings)
        made: list[Policy] = [*self._first]
        if self._by_address is not None:
            made.append(self._by_address.for_contract())
        if authentication is not None:
            made.append(authentication)
        made += others
        if table is not None:
            for warning in table.warnings:
                log.warning("%s", warning)
            if authentication is None:
                log.warning("%s", NO_CREDENTIALS)
            missing = no_identity if authentication is None else authentication.missing
            made.append(Rights(table, missing))
        elif authentication is not None and self._requires_identity:
            made.append(IdentityRequired(authentication, settings.health_paths()))
        if self._authorizer is not None:
            made.append(self._authorizer)
        if self._by_identity is not None:
            made.append(self._by_identity.for_contract())
        return tuple(made)

    def _tickets(
        self, settings: Settings, streams: Streams | None, others: Sequence[Authenticator]
    ) -> Sequence[Authenticator]:
        """Returns the authenticator of tickets, which is a context manager too; none if they are off."""
        if not settings.tickets.enabled or streams is None:
            return ()
        keys = [each for each in others if isinstance(each, ApiKeys)]
        confirm = {"api_key": keys[0].confirm} if keys else {}
        tickets = Tickets(settings.tickets, streams, confirm, self._store)
        self.issue_ticket = tickets.issuer.issue
        return (tickets.authenticator,)

    async def __aenter__(self) -> Self:
        """Opens what the policies need."""
        for each in self._needed:
            await self._stack.enter_async_context(each)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._stack.aclose()


def _before_limits(settings: Settings, proxies: Proxies | None, cors: Cors | None) -> list[Policy]:
    """Returns the policies that stand before all limits; of them those first that only add headers."""
    strict = StrictTransport(settings.hsts) if settings.hsts else None
    overload = Overload(settings.overload) if settings.overload.is_on else None
    policies: tuple[Policy | None, ...] = (proxies, strict, cors, overload)
    return [each for each in policies if each is not None]


def _shared_limits(settings: LimitsSettings, store: Store | None) -> SharedBuckets | None:
    if not settings.shared:
        return None
    if store is None:
        raise AdmissionError("limits_shared: there is no store to count in; set feed_store")
    return SharedBuckets(store, settings.shared_timeout_seconds)


def _proxies(settings: Settings) -> Proxies | None:
    section = settings.proxies
    return Proxies(section, settings.health_paths()) if section.is_on else None


def _cors(settings: Settings, path_methods: PathMethods) -> Cors:
    keys = settings.api_keys
    of_keys = (keys.header,) if keys.file and keys.header else ()
    return Cors(
        settings.cors,
        path_methods,
        from_callers=(*settings.request_headers, *of_keys),
        from_metadata=settings.response_headers,
    )


def _authenticators(settings: Settings) -> list[Authenticator]:
    """Returns the authenticators that the settings switch on, in their order, but for tickets."""
    found: list[Authenticator] = []
    if settings.jwt.all_issuers:
        found.append(_jwt(settings))
    if settings.api_keys.file is not None:
        found.append(ApiKeys(settings.api_keys))
    if settings.client_certificates.identity:  # the last: other credentials say more
        found.append(
            CertificateAuthenticator(settings.client_certificates, cookie_origins(settings))
        )
    return found


def _jwt(settings: Settings) -> Authenticator:
    try:
        from gateway.admission.authentication.jwt_authenticator import JwtAuthenticator  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise AdmissionError(
            f"jwt_issuer: tokens need the package {error.name}; pip install 'protoway[jwt]'"
        ) from error
    return JwtAuthenticator(settings.jwt, cookie_origins(settings))


def rights_table(settings: Settings, bindings: Sequence[Binding]) -> RightsTable | None:
    """Returns who may call what; None: nothing says so.

    Raises:
        AdmissionError: see `compile_rights`.
    """
    if not has_rights(settings.rights, (binding.method for binding in bindings)):
        return None
    tickets = settings.tickets
    return compile_rights(
        settings.rights,
        bindings,
        settings.own_paths(),
        settings.health_paths(),
        {tickets.path} if tickets.enabled else (),
        [each.issuer for each in settings.jwt.all_issuers],
        unknown_methods=settings.rpc == "upstream",
    )


def cookie_origins(settings: Settings) -> Callable[[str], bool]:
    """Returns whether a page of an origin beside the edge's own may use a cookie or a client certificate.

    Those are the origins of CORS, if they may send credentials; `*` is none of them.
    """
    cors = settings.cors
    if not cors.credentials:
        return lambda _: False
    return Origins(each for each in cors.origins if each != "*").allow
