"""Token buckets by the generic cell rate algorithm (GCRA): one number for each bucket, and no timer.

With the interval T between two tokens and the tolerance τ = burst · T, a bucket is its *theoretical arrival
time* TAT, the time at which it is full again. A request of cost n at the time t gives

    new = max(TAT, t) + n · T        admitted if new - t <= τ, and then TAT = new
    remaining = floor((τ - (TAT - t)) / T)        retry after new - τ - t        full after TAT - t

So in any period p at most burst + p / T tokens are taken. A bucket whose TAT has passed is as good as none.

Source: ITU-T I.371 (2004), Annex A, "virtual scheduling algorithm"; ATM Forum, Traffic Management 4.1, 4.4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

_ROUNDING: Final = 1e-8
"""Seconds by which sums of floats may be off: ten times 0.1 is 0.9999999999999999."""
_PART: Final = 1e-3
"""Part of a token that may lack in what is left, for the same reason."""


class Decision(NamedTuple):
    """What a bucket says of a request."""

    remaining: int
    """Tokens that are left; never negative."""
    retry_seconds: float
    """Seconds after which the same request is admitted, if nobody takes tokens before; 0 if it is now."""
    full_seconds: float
    """Seconds after which the bucket is full again."""

    @property
    def admitted(self) -> bool:
        """Whether the tokens were taken."""
        return not self.retry_seconds


_made: Final = tuple.__new__
"""Makes a decision in half the time that its class takes."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a bucket fills, and how much it holds."""

    name: str
    """The name of the rule; buckets of different rules are apart."""
    interval: float
    """Seconds between two tokens: T."""
    tolerance: float
    """Seconds in which an empty bucket becomes full: τ."""
    may_owe: bool = False
    """Whether a cost above what is left is admitted, and paid later, as long as one token is left.

    So it is with bytes: a message larger than the burst would never pass otherwise.
    """

    @classmethod
    def of(
        cls, name: str, limit: int, seconds: float, burst: int, *, may_owe: bool = False
    ) -> Rate:
        """Makes the rate of `limit` tokens in each `seconds`, of which `burst` may be taken at once."""
        interval = seconds / limit
        return cls(name, interval, burst * interval, may_owe)


def decide(rate: Rate, arrival: float, cost: int, now: float) -> tuple[float, Decision]:
    """Decides about a request.

    Args:
        rate: of the bucket.
        arrival: the bucket's theoretical arrival time; any time that has passed is a full bucket.
        cost: tokens, 0 or more.
        now: seconds of the same clock.

    Returns:
        The new theoretical arrival time, which is the old one if the request is refused, and the decision.
    """
    interval, tolerance = rate.interval, rate.tolerance
    used = arrival - now if arrival > now else 0.0
    cost_seconds = cost * interval
    over = used + (interval if rate.may_owe else cost_seconds) - tolerance
    if over > _ROUNDING:
        return arrival, _made(Decision, (remaining(rate, used), over, used))
    used += cost_seconds
    # `remaining`, in place
    left = int((tolerance - used) / interval + _PART) if used < tolerance else 0
    return now + used, _made(Decision, (left, 0.0, used))


def remaining(rate: Rate, used: float) -> int:
    """Returns the tokens that are left in a bucket that is full again after `used` seconds."""
    tolerance = rate.tolerance
    return int((tolerance - used) / rate.interval + _PART) if used < tolerance else 0
