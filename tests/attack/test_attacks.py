"""All attacks side by side, beside callers that behave, who notice nothing but that it is slower.

In `make test` a short run; `make attack` runs for ATTACK_SECONDS. Core and edge are processes of their own.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.attack.attacks import ATTACKS
from tests.attack.scene import CALLERS, PATIENCE, attacking, behaving, scene

SECONDS = float(os.environ.get("ATTACK_SECONDS", "8"))
MEMORY = 256 * 1024 * 1024
"""Bytes that core and edge may have more at the end, which an allocator keeps."""
BEHAVE_PAUSE, ATTACK_PAUSE = 0.05, 0.2
TOGETHER = 8
"""How many attacks are made at a time; each has its turn."""


@pytest.mark.timeout(SECONDS + 120)
async def test_callers_that_behave_see_no_error() -> None:
    """Each is answered, again and again, and in time; each attack is made; both processes stay."""
    async with scene() as attacked:
        before = attacked.edge.resident() + attacked.core.resident()
        together = asyncio.Semaphore(TOGETHER)
        tasks = [
            *(asyncio.create_task(behaving(attacked, each, BEHAVE_PAUSE)) for each in CALLERS),
            *(
                asyncio.create_task(attacking(attacked, each, ATTACK_PAUSE, together))
                for each in ATTACKS
            ),
        ]
        failed, _ = await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        attacked.over = True
        _, left = await asyncio.wait(tasks, timeout=2 * PATIENCE)
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in failed:
            task.result()
        memory = attacked.edge.resident() + attacked.core.resident() - before
        print(
            f"answers: {dict(attacked.answers)}, slowest: {attacked.slowest}, "
            f"attacks: {dict(attacked.acts)}, {memory:,} bytes more"
        )

        assert attacked.errors == []
        assert memory < MEMORY
        assert all(attacked.answers[caller.__name__] for caller in CALLERS)
        assert attacked.core.process.returncode is None
        assert attacked.edge.process.returncode is None
