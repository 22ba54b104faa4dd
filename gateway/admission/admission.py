"""The policies that settings switch on, in their order, and what they need while the edge runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from gateway.admission.cors import Cors, PathMethods
from gateway.admission.limits.policy import limits_policies
from gateway.admission.limits.rules import check_patterns
from gateway.admission.overload.policy import Overload
from gateway.admission.proxies import Proxies
from gateway.admission.strict_transport import StrictTransport
from gateway.contract.http_rule import Binding
from gateway.exchange.policy import Policy
from gateway.settings import Settings


class Admission:
    """The policies of one edge.

    As a block, it keeps open what they need: files that are watched, key sets that are refreshed.

    Attributes:
        policies: in the order in which they are asked: who calls, load shedding, CORS, limits by address,
            identity, rights, limits by identity.
        proxies: who is believed about callers; None if nobody is.
    """

    def __init__(
        self, settings: Settings, path_methods: PathMethods, bindings: Sequence[Binding]
    ) -> None:
        """Makes the policies that the settings switch on.

        Args:
            settings: of the edge.
            path_methods: returns the HTTP methods that a path takes, whoever answers it.
            bindings: of the contract, as the transcoder has them.

        Raises:
            AdmissionError: settings do not fit the contract.
        """
        policies: list[Policy] = []
        needed: list[AbstractAsyncContextManager[object]] = []
        self.proxies = proxies = _proxies(settings)
        if proxies is not None:
            policies.append(proxies)
        if settings.overload.is_on:
            policies.append(Overload(settings.overload))
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
        check_patterns(settings.limits, {binding.method for binding in bindings})
        by_address, by_identity = limits_policies(settings.limits, settings.health_path)
        if by_address is not None:
            policies.append(by_address)
        if by_identity is not None:
            policies.append(by_identity)
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


def _proxies(settings: Settings) -> Proxies | None:
    section = settings.proxies
    return Proxies(section, settings.health_path) if section.is_on else None
