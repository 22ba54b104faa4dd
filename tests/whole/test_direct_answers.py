"""What is answered without a task: the same bytes as through the whole framework, and the same manners."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.doors.http.asgi_bridge import AsgiExchange
from gateway.doors.http.contract_exchange import ContractExchange
from gateway.doors.http.exchange import HttpExchange
from gateway.doors.http1.direct import DirectResponse
from gateway.doors.http1.protocol import Http1Protocol
from gateway.exchange.observer import Observer, RequestEnd
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.upstream.port import Upstream
from gateway.upstream.transport import Name
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.interpreted import needs_source
from tests.parity.client import Answer, ask
from tests.parity.edges import WholeEchoServer
from tests.parity.requests import Case, cases
from tests.whole.conftest import free_ports
from tests.whole.serving import serving

_ASKED = [case for case in cases() if case.server in ("echo", "down")]
_ALWAYS_NEW = ("date", "x-request-id")
_CHANCE = re.compile(rb"^(id|retry): .*\n|Stream removed \(|(?<=Deadline Exceeded)\)", re.MULTILINE)
"""What is drawn by lot: of events, and of grpcio's two texts for a deadline that passes."""
_SMALL = 4096
_READ_AHEAD = 2**16
_GET = b"GET /v1/names/%d HTTP/1.1\r\nhost: edge\r\n\r\n"
_HANG = b"GET /v1/hang HTTP/1.1\r\nhost: edge\r\n\r\n"


class PassesOn:
    """Middleware of a user's, with which every request is ASGI."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes on."""
        await self._app(scope, receive, send)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that were parsed, and not answered directly."""
    needs_source(HttpExchange.__module__)
    seen: list[str] = []
    start = HttpExchange.__init__

    def spy(exchange: HttpExchange, connection: Any, transport: Any, *of_it: Any) -> None:
        start(exchange, connection, transport, *of_it)
        seen.append(exchange.request.path)

    monkeypatch.setattr(HttpExchange, "__init__", spy)
    return seen


@pytest.fixture
def asgi(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that went to the application over ASGI."""
    needs_source(AsgiExchange.__module__)
    seen: list[str] = []
    start = AsgiExchange.start

    def spy(exchange: AsgiExchange, *arguments: Any) -> None:
        seen.append(exchange.request.path)
        start(exchange, *arguments)

    monkeypatch.setattr(AsgiExchange, "start", spy)
    return seen


@dataclass
class Stage:
    """Makes applications of the tests' own contract."""

    path: Path

    @asynccontextmanager
    async def edge(
        self,
        upstream: str,
        *middleware: Any,
        port: Upstream | None = None,
        send_buffer: int | None = None,
        **options: Any,
    ) -> AsyncIterator[int]:
        """Serves within the block, which is given the port."""
        settings = Settings(
            descriptor_set=self.path, log_level="error", upstream=upstream, **options
        )
        app: FastAPI = create_app(settings, port)
        for each in middleware:
            app.add_middleware(each)
        async with serving(app, settings, send_buffer=send_buffer) as listening:
            yield listening


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """The tests' own contract."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    return Stage(path)


def _seen(answer: Answer, case: Case) -> tuple[Any, ...]:
    told = [n for n in _ALWAYS_NEW if n != "x-request-id" or "x-request-id" not in case.headers]
    headers = {n: v for n, v in answer.headers.items() if n not in told}
    if case.name.startswith("web"):  # with a task its parts go out as they come, without a length
        unsaid = ("content-length", "transfer-encoding")
        headers = {n: v for n, v in sorted(headers.items()) if n not in unsaid}
    return answer.status, list(headers.items()), _CHANCE.sub(b"", answer.body), answer.whole


@pytest.mark.parametrize("transport", ["grpcio", "wire"])
async def test_all_requests_are_answered_alike(
    stage: Stage, transport: Name, parsed: list[str]
) -> None:
    """Of the table that our edge and Envoy are compared by, each answer is the same to the byte.

    Without a task each is given twice, for the second time by what is kept of the head.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        echo = await enter(echo_server(WholeEchoServer))
        servers = {"echo": echo.address, "down": f"127.0.0.1:{free_ports(1)[0]}"}
        ports = {
            name: (
                await enter(stage.edge(address, transport=transport)),
                await enter(stage.edge(address, PassesOn, transport=transport)),
            )
            for name, address in servers.items()
        }
        different = {}
        direct_ones = 0
        for case in _ASKED:
            request = (case.method, case.target, case.headers, case.body)
            direct, through = ports[case.server]
            asked = len(parsed)
            one = _seen(await ask(direct, *request), case)
            again = _seen(await ask(direct, *request), case)
            direct_ones += len(parsed) == asked
            other = _seen(await ask(through, *request), case)
            if not one == again == other:
                different[case.name] = (one, again, other)

    assert different == {}
    assert direct_ones > len(_ASKED) / 2


class Line:
    """One connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def answer(self) -> tuple[bytes, bytes]:
        """Reads an answer; returns its head and body."""
        head = await self.head()
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await asyncio.wait_for(self._reader.readexactly(size), 10)

    async def head(self) -> bytes:
        """Reads the head of an answer."""
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)

    async def chunks(self) -> bytes:
        """Reads an answer in chunks."""
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n0\r\n\r\n"), 10)

    async def end(self) -> bytes:
        """Reads to the end of the connection."""
        return await asyncio.wait_for(self._reader.read(), 10)


@asynccontextmanager
async def line(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[Line]:
    """Connects within the block; what comes is read ahead as far as these buffers go."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(
        sock=connection, limit=receive_buffer or _READ_AHEAD
    )
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


@pytest.fixture(params=["grpcio", "wire"])
async def transport(request: pytest.FixtureRequest) -> Name:
    """Which gRPC the edge calls by."""
    name: Name = request.param
    return name


async def test_a_connection_is_kept(stage: Stage, parsed: list[str]) -> None:
    """One request after the other, and pipelined ones in order, unless the caller wants it closed."""
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire") as port,
        line(port) as caller,
    ):
        caller.writer.write(_GET % 1)
        first = await caller.answer()
        caller.writer.write(b"".join(_GET % number for number in range(2, 10)))
        answers = [await caller.answer() for _ in range(2, 10)]
        caller.writer.write(b"GET /v1/names/10 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        last = await caller.answer()
        rest = await caller.end()

    bodies = [body for _, body in (first, *answers, last)]
    assert [b'"%d"' % number in body for number, body in enumerate(bodies, 1)] == [True] * 10
    assert b"connection" not in first[0]
    assert b"connection: close" in last[0]
    assert rest == b""
    assert parsed == [f"/v1/names/{number}" for number in range(2, 11)]


@pytest.mark.parametrize("middleware", [(), (PassesOn,)], ids=["direct", "asgi"])
@pytest.mark.parametrize("code", [204, 205])
async def test_an_answer_without_content_ends_with_its_head(
    stage: Stage, middleware: tuple[Any, ...], code: int
) -> None:
    """The next answer on the connection begins right behind it (RFC 9112, 6.3)."""
    named = b"GET /v1/echo HTTP/1.1\r\nhost: x\r\ngrpc-metadata-x-http-code: %d\r\n\r\n" % code
    async with (
        echo_server() as echo,
        stage.edge(echo.address, *middleware, transport="wire") as port,
        line(port) as caller,
    ):
        caller.writer.write(named)
        head = await caller.head()
        caller.writer.write(_GET % 7)
        after, body = await caller.answer()

    assert head.startswith(b"HTTP/1.1 %d " % code)
    assert b"content-type" not in head
    assert b"transfer-encoding" not in head
    assert (b"content-length: 0\r\n" in head) is (code == 205)
    assert (after[:12], body) == (b"HTTP/1.1 200", b'"7"')


async def test_what_comes_early_waits(stage: Stage, transport: Name) -> None:
    """The next requests may come while one is answered; they are answered behind it, in order."""
    wanted = range(1, 17)
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport=transport) as port,
        line(port) as caller,
    ):
        caller.writer.write(_HANG.replace(b"\r\n\r\n", b"\r\nx-server-timeout: 0.2\r\n\r\n"))
        await asyncio.wait_for(echo.started.wait(), 10)
        for number in wanted:
            caller.writer.write(_GET % number)
            await asyncio.sleep(0)
        late, _ = await caller.answer()
        bodies = [(await caller.answer())[1] for _ in wanted]

    assert late.startswith(b"HTTP/1.1 504 ")
    assert bodies == [b'"%d"' % number for number in wanted]


async def test_one_connection_for_all(stage: Stage, parsed: list[str]) -> None:
    """What is answered without a task, and what needs one, in turn."""
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire") as port,
        line(port) as caller,
    ):
        heads = []
        for number in range(3):
            for request in (_GET % number, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"):
                caller.writer.write(request)
                heads.append((await caller.answer())[0])

    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
    assert parsed == ["/healthz"] * 3


@pytest.mark.parametrize("last", ["direct", "with a task"])
async def test_an_idle_connection_is_closed(stage: Stage, last: str) -> None:
    """Whoever has answered last; while something is answered it is not idle."""
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    hang = _HANG.replace(b"\r\n\r\n", b"\r\nx-server-timeout: 0.5\r\n\r\n")
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire", keep_alive_seconds=0.2) as port,
        line(port) as caller,
    ):
        for request in (hang, health, _GET % 1) if last == "direct" else (_GET % 1, hang, health):
            caller.writer.write(request)
            await caller.answer()

        assert await caller.end() == b""


async def test_an_idle_connection_is_kept_for_its_time(stage: Stage) -> None:
    """It counts from the last answer, whoever gave that, and however long it took."""
    keep_alive = 1.0
    stream = b"GET /v1/hang-stream HTTP/1.1\r\nhost: x\r\nx-server-timeout: 0.8\r\n\r\n"
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire", keep_alive_seconds=keep_alive) as port,
        line(port) as caller,
    ):
        caller.writer.write(_GET % 1)
        await caller.answer()
        caller.writer.write(stream)
        await caller.chunks()
        answered = time.monotonic()
        await caller.end()

    assert time.monotonic() - answered > keep_alive * 0.9


async def test_a_trailer_is_no_header(stage: Stage) -> None:
    """Whoever answers, and whether it comes with the rest: who checks the headers in front sees none."""
    seen = []

    class Seeing(EchoServer):
        async def unary(self, request: bytes, context: Any) -> bytes:
            seen.append(dict(context.invocation_metadata()))
            return request

    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\nbaggage: b\r\ntransfer-encoding: chunked\r\n\r\n"
    post = head + b"2\r\n{}\r\n0\r\nauthorization: of nobody\r\n\r\n"
    async with echo_server(Seeing) as echo:
        for middleware in ((), (PassesOn,)):
            async with (
                stage.edge(echo.address, *middleware, transport="wire") as port,
                line(port) as caller,
            ):
                caller.writer.write(post)
                await caller.answer()

    assert [metadata["baggage"] for metadata in seen] == ["b"] * 2
    assert ["authorization" in metadata for metadata in seen] == [False] * 2


async def test_http_1_0_is_closed(stage: Stage) -> None:
    """Such a caller knows the end of the answer by the end of the connection."""
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire") as port,
        line(port) as caller,
    ):
        caller.writer.write(b"GET /v1/names/1 HTTP/1.0\r\n\r\n")
        head, _ = await caller.answer()

        assert b"connection: close" in head
        assert await caller.end() == b""


async def test_a_body_that_comes_late_has_a_task(stage: Stage, parsed: list[str]) -> None:
    """The head alone says nothing yet; the answer is the same."""
    body = b'{"stringField":"late"}'
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport="wire") as port,
        line(port) as caller,
    ):
        caller.writer.write(head)
        while not parsed:
            await asyncio.sleep(0.001)
        caller.writer.write(body)
        late = await caller.answer()
        caller.writer.write(head + body)
        at_once = await caller.answer()

    assert late[1] == at_once[1] == body
    assert parsed == ["/v1/echo"]


async def test_who_leaves_cancels_the_call(stage: Stage, transport: Name) -> None:
    """At once, and nothing is left of it."""
    async with echo_server() as echo, stage.edge(echo.address, transport=transport) as port:
        async with line(port) as caller:
            caller.writer.write(_HANG)
            await asyncio.wait_for(echo.started.wait(), 10)
        await asyncio.wait_for(echo.cancelled.wait(), 10)


async def test_what_has_a_route_needs_no_asgi(stage: Stage, asgi: list[str]) -> None:
    """However it comes: in chunks, over HTTP/1.0, as a stream either way, as OPTIONS or HEAD, or wrong."""
    end = b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    chunked = end[:-2] + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    asked = {
        b"GET /v1/names/7 HTTP/1.0\r\n\r\n": b"200",
        b"GET /v1/names/7" + end: b"200",
        b"HEAD /v1/names/7" + end: b"200",
        b"OPTIONS /v1/echo" + end: b"204",
        b"GET /v1/names/%ff" + end: b"400",
        b"GET /v1/stream/a" + end: b"200",
        b"HEAD /v1/stream/a" + end: b"200",
        b"POST /v1/echo" + chunked: b"200",
        b"POST /v1/upload" + chunked: b"200",
        b"POST /v1/bidi" + chunked: b"200",
        b"GET /nowhere" + end: b"404",
        b"GET /v1/bidi" + end: b"405",
    }
    answered = {}
    async with echo_server() as echo, stage.edge(echo.address, transport="wire") as port:
        for request in asked:
            async with line(port) as caller:
                caller.writer.write(request)
                answered[request] = (await caller.end())[9:12]

    assert answered == asked
    assert asgi == ["/nowhere", "/v1/bidi"]


class Records(Observer):
    """Keeps what an observer and a policy are told of each request."""

    def __init__(self) -> None:
        self.admitted: list[tuple[Any, ...]] = []
        self.ended: list[tuple[Any, ...]] = []
        self._messages: list[int] = []

    def admit(self, request: RequestInfo) -> None:
        """Lets everybody in."""
        method = request.method.path if request.method else None
        head = (request.wire, request.http_method, request.path, request.headers)
        self.admitted.append((*head, method, request.client))

    def message_received(self, request: RequestInfo, size: int) -> None:
        """Keeps its size."""
        self._messages.append(size)

    def message_sent(self, request: RequestInfo, size: int) -> None:
        """Keeps its size, which is below nothing."""
        self._messages.append(-size)

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """Keeps how it ended."""
        messages, self._messages = self._messages, []
        self.ended.append((end.code, end.http_status, end.ended_by, messages))


async def test_policies_and_observers_are_told_the_same(stage: Stage) -> None:
    """Whatever way a request takes to its exchange, and also of clients that leave."""
    end = b" HTTP/1.1\r\nhost: x\r\n\r\n"
    closing = end[:-2] + b"connection: close\r\n\r\n"
    chunked = closing[:-2] + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    key = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
    handshake = b" HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n" + key
    asked = [
        *(
            b"GET /v1/names/7" + closing,
            b"GET /v1/names/%ff" + closing,
            b"OPTIONS /v1/echo" + closing,
        ),
        *(b"POST /v1/echo" + chunked, b"POST /v1/upload" + chunked, b"POST /v1/bidi" + chunked),
        *(
            b"GET /v1/stream/a" + closing,
            b"GET /v1/fail/5" + closing,
            b"GET /v1/fail-stream/5" + closing,
        ),
        *(b"GET /nowhere" + closing, b"GET /v1/bidi" + closing),
    ]
    left = [b"GET /v1/hang", b"GET /v1/hang-stream", b"GET /v1/hang"]
    heads = (end, end, closing)
    seen = []
    for middleware in ((), (PassesOn,)):
        records = Records()
        async with echo_server() as echo:
            settings = Settings(
                descriptor_set=stage.path,
                log_level="error",
                upstream=echo.address,
                transport="wire",
            )
            app = create_app(settings, policies=[records], observers=[records])
            for each in middleware:
                app.add_middleware(each)
            async with serving(app, settings) as port:
                for request in asked:
                    async with line(port) as caller:
                        caller.writer.write(request)
                        await caller.end()
                async with line(port) as caller:
                    caller.writer.write(_GET % 1)
                    await caller.answer()
                async with line(port) as caller:
                    caller.writer.write(b"GET /v1/bidi" + handshake)
                    assert b" 101 " in await caller.head()
                for target, head in zip(left, heads, strict=True):
                    echo.started.clear()
                    async with line(port) as caller:
                        caller.writer.write(target + head)
                        await asyncio.wait_for(echo.started.wait(), 10)
                async with asyncio.timeout(10):
                    while len(records.ended) < len(asked) + 2 + len(left):
                        await asyncio.sleep(0.001)
        seen.append((records.admitted, sorted(records.ended, key=str)))

    assert seen[0] == seen[1]
    assert {each[-1] for each in seen[0][0]} == {"127.0.0.1"}


async def test_a_long_pipeline_of_what_is_answered_at_once(stage: Stage) -> None:
    """Each has a turn of its own, however many there are, and none waits for a call."""
    count = 2000
    wrong = b"GET /v1/names/%%ff?a=%d HTTP/1.1\r\nhost: x\r\n\r\n"
    async with stage.edge("127.0.0.1:1", transport="wire") as port, line(port) as caller:
        caller.writer.write(b"".join(wrong % number for number in range(count)))
        heads = [(await caller.answer())[0] for _ in range(count)]

    assert {head[:12] for head in heads} == {b"HTTP/1.1 400"}


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (_HANG, DirectResponse),
        (_HANG.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), ContractExchange),
        (_HANG.replace(b"hang", b"hang-stream"), ContractExchange),
    ],
    ids=["direct", "parsed", "stream"],
)
async def test_who_leaves_leaves_nothing(
    stage: Stage, transport: Name, request_: bytes, kind: type
) -> None:
    """Not even for the collector: those who leave may be many at once."""
    gc.collect()
    of_others = _all(kind, Http1Protocol)
    gc.disable()
    try:
        async with echo_server() as echo, stage.edge(echo.address, transport=transport) as port:
            async with line(port) as caller:
                caller.writer.write(request_)
                await asyncio.wait_for(echo.started.wait(), 10)
                assert [type(each) for each in _all(kind) if each not in of_others] == [kind]
            await asyncio.wait_for(echo.cancelled.wait(), 10)

            async with asyncio.timeout(10):
                while any(each not in of_others for each in _all(kind, Http1Protocol)):
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()


def _all(*kinds: type) -> list[object]:
    """Returns all objects of some types, which other tests of the process may have left too."""
    return [each for each in gc.get_objects() if type(each) in kinds]


async def test_a_shutdown_tells_who_waits(stage: Stage, transport: Name) -> None:
    """When it waits no longer, the caller is answered 503, and told that it is the last answer."""
    async with echo_server() as echo, AsyncExitStack() as stack:
        edge = stage.edge(echo.address, transport=transport, drain_seconds=0.1)
        port = await stack.enter_async_context(edge)
        async with line(port) as caller:
            caller.writer.write(_HANG)
            await asyncio.wait_for(echo.started.wait(), 10)
            await stack.aclose()
            head, body = await caller.answer()
            rest = await caller.end()
        await asyncio.wait_for(echo.cancelled.wait(), 10)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close" in head
    assert b"shutting down" in body
    assert rest == b""


async def test_a_deadline_is_the_shorter_one(stage: Stage, transport: Name) -> None:
    """Of the caller's and the edge's."""
    ask_hang = b"GET /v1/hang HTTP/1.1\r\nhost: x\r\nx-server-timeout: %d\r\n\r\n"
    async with (
        echo_server() as echo,
        stage.edge(echo.address, transport=transport, timeout_seconds=0.2) as port,
        line(port) as caller,
    ):
        caller.writer.write(ask_hang % 60)
        edges, _ = await caller.answer()
        caller.writer.write(ask_hang % 0)
        callers, _ = await caller.answer()

    assert edges.startswith(b"HTTP/1.1 504 ")
    assert callers.startswith(b"HTTP/1.1 504 ")


class Broken:
    """An upstream with a fault."""

    def __init__(self, fail: Callable[[Any], Any]) -> None:
        self._fail = fail

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def open(self, *_: object, **__: object) -> Any:
        """Is not asked."""
        raise NotImplementedError

    def start_unary(self, method: object, request: object, on_outcome: Any, **_: object) -> Any:
        """Fails."""
        del method, request
        return self._fail(on_outcome)


def _raises(_told: Any) -> None:
    raise LookupError("a fault")


def _tells(told: Any) -> Callable[[], object]:
    asyncio.get_running_loop().call_soon(told, LookupError("a fault"))
    return int


@pytest.mark.parametrize("fail", [_raises, _tells], ids=["at once", "later"])
async def test_a_fault_of_ours_is_a_500(
    stage: Stage, fail: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the caller learns nothing of it."""
    with caplog.at_level(logging.ERROR, "gateway.exchange.serve"):
        async with (
            stage.edge("127.0.0.1:1", port=Broken(fail)) as port,
            line(port) as caller,
        ):
            caller.writer.write(_GET % 1)
            head, body = await caller.answer()

    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"internal error" in body
    assert b"fault" not in body
    assert "a fault" in caplog.text


async def test_who_does_not_read_waits(stage: Stage) -> None:
    """Answers that nobody reads are not made without end: then the next request waits for its turn."""
    body = b'{"stringField":"%s"}' % (b"x" * 4096)
    post = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    most = 500
    called = asyncio.Semaphore(0)

    class Counting(EchoServer):
        async def unary(self, request: bytes, _context: Any) -> bytes:
            called.release()
            return request

    async with (
        echo_server(Counting) as echo,
        stage.edge(echo.address, transport="wire", send_buffer=_SMALL) as port,
        line(port, receive_buffer=_SMALL) as caller,
    ):
        answered = 0
        with pytest.raises(TimeoutError):
            while answered < most:
                caller.writer.write(post)
                await asyncio.wait_for(called.acquire(), 2)
                answered += 1

        assert 0 < answered < most
