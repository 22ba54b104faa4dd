"""`grpc-timeout`: how long a call may take.

What is sent is rounded up a little, so that many calls say the same, and what is the same is known.

Source: gRPC over HTTP/2, "Timeout": one to eight digits, and a unit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import ceil, frexp, ldexp
from typing import Final

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS: Final = {b"n": 1e-9, b"u": 1e-6, b"m": 1e-3, b"S": 1.0, b"M": 60.0, b"H": 3600.0}
_MOST: Final = 10**8 - 1
_BITS: Final = 18
"""Of a number that is sent."""
_LEAST: Final = 2 ** (_BITS - 1)
"""Such a number, of which those below lie twice as close."""
_KEPT: Final = 256
LOST: Final = 1e-6
"""Seconds: more than is lost, or won, where a time is added and taken away again."""
_latest: Final = [(0.0, 0.0, b"")]
"""What was printed last: above which timeout, up to which, and as what."""


def print_timeout(seconds: float) -> bytes:
    """Returns the header's value in the finest unit that has room, rounded up; 1 ns at least."""
    below, most, text = _latest[0]
    if below < seconds <= most:
        return text
    mantissa, exponent = frexp(seconds)
    step = ceil(ldexp(mantissa, _BITS))
    below = ldexp(max(step - 1, _LEAST), exponent - _BITS)
    most = ldexp(step, exponent - _BITS)
    text = _printed(most)
    _latest[0] = below, most, text
    return text


@lru_cache(maxsize=_KEPT)
def _printed(seconds: float) -> bytes:
    for unit, size in _UNITS.items():
        number = max(seconds / size, 1.0)
        if number <= _MOST:
            return b"%d%b" % (ceil(number), unit)
    return b"%dH" % _MOST


@lru_cache(maxsize=_KEPT)
def parse_timeout(text: bytes) -> float:
    """Returns seconds.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(f"grpc-timeout is {text!r}")
    return int(match[1]) * _UNITS[match[2]]
