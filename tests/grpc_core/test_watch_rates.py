"""WatchRates, over real gRPC."""

import asyncio
from decimal import Decimal
from typing import Any

import grpc

from grpc_core._generated.finance_pb2 import RateUpdate, WatchRequest
from tests.grpc_core.loopback import Loopback, Refusal, collect, published, refusal, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def read(call: Any, number: int) -> list[tuple[str, float]]:
    """Returns the next updates of a WatchRates call."""
    updates = [await call.read() for _ in range(number)]
    return [(update.currency, update.rate) for update in updates]


async def test_watch_rates_sends_everything_then_what_changed(core: Loopback) -> None:
    """The current rates come at once, in upper case and once each; then those that changed."""
    targets = ["jpy", "EUR", "JPY"]
    call = core.converter.WatchRates(WatchRequest(base_currency="usd", target_currencies=targets))

    first = await read(call, 2)
    published(core, JPY=Decimal(200))
    second = await read(call, 1)
    published(core, USD=Decimal(2))
    third = await read(call, 2)
    call.cancel()

    assert first == [("JPY", 128), ("EUR", 0.8)]
    assert second == [("JPY", 160)]
    assert sorted(third) == [("EUR", 0.5), ("JPY", 100)]


async def test_watch_rates_of_no_target_means_all_others(core: Loopback) -> None:
    """Without targets, every active currency but the base is sent."""
    call = core.converter.WatchRates(WatchRequest(base_currency="EUR"))

    assert await read(call, 3) == [("GBP", 0.8), ("JPY", 160), ("USD", 1.25)]
    call.cancel()


async def test_watch_rates_refuses_before_it_sends(core: Loopback) -> None:
    """A request that is wrong in any part is refused as a whole."""
    request = WatchRequest(base_currency="", target_currencies=["USD", "XXX"])

    assert await refusal(collect(core.converter.WatchRates(request))) == Refusal(
        INVALID,
        "currency code must not be empty; unknown currency 'XXX'",
        [
            ("base_currency", "currency code must not be empty"),
            ("target_currencies[1]", "unknown currency 'XXX'"),
        ],
    )
    assert core.feed.watchers == 0


async def test_a_long_list_of_errors_still_arrives(core: Loopback) -> None:
    """An error says how many violations it leaves out, rather than being too long to be read."""
    targets = [f"{number:05}\N{SNOWMAN}" * 99 for number in range(5000)]
    request = WatchRequest(base_currency="USD", target_currencies=targets)

    answer = await refusal(collect(core.converter.WatchRates(request)))

    assert answer.code is INVALID
    assert answer.message.endswith("; and 4984 more")
    assert len(answer.violations) == 16


async def test_a_watcher_that_cancels_is_gone(core: Loopback) -> None:
    """The feed forgets a watcher as soon as its call ends."""
    call = core.converter.WatchRates(WatchRequest(base_currency="USD"))
    await call.read()
    assert core.feed.watchers == 1

    call.cancel()

    await until(lambda: core.feed.watchers == 0)


async def test_a_watcher_that_does_not_read_gets_the_newest(core: Loopback) -> None:
    """A call that is not read holds no backlog: at last it gets fewer updates than ticks."""
    request = WatchRequest(base_currency="EUR", target_currencies=["USD"])
    call = core.converter.WatchRates(request)
    await call.read()
    ticks = 20_000
    for tick in range(1, ticks + 1):
        published(core, USD=Decimal(tick))
        if tick % 4 == 0:
            await asyncio.sleep(0)

    number, update = 0, RateUpdate()
    while update.rate != ticks:
        update = await call.read()
        number += 1
    call.cancel()

    assert number < ticks


async def test_many_watchers_share_the_ticks(core: Loopback) -> None:
    """Two hundred calls all see the same tick, and no task of theirs produces it."""
    request = WatchRequest(base_currency="EUR", target_currencies=["USD"])
    calls = [core.converter.WatchRates(request) for _ in range(200)]
    await asyncio.gather(*(call.read() for call in calls))
    assert core.feed.watchers == 200

    published(core, USD=Decimal(3))
    updates = await asyncio.gather(*(call.read() for call in calls))

    assert updates == [RateUpdate(currency="USD", rate=3)] * 200
    for call in calls:
        call.cancel()
    await until(lambda: core.feed.watchers == 0)
