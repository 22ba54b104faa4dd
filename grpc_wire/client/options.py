"""Options of a channel, by grpc's names.

Rule: an unknown option is an error, so that nobody relies on one that has no effect. Those of `NEEDLESS` are
accepted: what they ask for is so anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from grpc_wire.client.backoff import BackoffTimes
from grpc_wire.grpc_api import NEVER, in_order
from grpc_wire.http2.limits import Limits
from grpc_wire.transport.lifetime import Lifetimes

NEEDLESS: Final = frozenset(
    {
        "grpc.enable_http_proxy",  # none is used
        "grpc.enable_retries",  # only what the server has certainly not processed is tried again
        "grpc.http2.max_pings_without_data",  # pings are as many as keepalive sends
        "grpc.use_local_subchannel_pool",  # channels share nothing
    }
)


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """Options of a channel; sizes in bytes, -1 is no limit; times in seconds.

    The timeout of the attempt to connect includes the handshake. The close timeout is short: a client that
    closes
    has nothing more to send, and grpc's servers never close first over TLS.
    """

    max_send: int = -1
    max_receive: int = 4 * 1024 * 1024
    authority: str = ""
    tls_name: str = ""
    user_agent: str = ""
    resolution_interval: float = 30.0
    backoff: BackoffTimes = field(default_factory=BackoffTimes)
    limits: Limits = field(default_factory=Limits)
    lifetimes: Lifetimes = field(
        default_factory=lambda: Lifetimes(handshake=math.inf, idle=1800.0, close_timeout=0.1)
    )


def read(options: Iterable[tuple[str, Any]]) -> ChannelOptions:
    """Reads options of `grpc.aio.insecure_channel`; see `in_order` for the limits of metadata.

    Raises:
        ValueError: one is unknown, or has an invalid value.
    """
    result = ChannelOptions()
    for name, value in in_order(options):
        if name in _TEXTS:
            result = _set(result, "", _TEXTS[name], _text(name, value))
        elif name in _NUMBERS:
            group, attribute, kind = _NUMBERS[name]
            result = _set(result, group, attribute, kind(name, value))
        elif name not in NEEDLESS:
            raise ValueError(f"the channel option {name} is not known")
    return result


def _set(options: ChannelOptions, group: str, attribute: str, value: Any) -> ChannelOptions:
    if not group:
        return replace(options, **{attribute: value})
    changed: Any = replace(getattr(options, group), **{attribute: value})
    return replace(options, **{group: changed})


def _text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str):
        raise ValueError(f"{name} is to be a str, not {value!r}")
    return value


def _size(name: str, value: Any) -> int:
    if not isinstance(value, int) or value < -1:
        raise ValueError(f"{name} is to be a number of bytes, or -1, not {value!r}")
    return value


def _seconds(name: str, value: Any) -> float:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is to be a number of milliseconds, not {value!r}")
    return value / 1000


def _period(name: str, value: Any) -> float:
    if value == 0:
        raise ValueError(f"{name} cannot be 0: no connection would last")
    return math.inf if value == NEVER else _seconds(name, value)


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{name} is to be a number, not {value!r}")
    return value


def _flag(name: str, value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{name} is to be 0 or 1, not {value!r}")
    return bool(value)


_TEXTS = {
    "grpc.default_authority": "authority",
    "grpc.ssl_target_name_override": "tls_name",
    "grpc.primary_user_agent": "user_agent",
}
_NUMBERS = {
    "grpc.max_send_message_length": ("", "max_send", _size),
    "grpc.max_receive_message_length": ("", "max_receive", _size),
    "grpc.max_metadata_size": ("limits", "header_list", _count),
    "grpc.absolute_max_metadata_size": ("limits", "header_list", _count),
    "grpc.dns_min_time_between_resolutions_ms": ("", "resolution_interval", _seconds),
    "grpc.initial_reconnect_backoff_ms": ("backoff", "initial", _seconds),
    "grpc.min_reconnect_backoff_ms": ("backoff", "min_connect_timeout", _seconds),
    "grpc.max_reconnect_backoff_ms": ("backoff", "max", _seconds),
    "grpc.keepalive_time_ms": ("lifetimes", "keepalive", _period),
    "grpc.keepalive_timeout_ms": ("lifetimes", "keepalive_timeout", _seconds),
    "grpc.keepalive_permit_without_calls": ("lifetimes", "keepalive_without_streams", _flag),
    "grpc.client_idle_timeout_ms": ("lifetimes", "idle", _period),
}
