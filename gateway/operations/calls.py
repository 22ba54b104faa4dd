"""Counts the calls to the upstream, whatever transport carries them.

A unary call is counted without a task: once when it starts, once with its outcome. Shared streams make fewer
calls than requests, so calls are counted here and not at the front.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self

from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, OK, UNKNOWN, StatusError, code_name
from gateway.upstream.around import AroundUpstream
from gateway.upstream.port import Call, Outcome, RequestMessages, Response, Upstream
from gateway.upstream.wire import WireUpstream
from server_process.exposition import Histogram, Sample

TYPES: Final = {
    StreamType.UNARY: "unary",
    StreamType.CLIENT: "client_stream",
    StreamType.SERVER: "server_stream",
    StreamType.BIDI: "bidi_stream",
}
"""Values of the label `grpc_type`, as go-grpc-prometheus has them."""
_CODES: Final = 17
OTHER: Final = "_OTHER"
"""Label of what the contract does not name, as OpenTelemetry has it."""


_clock: Final = monotonic
"""Compiled code finds it without a look into the module."""


class CallCounts(Protocol):
    """What is told of a call, by adding to what it has; of one call, or of all calls of a method."""

    started: int
    sent: int
    """Messages, as the next."""
    received: int

    def end(self, code: int, since: float) -> None:
        """Takes the status code of a call that ended, and the monotonic time of its start."""
        ...


class MethodCounts:
    """What became of the calls of one method.

    Attributes:
        ok: calls that ended with OK.
        sent: messages; those of a unary method follow from the other counts, as do those received.
    """

    __slots__ = (
        *("_failed", "is_unary", "labels", "ok", "received", "seconds", "sent"),
        *("started",),
    )

    def __init__(self, labels: tuple[str, str, str], *, is_unary: bool) -> None:
        self.labels = labels
        self.is_unary = is_unary
        self.started = 0
        self.sent = self.received = 0
        self.ok = 0
        self._failed = [0] * _CODES
        self.seconds = Histogram()

    @property
    def codes(self) -> list[int]:
        """Calls that have ended, by the number of the status code."""
        return [self.ok, *self._failed[1:]]

    @property
    def under_way(self) -> int:
        """Calls that have not ended."""
        return self.started - sum(self.codes)

    def end(self, code: int, since: float) -> None:
        """Counts the end of a call."""
        self.seconds.observe(_clock() - since)
        if code == OK:
            self.ok += 1
        else:
            self._failed[code] += 1


class _UnaryCall:
    """Counts the outcome of a unary call, and tells it."""

    __slots__ = ("_counts", "_on_outcome", "_since")

    def __init__(
        self, counts: MethodCounts, on_outcome: Callable[[Outcome], None], since: float
    ) -> None:
        self._counts = counts
        self._on_outcome = on_outcome
        self._since = since

    def __call__(self, outcome: Outcome) -> None:
        counts = self._counts
        if isinstance(outcome, Response):
            counts.ok += 1
            counts.seconds.observe(_clock() - self._since)
        else:
            counts.end(code_of(outcome), self._since)
        self._on_outcome(outcome)


class MeteredUpstream(AroundUpstream):
    """An upstream whose calls are counted.

    Attributes:
        inner: carries the calls.
    """

    def __init__(self, inner: Upstream, methods: Iterable[Method]) -> None:
        """Takes what carries the calls, and the methods of the contract."""
        super().__init__(inner)
        self._wire = inner if isinstance(inner, WireUpstream) else None
        """The same, if it is the default transport: compiled code calls its methods directly."""
        self._by_labels: dict[tuple[str, str, str], MethodCounts] = {}
        self._counts: dict[Method, MethodCounts] = {}
        self.follow(methods)

    def follow(self, methods: Iterable[Method]) -> None:
        """Counts the calls of another contract.

        A method that it has too keeps its counts. One that has left is forgotten when none of its calls is
        under way: its counts start again if it comes back.
        """
        names = {_labels(method): method for method in methods}
        self._by_labels = {
            labels: counts
            for labels, counts in self._by_labels.items()
            if labels in names or counts.under_way or labels[1] == OTHER
        }
        self._counts = {method: self._counts_of(method) for method in names.values()}

    def _counts_of(self, method: Method) -> MethodCounts:
        """Returns the counts of a method, perhaps of a contract that was replaced."""
        labels = _labels(method)
        counts = self._by_labels.get(labels)
        if counts is None:
            is_unary = not method.streams
            counts = self._by_labels[labels] = MethodCounts(labels, is_unary=is_unary)
        return counts

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        counts = self._counts.get(method) or self._counts_of(method)
        if not isinstance(requests, bytes):
            requests = CountedRequests(requests, counts)
        block = self.inner.open(method, requests, metadata=metadata, timeout=timeout)
        return MeteredCall(block, counts, method, isinstance(requests, bytes))

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
        counts = self._counts.get(method) or self._counts_of(method)
        counted, wire = _UnaryCall(counts, on_outcome, _clock()), self._wire
        if wire is None:
            cancel = self.inner.start_unary(
                method, request, counted, metadata=metadata, timeout=timeout
            )
        else:
            cancel = wire.start_unary(method, request, counted, metadata=metadata, timeout=timeout)
        counts.started += 1
        return cancel

    def started(self) -> list[Sample]:
        """Returns the samples of `grpc_client_started_total`, also of methods that nobody calls."""
        return [(each.labels, each.started) for each in self._by_labels.values()]

    def handled(self) -> list[Sample]:
        """Returns the samples of `grpc_client_handled_total`."""
        return [
            ((*each.labels, _NAMES[code]), count)
            for each in self._by_labels.values()
            for code, count in enumerate(each.codes)
            if count or code == OK
        ]

    def seconds(self) -> list[Sample]:
        """Returns the samples of `grpc_client_handling_seconds`."""
        return [(each.labels, each.seconds.value()) for each in self._used()]

    def sent(self) -> list[Sample]:
        """Returns the samples of `grpc_client_msg_sent_total`."""
        return [
            (each.labels, each.started if each.is_unary else each.sent)
            for each in self._by_labels.values()
        ]

    def received(self) -> list[Sample]:
        """Returns the samples of `grpc_client_msg_received_total`."""
        return [
            (each.labels, each.ok if each.is_unary else each.received)
            for each in self._by_labels.values()
        ]

    def _used(self) -> Iterable[MethodCounts]:
        return (each for each in self._by_labels.values() if each.started)


class MeteredCall:
    """A call that is counted; one that is left before its end counts as cancelled."""

    __slots__ = ("_block", "_call", "_code", "_counts", "_since", "_take", "_whole")

    _call: Call
    _take: Callable[[], bytes | None] | None
    """Takes a message that has come, where the call can tell."""

    def __init__(
        self,
        block: AbstractAsyncContextManager[Call],
        counts: CallCounts,
        method: Method,
        one_request: bool,  # noqa: FBT001 - by place, for speed
    ) -> None:
        self._block = block
        self._counts = counts
        self._code = CANCELLED
        self._whole = not method.stream_type.server
        """Whether the first message is the response."""
        counts.started += 1
        counts.sent += one_request
        self._since = _clock()

    async def __aenter__(self) -> Self:
        try:
            call = self._call = await self._block.__aenter__()
        except BaseException as error:
            self._counts.end(code_of(error), self._since)
            raise
        self._take = getattr(call, "take_message", None)
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._counts.end(self._code, self._since)
        await self._block.__aexit__(error_type, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            message = await self._call.__anext__()
        except StopAsyncIteration:
            self._code = OK
            raise
        except Exception as error:
            self._code = code_of(error)
            raise
        self._counts.received += 1
        if self._whole:
            self._code = OK
        return message

    def take_message(self) -> bytes | None:
        """See `Call`."""
        message = None if self._take is None else self._take()
        if message is not None:
            self._counts.received += 1
        return message

    async def initial_metadata(self) -> Metadata:
        """See `Call`."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        """See `Call`."""
        return await self._call.trailing_metadata()


class CountedRequests:
    """The messages of a client, counted as they are sent."""

    __slots__ = ("_counts", "_requests")

    def __init__(self, requests: AsyncIterator[bytes], counts: CallCounts) -> None:
        self._requests = requests
        self._counts = counts

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self._requests.__anext__()
        self._counts.sent += 1
        return message

    async def aclose(self) -> None:
        """Closes what they come from."""
        if (close := getattr(self._requests, "aclose", None)) is not None:
            await close()


def _labels(method: Method) -> tuple[str, str, str]:
    kind = TYPES[method.stream_type]
    if method.unknown_path:  # its name is its caller's
        return kind, OTHER, OTHER
    return kind, method.service_name, method.descriptor.name


_NAMES: Final = tuple(code_name(code) for code in range(_CODES))


def code_of(error: BaseException) -> int:
    """Returns the number of an error's status code; of a bug it is UNKNOWN, of a cancelled task CANCELLED."""
    if not isinstance(error, StatusError):
        return int(UNKNOWN if isinstance(error, Exception) else CANCELLED)
    return error.code if 0 <= error.code < _CODES else int(UNKNOWN)
