"""Kinds of clients of HTTP/2, gRPC, gRPC-Web and Connect; they end in as many ways as those of `clients`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import grpc
import grpc.aio
import httpx

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from tests.grpc_core.loopback import converter_stub
from tests.rpc.wire_client import connect_end, framed, web_trailers
from tests.soak.clients import REQUEST, SECONDS, Kind
from tests.soak.system import System

EUROS = ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
WATCH = WatchRequest(base_currency="USD", target_currencies=["EUR"])
SERVICE = "/finance.CurrencyConverter"
MESSAGES = 3
CALLS: dict[str, Callable[[Any, AsyncIterator[ConvertRequest]], Any]] = {
    "unary": lambda stub, _: stub.Convert(EUROS),
    "download": lambda stub, _: stub.WatchRates(WATCH),
    "upload": lambda stub, requests: stub.BatchConvert(requests),
    "both": lambda stub, requests: stub.LiveConvert(requests),
}


async def call(system: System, random: Random) -> str:
    """Calls over gRPC: in each of four kinds, to the end, or until it cancels or its connection goes."""
    kind = random.choice(tuple(CALLS))
    way = random.choice(("whole", "cancelled", "connection gone"))
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{system.port}")

    async def requests() -> AsyncIterator[ConvertRequest]:
        for _ in range(MESSAGES):
            yield EUROS
        if way != "whole":
            await asyncio.sleep(SECONDS)

    try:
        async with asyncio.timeout(SECONDS):
            begun = CALLS[kind](converter_stub(channel), requests())
            if kind in ("download", "both"):
                for _ in range(MESSAGES):
                    await begun.read()
            if way == "whole" and kind != "download":
                code = await begun.code()
                return f"call: {kind}" if code is grpc.StatusCode.OK else f"wrong: {kind}, {code}"
            if way == "cancelled":
                begun.cancel()
    finally:
        await channel.close()
    return f"call: {kind}, {way}"


async def web(system: System, random: Random) -> str:
    """Calls over gRPC-Web or Connect, over either version of HTTP; a stream is left in the middle."""
    http2 = random.random() < 0.5
    wire = random.choice(("grpc-web", "connect"))
    streams = random.random() < 0.5
    base = f"http://127.0.0.1:{system.port}{SERVICE}"
    body = WATCH if streams else EUROS
    prefix = "application/grpc-web" if wire == "grpc-web" else "application/connect"
    content_type = f"{prefix}+proto" if streams or wire == "grpc-web" else "application/proto"
    content = body.SerializeToString()
    if streams or wire == "grpc-web":
        content = framed(content)
    headers = {"content-type": content_type, "connect-protocol-version": "1"}
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=SECONDS) as client:
        if not streams:
            answer = await client.post(f"{base}/Convert", content=content, headers=headers)
            whole = answer.status_code == 200
            if wire == "grpc-web":
                whole &= web_trailers(answer.content)[1]["grpc-status"] == "0"
            return f"{wire}, {http2=}" if whole else f"wrong: {wire} has {answer.status_code}"
        async with client.stream(
            "POST", f"{base}/WatchRates", content=content, headers=headers
        ) as stream:
            left = random.randrange(5)
            async for _ in stream.aiter_raw():
                if not left:
                    break
                left -= 1
    return f"{wire}, {http2=}, left"


async def half_duplex(system: System, random: Random) -> str:
    """Talks both ways over Connect, and hears all of it behind the end of what it says."""
    http2 = random.random() < 0.5
    count = random.randrange(1, 20)
    content = framed(*[EUROS.SerializeToString()] * count)
    headers = {"content-type": "application/connect+proto", "connect-protocol-version": "1"}
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=SECONDS) as client:
        url = f"http://127.0.0.1:{system.port}{SERVICE}/LiveConvert"
        answer = await client.post(url, content=content, headers=headers)
    messages, end = connect_end(answer.content)
    whole = len(messages) == count and "error" not in end
    return f"connect both ways, {http2=}" if whole else f"wrong: {len(messages)} of {count}, {end}"


async def multiplex(system: System, random: Random) -> str:
    """Asks over one connection of HTTP/2 many times at once, beside events, an upload and one that leaves."""
    base = f"http://127.0.0.1:{system.port}"
    async with httpx.AsyncClient(http1=False, http2=True, timeout=SECONDS) as client:

        async def ask() -> int:
            headers = {"content-type": "application/json"}
            answer = await client.post(f"{base}/convert", content=REQUEST, headers=headers)
            return answer.status_code

        async def upload() -> int:
            headers = {"content-type": "application/x-ndjson"}
            lines = (REQUEST + b"\n") * random.randrange(1, 50)
            answer = await client.post(f"{base}/convert:batch", content=lines, headers=headers)
            return answer.status_code

        async def events() -> int:
            headers = {"accept": "text/event-stream"}
            url = f"{base}/rates/USD?target_currencies=EUR"
            async with client.stream("GET", url, headers=headers) as stream:
                async for _ in stream.aiter_raw():
                    if random.random() < 0.3:
                        break
                return stream.status_code

        leaving = asyncio.create_task(ask())
        statuses = await asyncio.gather(*(ask() for _ in range(8)), upload(), events())
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    return "multiplex" if set(statuses) == {200} else f"wrong: multiplex has {statuses}"


KINDS: tuple[Kind, ...] = (call, web, half_duplex, multiplex)
