"""The policy that asks an external authorizer about each request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol, Self

from gateway.admission.authorizer.cache import VerdictCache
from gateway.admission.authorizer.settings import AuthorizerSettings
from gateway.admission.authorizer.verdict import (
    AuthorizerError,
    CheckedRequest,
    Verdict,
    checked_request,
    withhold,
)
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import UNAVAILABLE, StatusError

log = logging.getLogger(__name__)


class Asks(Protocol):
    """The connection to an authorizer, open as long as its block."""

    async def __aenter__(self) -> Self:
        """Prepares for questions."""
        ...

    async def __aexit__(self, *error: object) -> None:
        """Closes the connection."""
        ...

    async def check(self, checked: CheckedRequest, seconds: float) -> Verdict:
        """Asks about a request.

        Raises:
            AuthorizerError: there is no decision.
        """
        ...


class Authorizer:
    """Asks about each request but health checks and preflights; open as long as its block."""

    def __init__(
        self, settings: AuthorizerSettings, asks: Asks, health_paths: frozenset[str] = frozenset()
    ) -> None:
        """Takes the settings, the connection, and the paths that are open to all."""
        self._settings = settings
        self._asks = asks
        self._health_paths = health_paths
        self._names = frozenset(name.lower().encode() for name in settings.headers)
        self._reserved = frozenset(name.lower() for name in settings.metadata)
        self._cache = (
            VerdictCache(settings.cache_seconds, settings.max_cached)
            if settings.cache_seconds
            else None
        )
        self._failing = False

    async def __aenter__(self) -> Self:
        """Prepares for questions."""
        await self._asks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the connection."""
        await self._asks.__aexit__(*error)

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """See `Policy`."""
        if request.binding is None and (request.path in self._health_paths or request.is_preflight):
            return None
        request.removed_metadata |= self._reserved
        withhold(request, self._reserved)
        checked = checked_request(request, self._names)
        cache = self._cache
        if cache is None:
            return self._ask(request, checked, None)
        key = cache.key(checked)
        if (verdict := cache.get(key)) is None:
            return self._ask(request, checked, key)
        verdict.apply(request)
        return None

    async def _ask(self, request: RequestInfo, checked: CheckedRequest, key: bytes | None) -> None:
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                verdict = await self._asks.check(checked, seconds)
        except TimeoutError:
            self._fail(f"it gives no decision within {seconds:g} s")
            return
        except AuthorizerError as error:
            self._fail(str(error))
            return
        if self._failing:
            self._failing = False
            log.warning("the authorizer decides again")
        if self._cache is not None and key is not None:
            identity_ends = getattr(request.identity, "expires_at", None)
            self._cache.put(key, verdict, identity_ends)
        verdict.apply(request)

    def _fail(self, reason: str) -> None:
        """Does with a request what the settings say for one without a decision.

        Raises:
            StatusError: UNAVAILABLE, unless such requests pass.
        """
        allow = self._settings.on_failure == "allow"
        if not self._failing:
            self._failing = True
            happens = "requests pass unchecked" if allow else "requests are refused"
            log.error("the authorizer fails, %s: %s", happens, reason)
        if not allow:
            raise StatusError.of(UNAVAILABLE, "the authorizer gives no decision")
