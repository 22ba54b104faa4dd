"""Several addresses that serve the same as one upstream: each call goes to one of them.

Each address is an upstream of its own, with its own connections, so balancing is the same over each
transport. A name that DNS resolves to several addresses is one address here; its transport spreads calls.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.upstream.around import all_opened, pools_of
from gateway.upstream.ejection import EjectionPolicy, Endpoint, Outliers
from gateway.upstream.port import Call, Outcome, RequestMessages

Balance: TypeAlias = Literal["round_robin", "least_outstanding"]


class BalancedUpstream:
    """Several addresses as one upstream.

    Attributes:
        endpoints: the addresses.
        outliers: which of them take calls.
    """

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        balance: Balance,
        ejection: EjectionPolicy | None = None,
    ) -> None:
        """Takes the addresses.

        Args:
            name: of the upstream, for the log.
            endpoints: the addresses, of which there is one at least.
            balance: how one is picked.
            ejection: when one is left out; None: never.
        """
        self.endpoints = tuple(endpoints)
        self.outliers = Outliers(name, endpoints, ejection)
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
        self._open = await all_opened([each.upstream for each in self.endpoints])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left."""
        self.outliers.stop()
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
        return _BalancedCall(block, endpoint, self.outliers)

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
        call = _BalancedUnary(self._pick(), on_outcome, self.outliers)
        try:
            call.cancel_inner = call.endpoint.upstream.start_unary(
                method, request, call.on_outcome, metadata=metadata, timeout=timeout
            )
        except BaseException:
            call.end()
            raise
        return call.cancel

    def states(self) -> Counter[str]:
        """Returns how many addresses are in which state."""
        states: Counter[str] = Counter()
        for each in self.endpoints:
            if each.is_ejected:
                states["ejected"] += 1
            elif each.is_failing:
                states["unreachable"] += 1
            else:
                states["warming" if each in self.outliers.warming else "live"] += 1
        return states

    def _pick(self) -> Endpoint:
        """Returns the address for a call: the next one, or from there on the one with the fewest calls.

        Those that cannot be reached are passed over, unless none can.
        """
        outliers = self.outliers
        live = outliers.live
        self._turn = turn = (self._turn + 1) % len(live)
        following = live[turn]
        if not (self._least or outliers.warming or following.is_failing):
            return following
        order = live[turn:] + live[:turn]
        usable = [each for each in order if not each.is_failing] or order
        if outliers.warming:
            return self._pick_warming(usable)
        return min(usable, key=_calls) if self._least else usable[0]

    def _pick_warming(self, usable: Sequence[Endpoint]) -> Endpoint:
        """Returns the address for a call while some of them take a part of their calls only."""
        now = asyncio.get_running_loop().time()
        shares = {each: self.outliers.share(each, now) for each in usable}
        if self._least:
            return min(usable, key=lambda each: (each.calls + 1) / shares[each])
        for each in usable:
            if shares[each] >= 1 or random.random() < shares[each]:  # noqa: S311 - no secret
                return each
        return usable[0]


def _calls(endpoint: Endpoint) -> int:
    return endpoint.calls


class _BalancedCall:
    """The block of a call, which its address has under way as long as it is open."""

    __slots__ = ("_block", "_endpoint", "_outliers")

    def __init__(
        self, block: AbstractAsyncContextManager[Call], endpoint: Endpoint, outliers: Outliers
    ) -> None:
        self._block = block
        self._endpoint = endpoint
        self._outliers = outliers

    async def __aenter__(self) -> Call:
        self._endpoint.calls += 1
        try:
            return await self._block.__aenter__()
        except BaseException as error:
            self._end(error)
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
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._endpoint.calls -= 1
        if error is None or isinstance(
            error, Exception
        ):  # else its caller has left, which says nothing
            self._outliers.called(self._endpoint, error)


class _BalancedUnary:
    """A unary call, which its address has under way until its outcome comes or it is cancelled."""

    __slots__ = ("_ended", "_outliers", "_since", "_tell", "cancel_inner", "endpoint")

    cancel_inner: Callable[[], object]

    def __init__(
        self, endpoint: Endpoint, tell: Callable[[Outcome], None], outliers: Outliers
    ) -> None:
        self.endpoint = endpoint
        self._outliers = outliers
        self._tell = tell
        self._ended = False
        self._since = monotonic()
        endpoint.calls += 1

    def on_outcome(self, outcome: Outcome) -> None:
        if not self._ended:
            self._outliers.called(self.endpoint, outcome, monotonic() - self._since)
        self.end()
        self._tell(outcome)

    def cancel(self) -> None:
        seconds = monotonic() - self._since
        if not self._ended and self._outliers.is_slow(seconds):
            self._outliers.called(self.endpoint, None, seconds)
        self.end()
        self.cancel_inner()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.endpoint.calls -= 1


def balanced_in(upstream: Any) -> BalancedUpstream | None:
    """Returns the balancing layer of an upstream; None: it has one address."""
    while upstream is not None and not isinstance(upstream, BalancedUpstream):
        upstream = getattr(upstream, "inner", None)
    return upstream
