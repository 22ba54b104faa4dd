"""What many clients at once may do to the containers."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from tests.e2e.compose import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CLIENTS = 200
BODY = b'{"fromCurrency":"%s"}' % (b"E" * 4_000_000)
"""Sent by all of them at once it is more than a container may have."""


async def test_large_bodies_end_nobody(stack: Stack) -> None:
    """Hundreds of large requests at once are refused, and no container ends for want of memory."""
    before = started(stack)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        sending = (client.post(f"{stack.http}/convert", content=BODY) for _ in range(CLIENTS))
        answers = await asyncio.gather(*sending)

    assert Counter(answer.status_code for answer in answers) == {413: CLIENTS}
    assert started(stack) == before


def started(stack: Stack) -> dict[str, str]:
    """Returns since when each container runs."""
    return {name: stack.inspect(name)["State"]["StartedAt"] for name in ("core", "gateway")}
