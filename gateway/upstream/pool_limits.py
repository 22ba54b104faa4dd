"""How many connections to the upstream there are, and what they carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there are, and what they carry."""

    max_connections: int = 32
    min_connections: int = 1
    """So many are opened after the first call, share the calls in turn, and stay open."""
    streams_per_connection: int | None = None
    """Most calls on one connection; None is what the server allows, or what its transport assumes."""
    idle: float = 60.0
    """Seconds after which a connection without calls is closed."""
    unary_reserve: float = 0.1
    """The part of all streams that streaming calls leave to unary ones, from 0 to below 1."""

    def max_streams(self, capacity: int) -> int:
        """Returns how many streaming calls may be open where so many calls may; one, at least."""
        return max(min(1, capacity), capacity - self._reserve(capacity))

    def grows_at(self, capacity: int, connections: int) -> int:
        """Returns at how many calls another connection is wanted: before streaming calls are refused."""
        if 0 < connections < self.min_connections:
            return 0
        return max(1, capacity - 2 * self._reserve(capacity))

    def _reserve(self, capacity: int) -> int:
        return math.ceil(capacity * self.unary_reserve)


DEFAULT_LIMITS: Final = PoolLimits()
