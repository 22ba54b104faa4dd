"""One method over every version and wire of RPC, readers on few connections of HTTP/2, and idle streams.

The second Envoy has no filter but the router: what it does with gRPC as a proxy is all that it costs. Memory
is that of a reader of a shared stream.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from bench import sides
from bench.lab import Lab, Turns, in_turn
from bench.sides import WIRE
from bench.streams import TARGET, TICK_PERIOD
from bench.unary import POST
from grpc_core._generated.finance_pb2 import ConvertRequest
from grpc_wire.call.message import frame

GROUP: Final = "rpc"
OURS: Final = "ours, wire, wire core"
ENVOY: Final = "Envoy, wire core"
PROXY: Final = "Envoy as a gRPC proxy, wire core"
REST_1: Final = "REST over HTTP/1.1, 32"
REST_2: Final = "REST over HTTP/2, 32"
REST_STREAMS: Final = "REST over HTTP/2, 32 at a time on one connection"
GRPC: Final = "gRPC, 32"
GRPC_ONE: Final = "gRPC, 32 at a time on one connection"
CONNECT_1: Final = "Connect with proto over HTTP/1.1, 32"
CONNECT_2: Final = "Connect with proto over HTTP/2, 32"
CROWD_1: Final = "1,000 readers on 1,000 connections of HTTP/1.1"
CROWD_2: Final = "1,000 readers on 20 connections of HTTP/2"
_PATH: Final = "/finance.CurrencyConverter/Convert"
_COUNT: Final = 32
_READERS: Final = 1_000
_STREAMS: Final = 50
"""On one connection."""
_SECONDS: Final = 4


def _request(content_type: str, body: bytes, *lines: str) -> bytes:
    head = (
        f"POST {_PATH} HTTP/1.1",
        *("host: bench", f"content-type: {content_type}", *lines, f"content-length: {len(body)}"),
    )
    return "\r\n".join((*head, "", "")).encode() + body


async def run(lab: Lab) -> None:
    """Measures all."""
    await _unary(lab)
    for case, streams in ((CROWD_1, 1), (CROWD_2, _STREAMS)):
        await _crowd(lab, case, streams)


async def _unary(lab: Lab) -> None:
    asked = ConvertRequest(from_currency="USD", to_currency="EUR", amount=100)
    message = asked.SerializeToString()
    connect = Turns(_request("application/proto", message), _COUNT)
    http2 = {
        REST_2: Turns(POST, _COUNT, "http2"),
        GRPC: Turns(_request("application/grpc", frame(message), "te: trailers"), _COUNT, "http2"),
    }
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(sides.core(transport=WIRE))
        ours = await stack.enter_async_context(sides.ours(core, name=OURS, transport=WIRE))
        transcoding, proxies = [], []
        if sides.envoy_path() is not None:
            edge = await stack.enter_async_context(sides.envoy(lab.folder, core, name=ENVOY))
            transcoding.append(edge)
            proxy = sides.envoy(lab.folder, core, name=PROXY, only_router=True)
            proxies.append(await stack.enter_async_context(proxy))
        rest = {
            REST_1: Turns(POST, _COUNT),
            REST_2: http2[REST_2],
            REST_STREAMS: Turns(POST, _COUNT, "http2 streams"),
        }
        # in the same rounds as REST, with which they are compared
        connects = {CONNECT_1: connect, CONNECT_2: Turns(connect.request, _COUNT, "http2")}
        await in_turn(lab.aimed_at, GROUP, [ours, *transcoding], rest, connects)
        await in_turn(lab.aimed_at, GROUP, [ours, *proxies], {GRPC: http2[GRPC]})
        called = [replace(side, channel=WIRE) for side in (ours, *proxies)]
        one = {GRPC_ONE: Turns(message, _COUNT, "unary", _PATH)}
        await in_turn(lab.aimed_at, GROUP, called, one)


async def _crowd(lab: Lab, case: str, streams: int) -> None:
    """Measures readers of the demo's shared stream, and the memory of each."""
    ticks = lab.folder / f"ticks-{streams}"
    async with (
        sides.core(TICK_PERIOD, ticks, transport=WIRE) as core,
        sides.ours(core, name=OURS, transport=WIRE) as side,
    ):
        _, figures = await lab.load.subscribers(
            side.part.port,
            TARGET,
            counts=(streams, _READERS + streams),
            seconds=_SECONDS,
            ticks=ticks,
            pids=side.pids,
            streams=streams,
        )
        lab.results.add(GROUP, case, side.name, figures)
    lab.say(GROUP, case)
