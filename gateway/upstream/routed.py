"""Several upstreams as one: each method has its own, which is resolved once and then looked up.

The longest pattern that fits the full name of a method counts (`gateway.contract.method_patterns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self

from gateway.contract.method import Method
from gateway.contract.method_patterns import fitting_prefix
from gateway.transcoding.metadata import Metadata
from gateway.upstream.around import pools_of
from gateway.upstream.port import Call, Outcome, RequestMessages, Upstream


class RoutedUpstream:
    """Upstreams, each of which carries the calls of some methods.

    Attributes:
        upstreams: name -> upstream, the default one first.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str]) -> None:
        """Takes the upstreams.

        Args:
            upstreams: name -> upstream; the first one takes what no pattern fits.
            prefixes: names that the full name of a method begins with, with dots between -> name of the
                upstream that takes it; an empty one fits all methods.
        """
        self.upstreams = upstreams
        self._table = _Table(upstreams, prefixes)
        self._open = AsyncExitStack()

    @property
    def pools(self) -> tuple[Any, ...]:
        """The pools of connections of all upstreams."""
        return tuple(pool for each in self.upstreams.values() for pool in pools_of(each))

    def resolve(self, methods: Iterable[Method]) -> Mapping[str, str]:
        """Resolves methods now, for calls to come; returns full name -> name of the upstream."""
        names = {upstream: name for name, upstream in self.upstreams.items()}
        return {each.full_name: names[self._table[each]] for each in methods}

    def contract_changed(self) -> None:
        """Forgets the methods, of which a new contract has others; tells the upstreams the same."""
        self._table.clear()
        for upstream in self.upstreams.values():
            if (changed := getattr(upstream, "contract_changed", None)) is not None:
                changed()

    async def __aenter__(self) -> Self:
        """Prepares all upstreams."""
        async with AsyncExitStack() as opened:
            for upstream in self.upstreams.values():
                await opened.enter_async_context(upstream)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left, and closes all connections."""
        await self._open.aclose()

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        return self._table[method].open(method, requests, metadata=metadata, timeout=timeout)

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call; see `gateway.upstream.port.Upstream`."""
        return self._table[method].start_unary(
            method, request, on_outcome, metadata=metadata, timeout=timeout
        )


class _Table(dict[Method, Upstream]):
    """Method -> upstream; a method is resolved when it is asked for the first time."""

    def __init__(self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str]) -> None:
        super().__init__()
        self._upstreams = upstreams
        self._prefixes = prefixes
        self._default = next(iter(upstreams.values()))

    def __missing__(self, method: Method) -> Upstream:
        prefix = fitting_prefix(method.full_name, self._prefixes)
        found = self._default if prefix is None else self._upstreams[self._prefixes[prefix]]
        if not method.unknown_path:
            self[method] = found
        return found
