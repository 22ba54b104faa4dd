"""`grpc-timeout`: how long a call may take.

Source: gRPC over HTTP/2, "Timeout": at most eight digits and a unit.
"""

from __future__ import annotations


def print_timeout(seconds: float) -> bytes:
    """Returns the header's value: the finest unit that has room, rounded up; not below 1 ns."""
    raise NotImplementedError


def parse_timeout(text: bytes) -> float:
    """Returns seconds.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    raise NotImplementedError
