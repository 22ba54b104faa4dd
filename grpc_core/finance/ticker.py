"""Simulated rates: each currency moves around its reference rate, tick by tick.

Rule: the rates of a tick are a function of the reference rates, the seed and the tick's number. So all
processes, on any machine and whenever they were started, have the same rates at the same tick.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b

from grpc_core.finance.rates import EURO, Snapshot

LARGEST_DEVIATION = 999
"""Maximum deviation of a currency from its reference rate in parts per million, up or down.

Two currencies with opposite deviations are up to 0.2 % off against each other.
"""

LARGEST_STEP = 25
"""Maximum move of a currency from one tick to the next in parts per million, up or down."""

_KNOT_TICKS = 160
"""Ticks from one drawn deviation to the next; it moves evenly between them."""
_LARGEST_DRAWN = 990
_LARGEST_NOISE = 6
"""Maximum of what is drawn at each tick, in parts per million.

990 + 6 is within the largest deviation, and 2 * 990 / 160, rounded up, + 2 * 6 is the largest step.
"""


def simulated(reference: Snapshot, *, seed: int, tick: int, instant: datetime) -> Snapshot:
    """Returns the rates of a tick.

    Args:
        reference: The rates that they are around.
        seed: Another seed gives other rates.
        tick: Number of the tick.
        instant: Time of the tick, which becomes the time of the quote.
    """
    per_euro = {
        code: rate * Decimal(1_000_000 + deviation(seed, code, tick)).scaleb(-6)
        for code, rate in reference.per_euro.items()
        if code != EURO
    }
    return replace(reference, instant=instant, per_euro=per_euro)


def deviation(seed: int, code: str, tick: int) -> int:
    """Returns how far a currency is from its reference rate at a tick, in parts per million."""
    knot, after = divmod(tick, _KNOT_TICKS)
    start, end = _knot(seed, code, knot), _knot(seed, code, knot + 1)
    noise = _drawn(f"{seed} {code} {knot} {after}", _LARGEST_NOISE)
    return start + (end - start) * after // _KNOT_TICKS + noise


@lru_cache(maxsize=256)
def _knot(seed: int, code: str, number: int) -> int:
    return _drawn(f"{seed} {code} {number}", _LARGEST_DRAWN)


def _drawn(name: str, largest: int) -> int:
    """Returns a number from -largest to largest, which is always the same for a name.

    A hash, since the numbers of `random` for a seed may differ between versions of Python.
    """
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % (2 * largest + 1) - largest
