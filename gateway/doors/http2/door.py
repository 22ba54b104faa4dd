"""What the HTTP/2 connections of one server share, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.doors.http1.limits import Limits as HttpLimits
from gateway.doors.http2.heads import Heads
from grpc_wire.http2.limits import Limits
from grpc_wire.transport.lifetime import Lifetimes

MAX_UNREAD: Final = 8 * 1024 * 1024
"""Bytes of responses that a client has not read on one connection; beyond it further requests are refused."""
_GOAWAY_SECONDS: Final = 1.0
"""How long a client may take to answer the first of two GOAWAYs, before the second is sent (6.8)."""


@dataclass(frozen=True, slots=True, eq=False)
class Http2:
    """What all connections share."""

    limits: Limits
    """Of the protocol."""
    lifetimes: Lifetimes
    send_timeout: float
    """Seconds without progress after which a response that is not read is cut."""
    heads: Heads | None = None
    """Reads the heads of requests that are answered directly; None where the application answers all."""


def http2(
    limits: HttpLimits, *, max_streams: int, send_timeout: float, heads: Heads | None
) -> Http2:
    """Returns what connections share, under the limits of HTTP/1.1 where both have one.

    Args:
        limits: of HTTP/1.1.
        max_streams: requests that are answered at the same time on one connection.
        send_timeout: see `Http2`.
        heads: see `Http2`.
    """
    return Http2(
        Limits(
            concurrent_streams=max_streams,
            header_list=limits.max_head,
            extended_connect=True,
        ),
        Lifetimes(
            handshake=limits.head_timeout,
            idle=limits.keep_alive,
            goaway_timeout=_GOAWAY_SECONDS,
        ),
        send_timeout,
        heads,
    )
