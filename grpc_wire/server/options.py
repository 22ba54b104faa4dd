"""Options of a server, by grpc's names.

Rule: an unknown option is an error, so that nobody relies on one that has no effect. Those of `NEEDLESS` are
accepted: what they ask for is so anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grpc_wire.grpc_api import NEVER, in_order
from grpc_wire.http2.limits import DEFAULT, Limits
from grpc_wire.transport.lifetime import UNLIMITED, Lifetimes

NEEDLESS: Final = frozenset(
    {
        # `Limits.control_frames` bounds pings, and allows more than these ask for.
        "grpc.http2.max_ping_strikes",
        "grpc.http2.min_ping_interval_without_data_ms",
        "grpc.http2.min_recv_ping_interval_without_data_ms",
    }
)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of a server.

    Attributes:
        limits: of each connection.
        lifetimes: of each connection.
        receive: maximum bytes of a request message; -1 is no limit.
        send: maximum bytes of a response message; -1 is no limit.
        reuse_port: whether other processes may listen on the same port.
    """

    limits: Limits = DEFAULT
    lifetimes: Lifetimes = UNLIMITED
    receive: int = 4 * 1024 * 1024
    send: int = -1
    reuse_port: bool = True


@dataclass(slots=True)
class _Parsed:
    limits: dict[str, Any] = field(default_factory=dict)
    lifetimes: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)


def _number(value: Any, least: int, most: int) -> int:
    if not least <= int(value) <= most:
        raise ValueError
    return int(value)


def _seconds(milliseconds: Any, least: int = 0) -> float:
    number = _number(milliseconds, least, 2**63)
    return math.inf if number >= NEVER else number / 1000


def _period(milliseconds: Any) -> float:
    """Parses milliseconds; at least 1: with 0 no connection would last."""
    return _seconds(milliseconds, least=1)


def _count(value: Any) -> int:
    return _number(value, 0, 2**31 - 1)


_KNOWN: Final[dict[str, tuple[str, str, Callable[[Any], Any]]]] = {
    "grpc.max_receive_message_length": ("own", "receive", int),
    "grpc.max_send_message_length": ("own", "send", int),
    "grpc.so_reuseport": ("own", "reuse_port", bool),
    "grpc.max_concurrent_streams": ("limits", "concurrent_streams", _count),
    "grpc.max_metadata_size": ("limits", "header_list", _count),
    "grpc.absolute_max_metadata_size": ("limits", "header_list", _count),
    "grpc.server_handshake_timeout_ms": ("lifetimes", "handshake", _period),
    "grpc.keepalive_time_ms": ("lifetimes", "keepalive", _period),
    "grpc.keepalive_timeout_ms": ("lifetimes", "keepalive_timeout", _seconds),
    "grpc.keepalive_permit_without_calls": ("lifetimes", "keepalive_without_streams", bool),
    "grpc.max_connection_idle_ms": ("lifetimes", "idle", _period),
    "grpc.max_connection_age_ms": ("lifetimes", "age", _period),
    "grpc.max_connection_age_grace_ms": ("lifetimes", "grace", _seconds),
}


def server_options(options: Sequence[tuple[str, Any]]) -> ServerOptions:
    """Reads options; the last of one name is applied; see `in_order` for the limits of metadata.

    Raises:
        ValueError: one is unknown, or has an invalid value.
    """
    parsed = _Parsed()
    for name, value in in_order(options):
        if name in NEEDLESS:
            continue
        if name not in _KNOWN:
            raise ValueError(f"the option {name!r} is not known; known are {', '.join(_KNOWN)}")
        group, attribute, read = _KNOWN[name]
        try:
            getattr(parsed, group)[attribute] = read(value)
        except (TypeError, ValueError):
            raise ValueError(f"the option {name!r} cannot be {value!r}") from None
    return ServerOptions(Limits(**parsed.limits), Lifetimes(**parsed.lifetimes), **parsed.own)
