"""A core with live rates."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core.finance.target_days import due, quoted_at
from grpc_core.live.last_good import read
from grpc_core.market import Market
from grpc_core.metrics import Metrics
from grpc_core.rate_feed import RateFeed
from grpc_core.server import SERVICES, CoreServer
from grpc_core.settings import Settings
from tests.grpc_core.finance.ecb import document
from tests.grpc_core.live.rates_server import Answer, answering, rates_server
from tests.grpc_core.loopback import converter_stub, health_stub, until

TODAY = due(datetime.now(UTC))
YESTERDAY = due(quoted_at(TODAY))
DOLLARS = ConvertRequest(from_currency="EUR", to_currency="USD", amount=1)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
CONVERTER, GREETER = SERVICES[0], SERVICES[2]


@dataclass(frozen=True, slots=True)
class LiveCore:
    """A core that fetches its rates."""

    converter: Any
    health: Any
    samples: Callable[[], Mapping[str, Any]]

    async def dollars(self) -> float:
        """Returns the dollars that a euro is."""
        rate: float = (await self.converter.Convert(DOLLARS, timeout=20)).rate
        return rate

    async def has_dollars(self, rate: float) -> None:
        """Waits until a euro is so many dollars, which is a tick after the fetch."""
        async with asyncio.timeout(20):
            while True:
                with suppress(grpc.aio.AioRpcError):
                    if await self.dollars() == rate:
                        return
                await asyncio.sleep(0.01)

    async def status(self, service: str) -> int:
        """Returns the health of a service."""
        status: int = (await self.health.Check(HealthCheckRequest(service=service))).status
        return status

    def fetches(self, result: str) -> float:
        """Returns the number of fetches with a result."""
        found: float = dict(self.samples()["core_rates_fetches_total"])[result,]
        return found

    async def fetched(self, result: str, more: int = 1) -> None:
        """Waits for some more fetches with a result."""
        before = self.fetches(result)
        await until(lambda: self.fetches(result) >= before + more)


@asynccontextmanager
async def live_core(
    url: str, file: Path | None = None, now: Callable[[], float] = time.time
) -> AsyncIterator[LiveCore]:
    """Runs one until the block is left; it fetches every second."""
    made = Settings(
        port=0, rates="ecb", rates_url=url, rates_file=file, rates_poll=1, tick_period=0.02
    )  # fmt: skip
    market = Market(made)
    feed = RateFeed(market.rates)
    server = CoreServer(made, feed)
    async with market.publishing(feed, now), server.telling_rates():
        await server.start()
        try:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield LiveCore(converter_stub(channel), health_stub(channel), market.samples)
        finally:
            await server.stop(None)


async def test_it_serves_what_is_published() -> None:
    """Exactly, as of 14:15 in Frankfurt; what has not changed is fetched no more than once."""
    async with rates_server(document(TODAY)) as server, live_core(server.url) as core:
        await core.fetched("same", 2)
        answer = await core.converter.Convert(DOLLARS)
        samples = core.samples()

    assert answer.rate == 1.0921
    assert datetime.fromisoformat(answer.timestamp) == quoted_at(TODAY)
    assert core.fetches("new") == 1
    assert all("if-none-match" in request for request in server.requests[1:])
    (((), age),) = samples["core_reference_rates_age_seconds"]
    assert age == pytest.approx((datetime.now(UTC) - quoted_at(TODAY)).total_seconds(), abs=60)
    assert samples["core_reference_rates_behind"] == [((), 0)]


async def test_without_rates_it_does_not_serve_any() -> None:
    """Calls are UNAVAILABLE, and health says so, until there are rates; nothing bundled stands in."""
    async with rates_server() as server:
        server.answer = answering(503)
        async with live_core(server.url) as core:
            await core.fetched("failed", 2)
            with pytest.raises(
                grpc.aio.AioRpcError, match="there are no reference rates yet"
            ) as caught:
                await core.dollars()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert [await core.status(each) for each in ("", CONVERTER)] == [NOT_SERVING] * 2
            assert await core.status(GREETER) == SERVING
            assert core.samples()["core_reference_rates_behind"] == [((), 1)]

            server.document, server.answer = document(TODAY), None
            await core.fetched("new")
            async for answer in core.health.Watch(HealthCheckRequest()):
                if answer.status == SERVING:
                    break
            await core.has_dollars(1.0921)


async def test_rates_that_grow_too_old_end_everything(caplog: pytest.LogCaptureFixture) -> None:
    """An open watch ends as UNAVAILABLE, calls are, and health is NOT_SERVING; the log says why, once."""
    later = 0.0
    async with (
        rates_server(document(TODAY)) as server,
        live_core(server.url, now=lambda: time.time() + later) as core,
    ):
        await core.has_dollars(1.0921)
        watch = core.converter.WatchRates(
            WatchRequest(base_currency="EUR", target_currencies=["USD"])
        )
        assert (await watch.read()).rate == 1.0921
        later = 6 * 86400.0
        with pytest.raises(grpc.aio.AioRpcError, match="are too old") as caught:
            await watch.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError, match=f"reference rates of {TODAY} are too old"):
            await core.dollars()
        async for answer in core.health.Watch(HealthCheckRequest()):
            if answer.status == NOT_SERVING:
                break

    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert errors == [f"no rates are served: the reference rates of {TODAY} are too old"]


@pytest.mark.parametrize(
    ("answer", "result", "problem"),
    [
        (answering(500), "failed", "answers 500"),
        (answering(301, location="/x"), "failed", "answers with a redirect"),
        (answering(200, b"x" * 300_000, content_type="text/xml"), "failed", "more than 262144 bytes"),
        (answering(200, b"<x/>", content_type="text/xml"), "refused", "what it answers is no envelope"),
        (
            answering(200, b"<!DOCTYPE x><x/>", content_type="text/xml"),
            "refused",
            "what it answers has a document type",
        ),
        (
            answering(200, document(date(2999, 1, 1)).encode(), content_type="text/xml"),
            "refused",
            "what it answers is of 2999-01-01, which is in the future",
        ),
        (
            answering(200, document(YESTERDAY).encode(), content_type="text/xml"),
            "refused",
            f"what it answers is of {YESTERDAY}; those of {TODAY} are known",
        ),
        (
            answering(200, document(TODAY, USD="109.21").encode(), content_type="application/xml"),
            "refused",
            "what it answers has USD at 109.21",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_leaves_the_last_good_rates(
    answer: Answer, result: str, problem: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It is counted each time, logged once, and neither served nor kept."""
    file = tmp_path / "rates.xml"
    async with rates_server(document(TODAY)) as server, live_core(server.url, file) as core:
        await core.fetched("same")
        kept = file.read_bytes()
        server.answer = answer
        with caplog.at_level(logging.INFO, "grpc_core"):
            await core.fetched(result, 2)
            assert await core.dollars() == 1.0921
            server.document, server.answer = document(TODAY, USD="1.1"), None
            await core.fetched("new")
            await until(lambda: file.read_bytes() != kept)

    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert problem in errors[0]
    assert errors[0].endswith("; the last good rates stay")
    assert f"{server.url}: rates were fetched again" in [
        each.getMessage() for each in caplog.records
    ]
    assert read(file)[0].per_euro["USD"].to_eng_string() == "1.1"


async def test_the_last_good_rates_outlive_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A core that starts while nobody publishes serves what it has kept; the log says of which day."""
    file = tmp_path / "rates.xml"
    async with rates_server(document(TODAY)) as server, live_core(server.url, file) as core:
        await core.fetched("same")
    with caplog.at_level(logging.INFO, "grpc_core"):
        async with live_core(server.url, file) as core:
            await core.fetched("failed")
            assert await core.dollars() == 1.0921
            assert await core.status("") == SERVING

    assert f"the ECB reference rates of {TODAY} are in force: 15 currencies" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (document(TODAY)[:500], "it is no XML"),
        ("", "it is no XML"),
        (document(date(2999, 1, 1)), "it is of 2999-01-01, which is in the future"),
        (document(TODAY).replace("1.0921", "1.o921"), "it has a rate '1.o921' of USD"),
        (None, "it cannot be read: Is a directory"),
    ],
)
async def test_a_corrupt_file_is_not_used(
    text: str | None, problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is wrong with it, and there are no rates until some are fetched."""
    file = tmp_path / "rates.xml"
    if text is None:
        file.mkdir()
    else:
        file.write_text(text)
    async with rates_server(document(TODAY)) as server:
        server.answer = answering(500)
        async with live_core(server.url, file) as core:
            await core.fetched("failed")
            with pytest.raises(grpc.aio.AioRpcError, match="there are no reference rates yet"):
                await core.dollars()
            server.answer = None
            await core.fetched("new")
            await until(lambda: text is None or file.read_text() != text)
            await core.has_dollars(1.0921)

    assert f"{file}: {problem}" in caplog.text


async def test_rates_that_cannot_be_kept_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and they are kept once that is possible, though they are no longer new."""
    folder = tmp_path / "here"
    folder.mkdir()
    file = folder / "rates.xml"
    async with rates_server(document(TODAY)) as server, live_core(server.url, file) as core:
        folder.rename(tmp_path / "there")
        server.document = document(TODAY, USD="1.1")
        await core.has_dollars(1.1)
        await core.fetched("same")
        folder.mkdir()
        await until(file.exists)

    assert f"{file}: the rates cannot be kept: No such file or directory" in caplog.text
    assert str(read(file)[0].per_euro["USD"]) == "1.1"


async def test_a_core_that_has_not_fetched_yet_says_so() -> None:
    """One that knows only the day before serves it, and is behind."""
    async with rates_server(document(YESTERDAY)) as server, live_core(server.url) as core:
        await core.has_dollars(1.0921)
        assert core.samples()["core_reference_rates_behind"] == [((), 1)]
        server.document = document(TODAY, USD="1.1")
        await core.fetched("new")
        await until(lambda: core.samples()["core_reference_rates_behind"] == [((), 0)])


async def test_metrics_have_them(snapshot: Any) -> None:
    """Whether there are rates is a series of its own, since an age cannot say it."""
    feed = RateFeed(None)
    metrics = Metrics(feed, "wire")

    assert metrics.snapshot()["core_rates_available"] == [((), 0)]
    assert metrics.snapshot()["core_rates_age_seconds"] == []
    feed.publish(snapshot)
    assert metrics.snapshot()["core_rates_available"] == [((), 1)]


def test_days_of_this_file_are_a_day_apart() -> None:
    """Or a weekend, or holidays."""
    assert timedelta(days=1) <= TODAY - YESTERDAY < timedelta(days=6)
