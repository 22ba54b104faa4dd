"""The four RPCs over every wire, through two processes and real rates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from grpc_core._generated import finance_pb2, finance_pb2_grpc, hello_pb2, hello_pb2_grpc
from tests.whole.conftest import Demo

DOLLARS = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 100}


@pytest.fixture
async def client(demo: Demo) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the edge."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=demo.http, timeout=30, limits=limits) as opened:
        yield opened


@pytest.fixture
async def converter(demo: Demo) -> AsyncIterator[Any]:
    """A gRPC client of the core."""
    async with grpc.aio.insecure_channel(demo.core) as channel:
        yield finance_pb2_grpc.CurrencyConverterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types


async def test_rest_and_grpc_give_the_same_answer(
    client: httpx.AsyncClient, converter: Any
) -> None:
    """An amount converts to within what the ticker moves meanwhile, whichever way it goes."""
    over_http = (await client.post("/convert", json=DOLLARS)).json()
    over_grpc = await converter.Convert(
        finance_pb2.ConvertRequest(from_currency="USD", to_currency="EUR", amount=100)
    )

    assert over_http["convertedAmount"] == pytest.approx(over_grpc.converted_amount, rel=0.005)
    assert over_http["rate"] != 1


@pytest.mark.parametrize(
    ("change", "code", "grpc_code", "field"),
    [
        ({"fromCurrency": "XXX"}, 3, grpc.StatusCode.INVALID_ARGUMENT, "from_currency"),
        ({"amount": 0}, 11, grpc.StatusCode.OUT_OF_RANGE, "amount"),
    ],
)
async def test_errors_are_the_same_on_both(
    client: httpx.AsyncClient,
    converter: Any,
    change: dict[str, Any],
    code: int,
    grpc_code: grpc.StatusCode,
    field: str,
) -> None:
    """What the core refuses is 400 with its code and the field; over gRPC it has the same code."""
    wrong: dict[str, Any] = DOLLARS | change
    answer = await client.post("/convert", json=wrong)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await converter.Convert(
            finance_pb2.ConvertRequest(
                from_currency=wrong["fromCurrency"],
                to_currency=wrong["toCurrency"],
                amount=wrong["amount"],
            )
        )

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["message"] == caught.value.details()
    assert answer.json()["details"][0]["fieldViolations"][0]["field"] == field
    assert caught.value.code() is grpc_code


async def test_rates_stream_over_sse(client: httpx.AsyncClient) -> None:
    """Each target's rate comes at once, and then more as they change."""
    headers = {"accept": "text/event-stream"}
    url = "/rates/USD?target_currencies=EUR&target_currencies=GBP"
    currencies = []
    async with client.stream("GET", url, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                currencies.append(orjson.loads(line.removeprefix("data: "))["currency"])
            if len(currencies) == 4:
                break

    assert currencies[:2] == ["EUR", "GBP"]


async def test_a_stream_that_fails_at_once_has_its_status(client: httpx.AsyncClient) -> None:
    """An unknown base currency is a 400, not a 200 that breaks off."""
    answer = await client.get("/rates/XXX", headers={"accept": "text/event-stream"})

    assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
async def test_a_batch_is_summed(client: httpx.AsyncClient, content_type: str) -> None:
    """An upload in either framing has one answer."""
    lines = [orjson.dumps(DOLLARS)] * 3
    body = b"\n".join(lines) if "ndjson" in content_type else b"[" + b",".join(lines) + b"]"
    answer = await client.post(
        "/convert:batch", content=body, headers={"content-type": content_type}
    )

    assert answer.json()["count"] == 3


async def test_live_over_websocket(demo: Demo) -> None:
    """Answers come one by one; after the half-close the server closes with 1000."""
    url = f"{demo.websocket}/convert:live"
    async with connect(url, subprotocols=[Subprotocol("grpc-json.v1")]) as socket:
        answers = []
        for amount in (1, 2):
            await socket.send(orjson.dumps(DOLLARS | {"amount": amount}).decode())
            answers.append(orjson.loads(await socket.recv()))
        await socket.send("")
        await socket.wait_closed()

    assert answers[0]["convertedAmount"] < answers[1]["convertedAmount"]
    assert socket.close_code == 1000


async def test_live_refuses_over_websocket(demo: Demo) -> None:
    """What the core refuses is the close code and the reason."""
    async with connect(f"{demo.websocket}/convert:live") as socket:
        await socket.send(orjson.dumps(DOLLARS | {"amount": -1}).decode())
        await socket.wait_closed()

    assert socket.close_code == 4011
    assert "amount must be greater than 0" in (socket.close_reason or "")


async def test_hello(demo: Demo, client: httpx.AsyncClient) -> None:
    """The other service of the contract answers on both ways, and in any alphabet."""
    over_http = [
        (await client.get("/hello/J%C3%BCrgen%2F1")).json(),
        (await client.post("/hello", json={"name": "Jürgen/1"})).json(),
    ]
    async with grpc.aio.insecure_channel(demo.core) as channel:
        greeter: Any = hello_pb2_grpc.GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        over_grpc = await greeter.SayHello(hello_pb2.HelloRequest(name="Jürgen/1"))

    assert over_http == [{"message": "Hello, Jürgen/1!"}] * 2
    assert over_grpc.message == "Hello, Jürgen/1!"


@pytest.mark.timeout(120)
async def test_five_hundred_watchers(client: httpx.AsyncClient) -> None:
    """Five hundred streams at once all get their rates."""

    async def first(base: str) -> str:
        url = f"/rates/{base}?target_currencies=GBP"
        async with client.stream("GET", url) as answer:
            async for line in answer.aiter_lines():
                await everybody.wait()
                return line
        raise AssertionError("no line")

    everybody = asyncio.Barrier(500)
    lines = await asyncio.gather(*(first("USD") for _ in range(500)))

    assert all('"currency":"GBP"' in line for line in lines)
