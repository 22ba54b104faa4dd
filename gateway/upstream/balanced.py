"""Several addresses that serve the same as one upstream: each call goes to one of them.

Each address is an upstream of its own, with its own connections, so balancing is the same over each
transport. A name that DNS resolves to several addresses is one address here; its transport spreads calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.upstream.bounded import pools_of
from gateway.upstream.port import Call, Outcome, RequestMessages, Upstream

Balance: TypeAlias = Literal["round_robin", "least_outstanding"]


class Endpoint:
    """One address.

    Attributes:
        address: as it was set.
        upstream: carries its calls.
        calls: calls under way.
    """

    __slots__ = ("address", "calls", "upstream")

    def __init__(self, address: str, upstream: Upstream) -> None:
        self.address = address
        self.upstream = upstream
        self.calls = 0


class BalancedUpstream:
    """Several addresses as one upstream.

    Attributes:
        endpoints: the addresses.
    """

    def __init__(self, endpoints: Sequence[Endpoint], balance: Balance) -> None:
        """Takes the addresses, of which there is one at least, and how one is picked."""
        self.endpoints = tuple(endpoints)
        self._least = balance == "least_outstanding"
        self._turn = -1
        self._open = AsyncExitStack()

    @property
    def pools(self) -> tuple[Any, ...]:
        """The pools of connections of all addresses."""
        return tuple(pool for each in self.endpoints for pool in pools_of(each.upstream))

    def contract_changed(self) -> None:
        """Tells the addresses that methods have changed."""
        for each in self.endpoints:
            if (changed := getattr(each.upstream, "contract_changed", None)) is not None:
                changed()

    async def __aenter__(self) -> Self:
        """Prepares for calls."""
        async with AsyncExitStack() as opened:
            for each in self.endpoints:
                await opened.enter_async_context(each.upstream)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left."""
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
        endpoint = self._pick()
        block = endpoint.upstream.open(method, requests, metadata=metadata, timeout=timeout)
        return _BalancedCall(block, endpoint)

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
        call = _BalancedUnary(self._pick(), on_outcome)
        try:
            call.cancel_inner = call.endpoint.upstream.start_unary(
                method, request, call.on_outcome, metadata=metadata, timeout=timeout
            )
        except BaseException:
            call.end()
            raise
        return call.cancel

    def _pick(self) -> Endpoint:
        """Returns the address for a call: the next one, or from there on the one with the fewest calls."""
        endpoints = self.endpoints
        self._turn = turn = (self._turn + 1) % len(endpoints)
        if not self._least:
            return endpoints[turn]
        return min(endpoints[turn:] + endpoints[:turn], key=_calls)


def _calls(endpoint: Endpoint) -> int:
    return endpoint.calls


class _BalancedCall:
    """The block of a call, which its address has under way as long as it is open."""

    __slots__ = ("_block", "_endpoint")

    def __init__(self, block: AbstractAsyncContextManager[Call], endpoint: Endpoint) -> None:
        self._block = block
        self._endpoint = endpoint

    async def __aenter__(self) -> Call:
        self._endpoint.calls += 1
        try:
            return await self._block.__aenter__()
        except BaseException:
            self._endpoint.calls -= 1
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._block.__aexit__(error_type, error, traceback)
        finally:
            self._endpoint.calls -= 1


class _BalancedUnary:
    """A unary call, which its address has under way until its outcome comes or it is cancelled."""

    __slots__ = ("_ended", "_tell", "cancel_inner", "endpoint")

    cancel_inner: Callable[[], object]

    def __init__(self, endpoint: Endpoint, tell: Callable[[Outcome], None]) -> None:
        self.endpoint = endpoint
        self._tell = tell
        self._ended = False
        endpoint.calls += 1

    def on_outcome(self, outcome: Outcome) -> None:
        self.end()
        self._tell(outcome)

    def cancel(self) -> None:
        self.end()
        self.cancel_inner()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.endpoint.calls -= 1
