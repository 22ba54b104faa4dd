"""The access log of the core: one line for each call, over both transports, whoever ends it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from grpc_core.access_log import AccessLog, client_of, writing
from grpc_core.counting import counted
from grpc_core.finance import reference
from grpc_core.metrics import MethodCounts
from grpc_core.rate_feed import RateFeed
from grpc_core.server import CoreServer
from grpc_core.settings import Settings
from grpc_core.transport import TransportName
from tests.grpc_core.loopback import converter_stub, each
from tests.whole.processes import core

EUROS = ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
WATCH = WatchRequest(base_currency="USD", target_currencies=["EUR"])
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROMPTLY = 20
SECRET = "hunter2-secret"
AS_JSON = AccessLog(Settings(access_log="json"))
AS_TEXT = AccessLog(Settings(access_log="text"))
TRANSPORTS = pytest.mark.parametrize("transport", ["wire", "grpcio"])


@asynccontextmanager
async def logging_core(file: Path, **settings: Any) -> AsyncIterator[tuple[CoreServer, Any]]:
    """Runs a core that logs to a file; gives it, and a channel."""
    made = Settings(port=0, access_log_path=file, **settings)
    server = CoreServer(made, RateFeed(reference.load()))
    async with writing(server.access_log):
        await server.start()
        try:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield server, channel
        finally:
            await server.stop(0)


async def written(file: Path, count: int) -> list[str]:
    """Waits for a number of lines."""
    async with asyncio.timeout(PROMPTLY):
        while len(found := read(file)) < count:
            await asyncio.sleep(0.01)
    assert len(found) == count
    return found


def read(file: Path) -> list[str]:
    """Returns the lines that are whole."""
    return [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


async def lines(file: Path, count: int) -> list[dict[str, Any]]:
    """Waits for a number of lines; returns what they say."""
    return [json.loads(line) for line in await written(file, count)]


@TRANSPORTS
async def test_each_call_has_a_line(tmp_path: Path, transport: TransportName) -> None:
    """Of each type, with its messages, its code, and the ids that it came with."""
    file = tmp_path / "access.log"
    metadata = (
        *(("x-request-id", "abc123"), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")),
        *(("authorization", SECRET), ("x-api-key", SECRET)),
    )
    async with logging_core(file, transport=transport) as (_, channel):
        converter, greeter = converter_stub(channel), GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        await converter.Convert(EUROS, metadata=metadata)
        await converter.BatchConvert(each([EUROS, EUROS]))
        assert [reply.rate async for reply in converter.LiveConvert(each([EUROS] * 3))]
        with pytest.raises(grpc.aio.AioRpcError):
            await greeter.SayHello(HelloRequest())
        found = await lines(file, 4)

    first = found[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert 0 < first.pop("duration_ms") < PROMPTLY * 1000
    assert first == {
        "request_id": "abc123",
        "trace_id": TRACE,
        "client": "127.0.0.1",
        "rpc": "finance.CurrencyConverter/Convert",
        "wire": "grpc",
        "code": "OK",
        "ended_by": "server",
        "messages_in": 1,
        "messages_out": 1,
    }
    assert [(one["rpc"].partition("/")[2], one["code"]) for one in found[1:]] == [
        ("BatchConvert", "OK"),
        ("LiveConvert", "OK"),
        ("SayHello", "INVALID_ARGUMENT"),
    ]
    assert [(one["messages_in"], one["messages_out"]) for one in found[1:]] == [
        (2, 1),
        (3, 3),
        (1, 0),
    ]
    assert all("request_id" not in one for one in found[1:])
    assert SECRET not in str(found)


async def reading(channel: Any, timeouts: Sequence[float | None]) -> tuple[Any, int]:
    """Watches with the first of these timeouts that leaves time for a message.

    Returns:
        The call, of which one message was read, and how many there were with it.
    """
    for calls, timeout in enumerate(timeouts, 1):
        watching = converter_stub(channel).WatchRates(WATCH, timeout=timeout)
        with suppress(grpc.aio.AioRpcError):
            await watching.read()
            return watching, calls
    raise AssertionError("no message")


@TRANSPORTS
@pytest.mark.parametrize(
    ("end", "code"),
    [("client", "CANCELLED"), ("deadline", "DEADLINE_EXCEEDED"), ("shutdown", "UNAVAILABLE")],
)
async def test_who_ended_a_stream(
    tmp_path: Path, transport: TransportName, end: str, code: str
) -> None:
    """The client, the deadline or the shutdown."""
    file = tmp_path / "access.log"
    async with logging_core(file, transport=transport) as (server, channel):
        watching, calls = await reading(channel, (0.5, 2, 8) if end == "deadline" else (None,))
        if end == "client":
            watching.cancel()
        elif end == "shutdown":
            await server.stop(5)
        line = (await lines(file, calls))[-1]

    assert (line["ended_by"], line["code"]) == (end, code)
    assert (line["messages_in"], line["messages_out"]) == (1, 1)


async def test_a_message_counts_whose_write_is_cancelled(tmp_path: Path) -> None:
    """A client may have read it, and cancelled, before `write` of grpcio returns to the servicer."""
    behaviour: Any = grpc.unary_stream_rpc_method_handler(_one_message)
    counts = MethodCounts("a.B", "C", client=False, server=True)
    log = AccessLog(Settings(access_log="json", access_log_path=tmp_path / "access.log"))
    method: Any = counted(behaviour, counts, log)
    context = _LateContext()
    async with writing(log):
        call = asyncio.create_task(method.unary_stream(EUROS, context))
        await context.sent.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (line,) = await lines(tmp_path / "access.log", 1)

    assert (line["code"], line["messages_out"], counts.sent) == ("CANCELLED", 1, 1)


async def _one_message(request: ConvertRequest, context: Any) -> None:
    await context.write(request)


class _LateContext:
    """A call whose `write` has sent its message, and does not return."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    async def write(self, _: ConvertRequest) -> None:
        self.sent.set()
        await asyncio.Event().wait()

    def code(self) -> None:
        return None

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return ""

    def time_remaining(self) -> None:
        return None


async def test_text_has_the_same_words(tmp_path: Path) -> None:
    """In the order of the edge's; what is not there is `-`."""
    file = tmp_path / "access.log"
    async with logging_core(file, access_log="text") as (_, channel):
        await converter_stub(channel).Convert(EUROS, metadata=(("x-request-id", 'a b"c'),))
        (text,) = await written(file, 1)

    words = r"\S+Z 127\.0\.0\.1 - finance\.CurrencyConverter/Convert OK by=server [\d.]+ms grpc"
    assert re.fullmatch(words + r" in=1 out=1 id=a\\x20b\\x22c\n", text)


@given(st.text(), st.text(), st.text())
def test_no_caller_can_break_a_line(request_id: str, traceparent: str, peer: str) -> None:
    """Whatever it sends, a line of either form is ASCII, without control characters but the last one."""
    noted = (0.0, 0.1, request_id[:256], traceparent, peer, peer, "a.B/C", 0, "server", 1, 1)
    for log in (AS_JSON, AS_TEXT):
        line = log._render(noted).decode("ascii")
        assert line.endswith("\n")
        assert line[:-1].isprintable()
    assert json.loads(AS_JSON._render(noted)).get("request_id", "") == request_id[:256]


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("unix:", ""),
        ("unix:/run/core", ""),
        ("", ""),
    ],
)
def test_a_client_is_an_address(peer: str, client: str) -> None:
    """However a transport writes its peer."""
    assert client_of(peer) == client


async def test_without_a_log_nothing_is_noted() -> None:
    """And methods are not wrapped for it."""
    server = CoreServer(Settings(port=0, access_log="off"), RateFeed(reference.load()))

    assert server.access_log is None


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_core_logs_to_standard_output(workers: str) -> None:
    """By default, behind its start lines; as JSON, where that is no terminal; what is left at the end too."""
    async with core(access_log="auto", workers=workers) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            await converter_stub(channel).Convert(EUROS)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.stdout is not None
        text = (await running.process.stdout.read()).decode()

    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [one["rpc"] for one in found] == ["finance.CurrencyConverter/Convert"]
