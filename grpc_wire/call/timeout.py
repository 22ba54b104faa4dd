"""The `grpc-timeout` header.

Timeouts are rounded up to 18 bits, so that many calls send the same text and HPACK can cache it.

Source: gRPC over HTTP/2, "Timeout": one to eight digits, and a unit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import ceil, frexp, ldexp
from typing import Final

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS: Final = {b"n": 1e-9, b"u": 1e-6, b"m": 1e-3, b"S": 1.0, b"M": 60.0, b"H": 3600.0}
_MAX_NUMBER: Final = 10**8 - 1
_MANTISSA_BITS: Final = 18
"""Bits of the mantissa of a timeout that is sent."""
_MIN_MANTISSA: Final = 2 ** (_MANTISSA_BITS - 1)
"""Smallest normalised mantissa; below it the step halves."""
_MAX_CACHED: Final = 256
ROUNDING_SECONDS: Final = 1e-6
"""Seconds; more than the floating-point error of adding a timeout to the clock and subtracting it again."""


def print_timeout(seconds: float) -> tuple[bytes, float, float]:
    """Prints a timeout in the finest unit that fits, rounded up; at least 1 ns.

    Returns:
        The header's value; and the timeouts that have the same: those above the first number of seconds, up
        to the second.
    """
    mantissa, exponent = frexp(seconds)
    step = ceil(ldexp(mantissa, _MANTISSA_BITS))
    lower = ldexp(max(step - 1, _MIN_MANTISSA), exponent - _MANTISSA_BITS)
    upper = ldexp(step, exponent - _MANTISSA_BITS)
    return _printed(upper), lower, upper


@lru_cache(maxsize=_MAX_CACHED)
def _printed(seconds: float) -> bytes:
    for unit, size in _UNITS.items():
        number = max(seconds / size, 1.0)
        if number <= _MAX_NUMBER:
            return b"%d%b" % (ceil(number), unit)
    return b"%dH" % _MAX_NUMBER


@lru_cache(maxsize=_MAX_CACHED)
def parse_timeout(text: bytes) -> float:
    """Returns seconds.

    Raises:
        ValueError: the text is not one to eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(f"grpc-timeout is {text!r}")
    return int(match[1]) * _UNITS[match[2]]
