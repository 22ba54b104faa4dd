"""The observers of an edge as one: whom each event is told.

Which events they want is looked up once, when they are added, so that an event which nobody wants costs
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import Final

from gateway.exchange.ends_observer import EndsObserver
from gateway.exchange.observer import EVENTS, PLAIN_EVENTS, EndedBy, Observer, RequestEnd
from gateway.exchange.request_info import RequestInfo
from gateway.exchange.unary_end import End, UnaryEnd, whole

log = logging.getLogger(__name__)

MAX_ENDS: Final = 32
"""Maximum ends that wait to be told together."""
_GATHER_SECONDS = 0.05
"""Maximum time that they wait."""


class Observation:
    """Several observers as one, whose errors reach nobody.

    Each attribute of an event has the methods of its name of those observers whose class overrides it.
    Whoever calls them catches what they raise (`log_fault`); the events of each request are told where they
    occur, without a function between.

    Attributes:
        needs_info: whether an event with a `RequestInfo` is wanted.
        needs_end: whether the end is, or the progress, which is told until then.
        tells_at_once: whether somebody is told of each end as it occurs.
        progress_seconds: interval of `exchange_continues`, the shortest of all.
        ends: those that wait to be told together; None if nobody wants them so. Whoever adds the first one,
            or that with which there are `MAX_ENDS`, calls `gather`.
    """

    __slots__ = (
        *EVENTS,
        *("_takers", "_timer", "ends", "needs_end", "needs_info", "observers"),
        *("progress_seconds", "tells_at_once"),
    )

    request_started: tuple[Callable[[RequestInfo], None], ...]
    response_started: tuple[Callable[[RequestInfo, int], None], ...]
    message_received: tuple[Callable[[RequestInfo, int], None], ...]
    message_sent: tuple[Callable[[RequestInfo, int], None], ...]
    messages_dropped: tuple[Callable[[RequestInfo, int], None], ...]
    request_ended: tuple[Callable[[RequestInfo, RequestEnd], None], ...]
    exchange_ended: tuple[Callable[[RequestEnd], None], ...]
    exchanges_ended: tuple[Callable[[Sequence[RequestEnd]], None], ...]
    exchange_continues: tuple[Callable[[RequestEnd], None], ...]
    head_rejected: tuple[Callable[[RequestEnd], None], ...]
    policy_refused: tuple[Callable[[str, int], None], ...]

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers
        for event in EVENTS:
            setattr(self, event, _told(event, observers))
        self.needs_info = any(getattr(self, event) for event in EVENTS if event not in PLAIN_EVENTS)
        takers = [each.take_ends for each in observers if isinstance(each, EndsObserver)]
        self._takers: Sequence[Callable[[list[End]], None]] = takers
        self.tells_at_once = bool(self.request_ended or self.exchange_ended)
        gathers = bool(takers or self.exchanges_ended)
        self.needs_end = self.tells_at_once or gathers or bool(self.exchange_continues)
        intervals = [each.progress_seconds for each in observers if each.progress_seconds]
        self.progress_seconds = min(intervals, default=None)
        self.ends: list[End] | None = [] if gathers else None
        self._timer: asyncio.TimerHandle | None = None

    def gather(self) -> None:
        """Tells the ends that wait, if there are many; else soon."""
        if self.ends and len(self.ends) >= MAX_ENDS:
            self.tell_ends()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_GATHER_SECONDS, self._tell_late)

    def _tell_late(self) -> None:
        self._timer = None
        self.tell_ends()

    def tell_ends(self) -> None:
        """Tells the ends that wait, so that whoever has them is up to date."""
        ends = self.ends
        if not ends:
            return
        self.ends = []
        until_unix_time = time() - monotonic()
        for end in ends:
            if isinstance(end, UnaryEnd):
                end.time += until_unix_time
        tell_each(self._takers, ends)
        if self.exchanges_ended:
            tell_each(self.exchanges_ended, [whole(end) for end in ends])

    def reject(self, http_status: int, code: int, request_id: str, client: str) -> None:
        """Tells of what was refused before it was a request."""
        if self.head_rejected:
            end = RequestEnd(
                time=time(),
                seconds=0.0,
                request_id=request_id,
                traceparent="",
                client=client,
                identity="",
                http_method="",
                binding=None,
                http_status=http_status,
                code=code,
                ended_by=EndedBy.EDGE,
                bytes_in=0,
                bytes_out=0,
                counts=None,
                is_websocket=False,
                by_upstream=False,
                path="",
            )
            self.tell_ends()  # they were before it
            tell_each(self.head_rejected, end)


def _told(event: str, observers: tuple[Observer, ...]) -> tuple[Callable[..., None], ...]:
    """Returns the methods of those observers that override one."""
    default = getattr(Observer, event)
    told = [getattr(observer, event) for observer in observers]
    return tuple([each for each in told if getattr(each, "__func__", None) is not default])


def tell_each(told: Sequence[Callable[..., None]], *values: object) -> None:
    """Tells of an event; those of each request are told in place, for `*values` would cost twice as much."""
    for tell in told:
        try:
            tell(*values)
        except Exception:
            log_fault(tell)


def log_fault(observer: object) -> None:
    """Logs what an observer has raised."""
    log.exception("an observer failed: %s", getattr(observer, "__qualname__", observer))
