"""How an exchange is run without a task, and in one where it has to wait."""

from __future__ import annotations

import asyncio

import pytest

from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import ClientGone


@pytest.mark.parametrize("how", ["interrupt", "cancel"])
async def test_a_task_that_has_not_begun_is_cancelled_where_it_waits(how: str) -> None:
    """What stands behind the rest of an exchange is done, however early it is cancelled."""
    run = InlineRun()
    steps = []

    async def exchange() -> None:
        try:
            await run.in_task()
            steps.append("in a task")
            await asyncio.sleep(10)
        finally:
            steps.append("ended")

    run.start_run(exchange().__await__())
    if how == "interrupt":
        run.interrupt(ClientGone())
    else:
        run.cancel()
    async with asyncio.timeout(10):
        while not run.over:
            await asyncio.sleep(0)

    assert steps == ["in a task", "ended"]
