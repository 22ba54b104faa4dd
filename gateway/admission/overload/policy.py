"""The policy that sheds load: what is beyond the limit is refused at once, before anybody has worked for it.

A unary call is under way from its message going upstream to its answer, so a client that sends or reads
slowly takes no place; where all are taken, the request is refused before its body is read. A stream is under
way from its head to its end. Health checks, the edge's pages and other requests that make no call are never
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.admission.overload.adaptive import AdaptiveLimit
from gateway.admission.overload.settings import OverloadSettings
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import UNAVAILABLE, StatusError

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
_RETRY_SECONDS: Final = 1
_NO_LIMIT: Final = 1 << 62


class Overload:
    """Counts calls and streams under way, and refuses those beyond the limits.

    Attributes:
        calls: under way.
        streams: under way.
        refused: requests that were refused.
        adaptive: the limit that follows latency; None if it is fixed.
    """

    def __init__(self, settings: OverloadSettings, clock: Callable[[], float] = monotonic) -> None:
        """Takes the section, and a clock in seconds that does not go back."""
        self._max_calls = settings.max_calls or _NO_LIMIT
        self._max_streams = settings.max_streams or _NO_LIMIT
        self.clock = clock
        self.adaptive: AdaptiveLimit | None = None
        if settings.adaptive:
            least = min(settings.min_calls, self._max_calls)
            self.adaptive = AdaptiveLimit(least, settings.max_calls)
        self.calls = 0
        self.streams = 0
        self.refused = 0

    @property
    def max_calls(self) -> int:
        """How many calls may be under way now."""
        return self._max_calls if self.adaptive is None else self.adaptive.limit

    def admit(self, request: RequestInfo) -> None:
        """See `Policy`."""
        method = request.method
        if method is None or method.service_name == HEALTH_SERVICE:
            return
        if method.streams:
            if self.streams >= self._max_streams:
                raise self.refusal(_TOO_MANY_STREAMS)
            self.streams += 1
            request.at_end.append(self._end_stream)
            return
        if self.calls >= self.max_calls:
            raise self.refusal(_TOO_MANY_CALLS)
        call = _Call(self)
        request.message_checks.append(call.start)
        request.sent_checks.append(call.answer)
        request.at_end.append(call.end)

    def refusal(self, status: Status) -> StatusError:
        """Counts a refusal, and returns its error."""
        self.refused += 1
        return StatusError(status)

    def _end_stream(self) -> None:
        self.streams -= 1


class _Call:
    """One unary call."""

    __slots__ = ("_overload", "_since")

    def __init__(self, overload: Overload) -> None:
        self._overload = overload
        self._since: float | None = None

    def start(self, size: int) -> None:
        """Takes a place, as the message goes upstream.

        Raises:
            StatusError: UNAVAILABLE, the last one was taken while the body was read.
        """
        del size
        overload = self._overload
        if overload.calls >= overload.max_calls:
            raise overload.refusal(_TOO_MANY_CALLS)
        overload.calls += 1
        self._since = overload.clock()

    def answer(self, size: int) -> None:
        """Gives the place of a call that has succeeded back."""
        del size
        self._release(answered=True)

    def end(self) -> None:
        """Gives the place of any other call back; only a long latency of it tells something."""
        self._release(answered=False)

    def _release(self, *, answered: bool) -> None:
        since, self._since = self._since, None
        if since is None:
            return
        overload, adaptive = self._overload, self._overload.adaptive
        if adaptive is not None:
            now = overload.clock()
            if answered or adaptive.is_slow(now - since):
                adaptive.add(now - since, overload.calls, now)
        overload.calls -= 1


def _status(what: str) -> Status:
    status = Status(code=UNAVAILABLE, message=f"overloaded: too many {what} are under way")
    retry = RetryInfo(retry_delay=Duration(seconds=_RETRY_SECONDS))
    status.details.add().Pack(retry)
    return status


_TOO_MANY_CALLS: Final = _status("calls")
_TOO_MANY_STREAMS: Final = _status("streams")
