"""Timeouts in requests.

Sources: gRPC over HTTP/2, "Timeout" (`grpc-timeout: 1H`); Connect (`connect-timeout-ms: 500`); Envoy and
vanguard's `X-Server-Timeout` (seconds).
"""

from __future__ import annotations

import re
from typing import Final

from gateway.transcoding.violations import quoted

_GRPC_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_LONGEST: Final = 365 * 24 * 3600.0
"""A year in seconds. Longer timeouts are cut to it, since some clocks overflow."""
_CONNECT_TIMEOUT: Final = re.compile(r"[0-9]{1,10}")
_SERVER_TIMEOUT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def shortest(one: float | None, other: float | None) -> float | None:
    """Returns the shorter of two timeouts in seconds; None is no timeout."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def read_grpc_timeout(text: str) -> float:
    """Parses a `grpc-timeout`; returns seconds, at most a year.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    match = _GRPC_TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected digits and one of H M S m u n, got {quoted(text)}")
    return min(int(match[1]) * _SECONDS[match[2]], _LONGEST)


def read_connect_timeout(text: str) -> float:
    """Parses a `connect-timeout-ms`; returns seconds, at most a year.

    Raises:
        ValueError: it is not one to ten digits.
    """
    if not _CONNECT_TIMEOUT.fullmatch(text):
        raise ValueError(f"expected milliseconds, got {quoted(text)}")
    return min(int(text) / 1000, _LONGEST)


def read_server_timeout(text: str) -> float:
    """Parses an `x-server-timeout`; returns seconds, at most a year.

    Raises:
        ValueError: it is not a decimal number.
    """
    if not _SERVER_TIMEOUT.fullmatch(text):
        raise ValueError(f"expected seconds, got {quoted(text)}")
    return min(float(text), _LONGEST)
