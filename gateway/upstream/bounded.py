"""An upstream with bounds of its own: calls at the same time, their duration, metadata that all of them have.

A call beyond a bound is refused before anything is sent. An upstream that hangs so holds no more than its
bound of the edge, whatever its callers wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType

from gateway.contract.method import Method
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError
from gateway.upstream.around import AroundUpstream
from gateway.upstream.port import Call, Outcome, RequestMessages, Upstream


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one upstream carries at most, and adds."""

    max_calls: int | None = None
    """Unary calls at the same time; None: no limit."""
    max_streams: int | None = None
    """Streaming calls at the same time; None: no limit."""
    timeout: float | None = None
    """Of unary calls, in seconds; None: none of its own."""
    metadata: Metadata = ()
    """Added to each call, in the place of what its caller sent by the same keys."""


class Counted:
    """Calls of one kind under way.

    Attributes:
        open: how many there are.
        refused: how many were refused.
    """

    __slots__ = ("_limit", "_what", "open", "refused")

    def __init__(self, what: str, limit: int | None) -> None:
        self.open = self.refused = 0
        self._limit = limit
        self._what = what

    def begin(self) -> None:
        """Counts a call.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, as 503, if there are as many as may be.
        """
        if self._limit is not None and self.open >= self._limit:
            self.refused += 1
            reason = f"the gRPC server has as many {self._what} as it may ({self._limit})"
            raise StatusError.of(RESOURCE_EXHAUSTED, reason, http_status=503)
        self.open += 1


class BoundedUpstream(AroundUpstream):
    """An upstream within bounds.

    Attributes:
        inner: carries the calls.
        kinds: `unary` and `stream` -> calls under way.
    """

    def __init__(self, inner: Upstream, bounds: Bounds) -> None:
        """Takes what carries the calls, and the bounds."""
        super().__init__(inner)
        self._unary = Counted("calls", bounds.max_calls)
        self._streams = Counted("streams", bounds.max_streams)
        self.kinds: Mapping[str, Counted] = {"unary": self._unary, "stream": self._streams}
        self._timeout = bounds.timeout
        self._added = tuple(bounds.metadata)
        self._added_keys = frozenset(key for key, _ in bounds.metadata)

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        streams = method.streams
        block = self.inner.open(
            method,
            requests,
            metadata=self._with_added(metadata),
            timeout=timeout if streams else self._shorter(timeout),
        )
        return _BoundedCall(block, self._streams if streams else self._unary)

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call; see `gateway.upstream.port.Upstream`.

        Raises:
            StatusError: there are as many calls as may be.
        """
        counted = self._unary
        counted.begin()
        call = _BoundedUnary(counted, on_outcome)
        try:
            call.cancel_inner = self.inner.start_unary(
                method,
                request,
                call.on_outcome,
                metadata=self._with_added(metadata),
                timeout=self._shorter(timeout),
            )
        except BaseException:
            call.end()
            raise
        return call.cancel

    def _shorter(self, timeout: float | None) -> float | None:
        own = self._timeout
        if own is None or (timeout is not None and timeout <= own):
            return timeout
        return own

    def _with_added(self, metadata: Metadata) -> Metadata:
        if not self._added:
            return metadata
        keys = self._added_keys
        return (*(each for each in metadata if each[0] not in keys), *self._added)


class _BoundedCall:
    """The block of a call that is counted as long as it is open."""

    __slots__ = ("_block", "_counted")

    def __init__(self, block: AbstractAsyncContextManager[Call], counted: Counted) -> None:
        self._block = block
        self._counted = counted

    async def __aenter__(self) -> Call:
        self._counted.begin()
        try:
            return await self._block.__aenter__()
        except BaseException:
            self._counted.open -= 1
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
            self._counted.open -= 1


class _BoundedUnary:
    """A unary call that is counted until its outcome comes or it is cancelled, whichever is first."""

    __slots__ = ("_counted", "_ended", "_tell", "cancel_inner")

    cancel_inner: Callable[[], object]

    def __init__(self, counted: Counted, tell: Callable[[Outcome], None]) -> None:
        self._counted = counted
        self._tell = tell
        self._ended = False

    def on_outcome(self, outcome: Outcome) -> None:
        self.end()
        self._tell(outcome)

    def cancel(self) -> None:
        self.end()
        self.cancel_inner()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._counted.open -= 1
