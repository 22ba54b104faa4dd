"""What the HTTP/2 connections of one server share, and their limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway.doors.http.door import Door
from gateway.doors.http2.heads import Heads
from grpc_wire.http2.limits import Budget, Limits
from grpc_wire.transport.lifetime import Lifetimes

MAX_UNREAD: Final = 8 * 1024 * 1024
"""Bytes of responses that a client has not read on one connection; beyond it further requests are refused."""
_GOAWAY_SECONDS: Final = 1.0
"""How long a client may take to answer the first of two GOAWAYs, before the second is sent (6.8)."""


_RESETS: Final = 500
_ADDRESS_RESETS: Final = 2000
"""Requests per `Limits.period` that a connection, and all connections of an address, may reset at once."""
_MAX_ADDRESSES: Final = 4096
"""Maximum addresses whose resets are counted; beyond it the one that was seen first is forgotten."""


class Resets:
    """How many requests the connections of each address have reset at once (CVE-2023-44487)."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._period = limits.period
        self._clock = clock
        self._budgets: dict[str, Budget] = {}

    def of(self, address: str) -> Budget | None:
        """Returns the budget that all connections of an address share; None where there is no address."""
        if not address:
            return None
        budget = self._budgets.get(address)
        if budget is None:
            if len(self._budgets) >= _MAX_ADDRESSES:
                del self._budgets[next(iter(self._budgets))]
            budget = Budget(_ADDRESS_RESETS, self._period, self._clock)
            self._budgets[address] = budget
        return budget


@dataclass(frozen=True, slots=True, eq=False)
class Http2:
    """What all connections share."""

    limits: Limits
    """Of the protocol."""
    lifetimes: Lifetimes
    resets: Resets
    send_timeout: float
    """Seconds without progress after which a response that is not read is cut."""
    heads: Heads | None = None
    """Reads the heads of requests that are answered directly; None where the application answers all."""


def http2(door: Door, max_streams: int, send_timeout: float) -> Http2:
    """Returns what connections share, under the limits of HTTP/1.1 where both have one.

    Args:
        door: who answers.
        max_streams: requests that are answered at the same time on one connection.
        send_timeout: see `Http2`.
    """
    limits, direct = door.limits, door.direct
    of_protocol = Limits(
        concurrent_streams=max_streams,
        header_list=limits.max_head,
        resets=_RESETS,
        extended_connect=True,
    )
    lifetimes = Lifetimes(
        handshake=limits.head_timeout,
        section=limits.head_timeout,
        idle=limits.keep_alive,
        goaway_timeout=_GOAWAY_SECONDS,
    )
    heads = None
    if direct is not None:
        edge = direct.edge
        heads = Heads(edge.metadata, edge.served, direct.root_path, secure=direct.is_secure)
        edge.followers.append(heads.follow)
    return Http2(of_protocol, lifetimes, Resets(of_protocol, monotonic), send_timeout, heads)
