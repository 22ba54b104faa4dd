"""The memory of an edge whose contract is replaced 500 times."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.reload.state import Result
from tests.edge.asgi import ask, running
from tests.reload.conftest import Shop
from tests.reload.versions import field_added, method_added

SWAPS = 500
WARM = 100
"""Swaps behind which memory is first looked at: caches and free lists have filled by then."""
MAX_GROWTH = 8 * 1024 * 1024

pytestmark = [pytest.mark.reloads, pytest.mark.timeout(900)]


def resident() -> int:
    """Returns the bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_memory_does_not_grow(make_shop: Callable[..., Shop]) -> None:
    """Behind the first hundred, four hundred swaps take no more than a few contracts' memory."""
    shop = make_shop(admin_port=0, access_log="off")
    sizes: list[int] = []
    async with running(shop.app) as app:
        for number in range(SWAPS):
            outcome = await shop.change(
                method_added(f"Find{number}", f"/find{number}"),
                field_added("Item", f"field{number}"),
            )
            assert outcome.result is Result.APPLIED
            assert (await ask(app, "GET", f"/items/a?field{number}=x")).status == 200
            shop.upstream.calls.clear()
            if number >= WARM and number % WARM == 0:
                gc.collect()
                sizes.append(resident())
        gc.collect()
        sizes.append(resident())

    print([size // 1024 for size in sizes], "KiB")
    assert sizes[-1] - sizes[0] < MAX_GROWTH
