"""Several observers as one, whose errors reach nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gateway.exchange.policy import Observer, RequestEnd, RequestInfo

log = logging.getLogger(__name__)


class Observation:
    """Several observers as one, whose errors reach nobody.

    Each attribute tells those observers whose class overrides the method of its name; None if none does.
    """

    __slots__ = (
        *("message_received", "message_sent", "messages_dropped"),
        *("request_ended", "request_started", "response_started"),
    )

    request_started: Callable[[RequestInfo], None] | None
    response_started: Callable[[RequestInfo, int], None] | None
    message_received: Callable[[RequestInfo, int], None] | None
    message_sent: Callable[[RequestInfo, int], None] | None
    messages_dropped: Callable[[RequestInfo, int], None] | None
    request_ended: Callable[[RequestInfo, RequestEnd], None] | None

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        for event in self.__slots__:
            told = [getattr(observer, event) for observer in observers]
            default = getattr(Observer, event)
            told = [each for each in told if getattr(each, "__func__", None) is not default]
            tell = _tell_start if event == "request_started" else _tell
            setattr(self, event, tell(tuple(told)) if told else None)


def _tell(told: tuple[Callable[[RequestInfo, Any], None], ...]) -> Callable[..., None]:
    def tell(request: RequestInfo, value: object) -> None:
        for each in told:
            try:
                each(request, value)
            except Exception:
                _log_fault(each)

    return tell


def _tell_start(told: tuple[Callable[[RequestInfo], None], ...]) -> Callable[..., None]:
    def tell(request: RequestInfo) -> None:
        for each in told:
            try:
                each(request)
            except Exception:
                _log_fault(each)

    return tell


def _log_fault(observer: object) -> None:
    log.exception("an observer failed: %s", getattr(observer, "__qualname__", observer))
