"""The access log: every wire, however a request ends, on both doors, gives one line that says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.admission.identity import Identity
from gateway.app import create_app
from gateway.policy import Answer, RequestInfo
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import DEADLINE_EXCEEDED, UNAUTHENTICATED, StatusError
from tests.contracts import echo_descriptor_set
from tests.doors.served_table import PassesOn
from tests.edge.conftest import Everything
from tests.whole.serving import serving

ABORTED: Final = 10
_OURS: Final = Subprotocol("grpc-json.v1")
_ACCEPT: Final = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "json": "application/json",
    "json-seq": "application/json-seq",
}
WIRES: Final = ("unary", "upload", *_ACCEPT, "websocket")
ENDS: Final = ("clean", "error", "client", "deadline", "shutdown", "limit", "policy")
HOSTILE: Final = "al\x85ice\n\x1b[0m\u2028\x7f"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


async def behave(call: ScriptedCall) -> AsyncIterator[Any]:
    """Does what the first message says, behind two messages if the method streams."""
    said = (await call.message(Everything)).string_field
    many = call.method.stream_type.server
    if many:
        yield Everything(int32_field=1)
        yield Everything(int32_field=2)
    if said == "error":
        raise of_server(ABORTED)
    if said == "deadline":
        await asyncio.sleep(call.timeout or 0)
        raise of_server(DEADLINE_EXCEEDED)
    if said != "clean":
        await asyncio.Event().wait()
    if not many:
        yield b""


def of_server(code: int) -> StatusError:
    """Makes an error as an upstream makes it."""
    error = StatusError.of(code, "as you wish")
    error.by_upstream = True
    return error


SCRIPTS: Final = {
    f"/echo.v1.Echo/{name}": behave for name in ("Unary", "ServerStream", "ClientStream", "Bidi")
}


class Callers:
    """A policy that knows one caller by a header."""

    def admit(self, request: RequestInfo) -> None:
        """Names the caller."""
        said = request.header(b"x-who")
        if said == b"nobody":
            raise StatusError.of(UNAUTHENTICATED, "who are you?")
        if said == b"answered":
            raise Answer(403)
        if said is not None:
            name = HOSTILE if said == b"hostile" else said.decode()
            request.identity = Identity(name, "api_key")


class Logged:
    """An edge that writes its access log into a file."""

    def __init__(self, folder: Path, *, middleware: bool = False, **settings: Any) -> None:
        folder.mkdir(exist_ok=True)
        contract = folder / "echo.binpb"
        contract.write_bytes(echo_descriptor_set())
        self.file = folder / "access.log"
        self.settings = Settings(
            descriptor_set=contract,
            **{
                "access_log": "json",
                "access_log_path": self.file,
                "max_metadata_bytes": 512,
                "drain_seconds": 0.2,
                **settings,
            },
        )
        self.upstream = ScriptedUpstream(SCRIPTS)
        self.app: FastAPI = create_app(self.settings, self.upstream, policies=[Callers()])
        if middleware:
            self.app.add_middleware(PassesOn)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serves within the block, which is given the port; behind it all lines are written."""
        async with serving(self.app, self.settings) as port:
            yield port

    def lines(self) -> list[dict[str, Any]]:
        """Returns the lines."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]


def request(wire: str, said: str, *headers: str) -> bytes:
    """Returns a request over HTTP that has the server behave as it is said."""
    message = b'{"stringField":"%b"}' % said.encode()
    line, body, more = "POST /v1/bidi", message + b"\n", ["Content-Type: application/x-ndjson"]
    if wire == "unary":
        line, body, more = "POST /v1/echo", message, ["Content-Type: application/json"]
    elif wire == "upload":
        line = "POST /v1/upload"
    elif wire in ("sse", "json"):
        line, body, more = f"GET /v1/stream/{said}?bytesField=c2VjcmV0", b"", []
    if wire in _ACCEPT:
        more.append(f"Accept: {_ACCEPT[wire]}")
    head = [f"{line} HTTP/1.1", "Host: x", *more, *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def over_http(port: int, data: bytes, until: Callable[[bytes], Awaitable[bool]]) -> None:
    """Sends a request, and reads until it is enough; then leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    got = b""
    with suppress(ConnectionError):
        try:
            while not await until(got):
                part = await asyncio.wait_for(reader.read(65536), 10)
                if not part:
                    break
                got += part
        finally:
            writer.close()
            await writer.wait_closed()


async def over_websocket(port: int, said: str, headers: dict[str, str], enough: int) -> None:
    """Opens a WebSocket, says how to behave, reads some messages, or to the end, and leaves."""
    with suppress(ConnectionClosed, InvalidStatus):
        url = f"ws://127.0.0.1:{port}/v1/bidi"
        async with connect(url, subprotocols=[_OURS], additional_headers=headers) as socket:
            await socket.send(f'{{"stringField":"{said}"}}')
            for _ in range(enough):
                await asyncio.wait_for(socket.recv(), 10)
            if said == "client":
                socket.transport.abort()


async def end(edge: Logged, port: int, wire: str, how: str) -> None:
    """Has a request of a wire end in a way; one that a shutdown ends is left open."""
    headers = {
        "deadline": {"Grpc-Timeout": "50m"},
        "limit": {"Grpc-Metadata-Long": "x" * 600},
        "policy": {"X-Who": "nobody"},
    }.get(how, {"X-Who": "alice"})
    headers["Traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    calls = len(edge.upstream.calls)
    leaves = how in ("client", "shutdown")

    async def enough(got: bytes) -> bool:
        if not leaves:
            return False  # `Connection: close` ends it
        while len(edge.upstream.calls) == calls:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        return how == "client" and (wire in ("unary", "upload") or b"\r\n\r\n" in got)

    if wire == "websocket":
        await over_websocket(port, how, headers, 2 if how == "client" else 9)
    else:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if how != "shutdown":
            lines.append("Connection: close")
        await over_http(port, request(wire, how, *lines), enough)


def expected(wire: str, how: str) -> dict[str, Any]:
    """Returns what the line says of a wire and an end."""
    streams = wire in _ACCEPT or wire == "websocket"
    status, code, by = {
        "clean": (200, "OK", "server"),
        "error": (409, "ABORTED", "server"),
        "client": (499, "CANCELLED", "client"),
        "deadline": (504, "DEADLINE_EXCEEDED", "deadline"),
        "shutdown": (503, "UNAVAILABLE", "shutdown"),
        "limit": (431, "RESOURCE_EXHAUSTED", "limit"),
        "policy": (401, "UNAUTHENTICATED", "policy"),
    }[how]
    refused = how in ("limit", "policy")
    if streams and not refused:
        status = 101 if wire == "websocket" else 200
    of = {"unary": "Unary", "upload": "ClientStream", "sse": "ServerStream", "json": "ServerStream"}
    line: dict[str, Any] = {
        "status": status,
        "code": code,
        "ended_by": by,
        "wire": "stream" if refused and wire in _ACCEPT else wire,
        "rpc": f"echo.v1.Echo/{of.get(wire, 'Bidi')}",
        "trace_id": TRACE,
        "client": "127.0.0.1",
    }
    if how != "policy" and how not in ("deadline", "limit"):
        line["identity"] = "alice"
    if how == "clean":
        line |= {"messages_in": 1, "messages_out": 2 if streams else 1}
    elif streams and not refused:
        line |= {"messages_in": 1, "messages_out": 2}
    return line


@pytest.mark.parametrize("middleware", [False, True], ids=["direct", "asgi"])
async def test_every_wire_and_every_end_has_its_line(tmp_path: Path, *, middleware: bool) -> None:
    """One for each exchange: who ended it, how, and what it carried; never a value of a query."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for how in ENDS:
        edge = Logged(tmp_path / how, middleware=middleware)
        async with asyncio.TaskGroup() as group, edge.serving() as port:
            for number, wire in enumerate(WIRES, start=1):
                asking = group.create_task(end(edge, port, wire, how))
                if how != "shutdown":
                    await asking
                while how == "shutdown" and len(edge.upstream.calls) < number:
                    await asyncio.sleep(0.001)
            if how == "shutdown":
                await asyncio.sleep(0.1)  # their first messages are on the way
        found = edge.lines()
        assert len(found) == len(WIRES), (how, found)
        if {line["wire"] for line in found} == set(WIRES):  # a client is missed a little later
            found.sort(key=lambda line: WIRES.index(line["wire"]))
        lines |= {(wire, how): line for wire, line in zip(WIRES, found, strict=True)}

    wrong = {
        key: (line, expected(*key))
        for key, line in lines.items()
        if not expected(*key).items() <= line.items()
    }
    assert wrong == {}
    for (wire, how), line in lines.items():
        assert line["route"].startswith("/v1/"), (wire, how)
        assert line["duration_ms"] >= line.get("first_byte_ms", 0) >= 0
        assert line["bytes_out"] > 0 or how in ("client", "limit", "policy")
    assert "c2VjcmV0" not in json.dumps([*lines.values()])


async def test_pages_misses_and_gaps(tmp_path: Path) -> None:
    """A page has its own path, a miss has none, and a reader that lost messages is told to the operator."""
    edge = Logged(tmp_path, access_log_sample="2xx=0")
    requests = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",  # sampled away
        b"GET /docs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere/secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        request("sse", "clean", "Last-Event-ID: unknown-1", "Connection: close"),
        request("unary", "clean", "X-Who: answered", "Connection: close"),
        b"GET / HTTP/1.1\r\nsecret\r\n\r\n",
        b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 70_000),
        b"POST /v1/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]

    async with edge.serving() as port:
        for each in requests:
            await over_http(port, each, _never)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, _, rest = requests[-1].partition(b"zz")
        calls = len(edge.upstream.calls)
        writer.write(head)
        while len(edge.upstream.calls) == calls:
            await asyncio.sleep(0.001)
        writer.write(b"zz" + rest)
        await reader.read()
        writer.close()
        await writer.wait_closed()
    miss, gap, answered, broken, long, chunk, cut = edge.lines()

    assert (miss["status"], miss["code"], miss.get("route")) == (404, "NOT_FOUND", None)
    assert (gap["status"], gap["gaps"], gap["missed"]) == (200, 1, 0)
    assert (answered["status"], answered["ended_by"]) == (403, "edge")
    assert (broken["status"], broken["ended_by"]) == (400, "edge")
    assert (long["status"], long["ended_by"]) == (414, "limit")
    assert (chunk["status"], chunk.get("rpc")) == (400, None)
    of_upload = (cut["status"], cut["rpc"], cut["code"], cut["ended_by"])
    assert of_upload == (400, "echo.v1.Echo/ClientStream", "INVALID_ARGUMENT", "edge")
    assert "secret" not in edge.file.read_text()


async def test_a_long_stream_tells_of_its_progress(tmp_path: Path) -> None:
    """Every so many minutes, with what it has carried so far; and no more once it has ended."""
    edge = Logged(tmp_path, access_log_progress_minutes=0.05 / 60)

    async def told(_got: bytes) -> bool:
        if not edge.upstream.calls:
            return False
        while len(edge.file.read_text().splitlines()) < 2:
            await asyncio.sleep(0.01)
        return True

    async with edge.serving() as port:
        await over_http(port, request("sse", "client"), told)
    *progress, last = edge.lines()

    assert len(progress) >= 2
    assert all(line["event"] == "progress" and "status" not in line for line in progress)
    assert all((line["messages_out"], line["wire"]) == (2, "sse") for line in progress)
    assert (last["ended_by"], last["messages_out"]) == ("client", 2)


async def test_hostile_values_stay_in_their_line(tmp_path: Path) -> None:
    """In JSON and in text: ids, identities and paths of a caller cannot break a line or a terminal."""
    headers = ("X-Who: hostile", 'X-Request-ID: a"b\\c}{', "Traceparent: 00-" + "g" * 51)
    target = b'GET /v1/stream/%0aERROR%20forged"\\?x HTTP/1.1\r\nHost: x\r\n'
    said = target + "\r\n".join((*headers, "Connection: close", "", "")).encode("latin-1")
    texts: dict[str, str] = {}

    for form in ("json", "text"):
        edge = Logged(tmp_path / form, access_log=form, access_log_raw_path=True)
        async with edge.serving() as port:
            await over_http(port, said, _never)
        texts[form] = edge.file.read_text()

    line = json.loads(texts["json"])
    assert (line["request_id"], line["identity"]) == ('a"b\\c}{', HOSTILE)
    assert line["path"] == '/v1/stream/%0aERROR%20forged"\\'
    assert "trace_id" not in line
    for text in texts.values():
        assert text.count("\n") == 1
        assert text.isascii()
        assert text.rstrip("\n").isprintable()
    assert r"al\x85ice\x0a\x1b[0m\u2028\x7f" in texts["text"]


async def test_an_app_of_another_server_logs_when_it_is_told_to(tmp_path: Path) -> None:
    """That server has a log of its own, so the default writes only under `protoway serve`."""
    edge = Logged(tmp_path, access_log="auto")
    async with edge.serving() as port:
        await over_http(port, request("unary", "clean", "Connection: close"), _never)

    assert not edge.file.exists()


async def _never(_got: bytes) -> bool:
    return False
