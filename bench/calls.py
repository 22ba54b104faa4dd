"""Calls without an edge: what those who call and what each core costs, on either gRPC."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

from bench import sides
from bench.callers import CHANNELS
from bench.lab import Lab, Turns, in_turn
from bench.orders import Load
from bench.processes import Part
from bench.sides import GRPCIO, WIRE, Side
from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest

GROUP: Final = "calls"
_COUNT: Final = 32
_SERVICE: Final = "/finance.CurrencyConverter"
_REQUEST: Final = ConvertRequest(from_currency="USD", to_currency="EUR", amount=100)
_IN_FLIGHT: Final = 64
_SIZES: Final = {"100 kB": 100_000, "4 MB": 4_000_000}
_ECHO: Final = "/bench.Points/Echo"
_IDLE: Final = 500


async def run(lab: Lab) -> None:
    """Measures all."""
    async with AsyncExitStack() as stack:
        cores = {
            "our core": await stack.enter_async_context(sides.core()),
            "our core, wire": await stack.enter_async_context(sides.core(transport=WIRE)),
        }
        bare = {
            "bare servicer": await stack.enter_async_context(_bare(GRPCIO)),
            "bare servicer, wire": await stack.enter_async_context(_bare(WIRE)),
        }
        fast = {"fast core": await stack.enter_async_context(Part.serving("bench.peers.fast_core"))}
        everyone = _asked(cores | bare | fast)
        await in_turn(lab.aimed_at, GROUP, everyone, _small(_COUNT))
        await in_turn(lab, GROUP, everyone, _small(1) if lab.quick else _small(1, 256))
        await in_turn(lab.aimed_at, GROUP, _asked(cores), {_BIDI: _bidi()})
        await in_turn(lab, GROUP, _asked(bare), _large())
    await _idle(lab)


def _bare(transport: str) -> AbstractAsyncContextManager[Part]:
    return Part.serving("bench.peers.bare_core", transport)


def _asked(cores: dict[str, Part]) -> list[Side]:
    """Returns each core as it is called by each who calls."""
    return [
        Side(f"{channel} to {name}", part, kind="core", channel=channel)
        for name, part in cores.items()
        for channel in CHANNELS
    ]


def _small(*counts: int) -> dict[str, Turns]:
    request = _REQUEST.SerializeToString()
    return {
        f"Convert, {count}": Turns(request, count, "unary", f"{_SERVICE}/Convert")
        for count in counts
    }


_BIDI: Final = f"LiveConvert, {_IN_FLIGHT} messages in flight"


def _bidi() -> Turns:
    path = f"{_SERVICE}/LiveConvert"
    return Turns(_REQUEST.SerializeToString(), _IN_FLIGHT, "bidi", path)


def _large() -> dict[str, Turns]:
    return {
        f"an echo of {name}, 1": Turns(bytes(size), 1, "unary", _ECHO)
        for name, size in _SIZES.items()
    }


async def _idle(lab: Lab) -> None:
    """Each in processes of their own, for memory that was once used is not given back."""
    case = "an idle call of WatchRates"
    request = WatchRequest(base_currency="USD").SerializeToString()
    for transport in (GRPCIO, WIRE):
        for channel in CHANNELS:
            async with sides.core(transport=transport) as core, Load.running() as load:
                name = "our core" if transport == GRPCIO else f"our core, {transport}"
                (side,) = (s for s in _asked({name: core}) if s.channel == channel)
                figures = await load.idle_calls(
                    core.port,
                    f"{_SERVICE}/WatchRates",
                    request,
                    channel=channel,
                    count=_IDLE,
                    pids=side.pids,
                )
            lab.results.add(GROUP, case, side.name, figures)
    lab.say(GROUP, case)
