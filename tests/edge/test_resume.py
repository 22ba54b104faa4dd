"""Coming back to a stream, and gaps in it, over HTTP: the bytes that docs/reference/wires.md promises."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from fastapi import FastAPI
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import ABORTED
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, UNAVAILABLE, StatusError
from tests.contracts import feeds_descriptor_set
from tests.edge.asgi import Request, ask, http_scope, running, start
from tests.edge.conftest import STREAM_ID
from tests.feeds.stage import METHODS, Line, News, news, settled
from tests.feeds.stage import Request as FeedsRequest

NDJSON, SSE, ARRAY = "application/x-ndjson", "text/event-stream", "application/json"
SEQ = "application/json-seq"
RETRY = b"retry: 2000\n\n"
END = b"id: end\nevent: end\ndata: {}\n\n"
RESTARTED = b'event: gap\ndata: {"restarted":true}\n\n'


class Server:
    """The server: its calls, newest last."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.upstream = ScriptedUpstream({m.path: self._script for m in METHODS.values()})

    def _script(self, call: ScriptedCall) -> AsyncIterator[bytes]:
        self.lines.append(Line(call))
        return self.lines[-1].answers()

    async def send(self, *numbers: int) -> None:
        """Lets messages of the newest call come in."""
        self.lines[-1].send(*map(news, numbers))
        await settled()

    async def end(self) -> None:
        """Ends the newest call."""
        self.lines[-1].end()
        await settled()


@pytest.fixture
def server() -> Server:
    """A server that the test speaks for."""
    return Server()


@pytest.fixture
async def app(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    """The edge over that server; its readers are woken without a clock."""
    monkeypatch.setattr("gateway.feeds.feed._BATCH_SECONDS", 0)
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    async with running(create_app(Settings(descriptor_set=path), server.upstream)) as started:
        yield started


async def get(app: FastAPI, target: str, last: str = "", accept: str = SSE) -> Request:
    """Begins to read a stream, and lets its call begin."""
    headers = {"accept": accept} | ({"last-event-id": last} if last else {})
    request = start(app, "GET", target, headers=headers)
    await settled()
    return request


async def left(request: Request) -> bytes:
    """Cuts a reader, and returns what it had got."""
    request.arrives("http.disconnect")
    await request.ended()
    return request.body


def plain(number: int) -> bytes:
    """Returns the JSON of one message."""
    return orjson.dumps({"number": str(number), "item": {}, "id": f"id{number}"})


def event(number: int, event_id: str = "") -> bytes:
    """Returns the bytes of one message in SSE."""
    data = plain(number)
    return b"id: %b\ndata: %b\n\n" % ((event_id or f"{STREAM_ID}-{number}").encode(), data)


@pytest.mark.parametrize("target", ["/drop-oldest/t", "/lingering/t"])
async def test_a_reader_of_events_comes_back(app: FastAPI, server: Server, target: str) -> None:
    """After its last id, without loss or duplicate, and to the clean end."""
    first = await get(app, target)
    await server.send(1, 2)
    assert await left(first) == RETRY + event(1) + event(2)
    await server.send(3)
    back = await get(app, target, f"{STREAM_ID}-1")
    await server.end()
    await back.ended()

    assert back.body == RETRY + event(2) + event(3) + END
    assert len(server.lines) == 1


@pytest.mark.parametrize("target", ["/drop-oldest/t", "/lingering/t", "/plain/t"])
async def test_a_stream_that_is_not_known_any_more_has_restarted(
    app: FastAPI, server: Server, target: str
) -> None:
    """The gap goes before the first message; the ids are the new stream's."""
    back = await get(app, target, "fedcba9876543210-7")
    assert back.sent == []
    await server.send(1)
    await server.end()
    await back.ended()

    assert back.body == RETRY + RESTARTED + event(1) + END


async def test_a_restart_that_fails_has_its_http_status(app: FastAPI, server: Server) -> None:
    """As long as there is no message, coming back is like coming."""
    back = await get(app, "/drop-oldest/t", "fedcba9876543210-7")
    server.lines[-1].fail(5)
    await back.ended()

    assert back.status == 404
    assert back.json == {"code": 5, "message": "as you wish"}


@pytest.mark.parametrize(
    ("target", "field", "last", "ids"),
    [
        ("/own-ids/t", "after_id", "id 1/ä", ["id1", "id2"]),
        ("/own-numbers/t", "after_number", "7", ["1", "2"]),
        ("/own-numbers/t?afterNumber=5", "after_number", "-7", ["1", "2"]),
    ],
)
async def test_the_server_is_told_the_last_id(
    app: FastAPI, server: Server, target: str, field: str, last: str, ids: list[str]
) -> None:
    """Where the contract names fields for ids, they are the server's, and so is what comes after."""
    back = await get(app, target, last)
    asked = FeedsRequest.FromString(await anext(server.lines[-1].call.requests))
    await server.send(1, 2)
    await server.end()
    await back.ended()

    assert str(getattr(asked, field)) == last
    assert back.body == RETRY + event(1, ids[0]) + event(2, ids[1]) + END


@pytest.mark.parametrize("last", ["x", "1.5", "9223372036854775808", f"{STREAM_ID}-1"])
@pytest.mark.parametrize("http_method", ["GET", "POST"])
async def test_an_id_that_the_field_cannot_hold_is_a_restart(
    app: FastAPI, server: Server, http_method: str, last: str
) -> None:
    """A browser takes a 400 for the end; so it is told that the stream begins anew, as the URL says."""
    target = "/own-numbers/t?after_number=5" if http_method == "GET" else "/own-numbers"
    body = b"" if http_method == "GET" else b'{"afterNumber":"5"}'
    back = start(app, http_method, target, body, headers={"accept": SSE, "last-event-id": last})
    await settled()
    asked = FeedsRequest.FromString(await anext(server.lines[-1].call.requests))
    await server.send(6)
    await server.end()
    await back.ended()

    assert asked.after_number == 5
    assert back.body == RETRY + RESTARTED + event(6, "6") + END


@pytest.mark.parametrize(
    ("http_method", "target", "body"),
    [
        ("GET", "/drop-oldest/t", b""),
        ("GET", "/plain/t", b""),
        ("GET", "/own-ids/t", b""),
        ("GET", "/own-numbers/t", b""),
        ("POST", "/drop-oldest", b'{"topic":"t"}'),
        ("POST", "/own-numbers", b'{"topic":"t"}'),
    ],
)
async def test_after_the_end_there_is_nothing(
    app: FastAPI, server: Server, http_method: str, target: str, body: bytes
) -> None:
    """204 is how a browser learns to stay away, whatever the method."""
    headers = {"accept": SSE, "last-event-id": "end"}
    answer = await ask(app, http_method, target, body, headers)

    assert (answer.status, answer.body, answer.complete) == (204, b"", True)
    assert server.lines == []


@pytest.mark.parametrize(
    "bad",
    [
        *("end", "a\nb", "a\rb", "a\0b", " a", "a ", "a\x01b", "a\x7fb", "\x85a", "a\u2028b", ""),
        *("x" * 1025, "x" * 1102, "x" * 100_000, "ä" * 513, "😀" * 257),
    ],
)
async def test_an_id_that_would_not_come_back_as_it_is_is_left_out(
    app: FastAPI, server: Server, bad: str
) -> None:
    """The last id stays that of the message before, so a reader loses nothing by coming back."""
    reader = await get(app, "/own-ids/t")
    server.lines[-1].send(News(id=bad).SerializeToString())
    await settled()
    printed = {"id": bad} if bad else {}

    assert await left(reader) == RETRY + b"data: %b\n\n" % orjson.dumps(printed)


@pytest.mark.parametrize("longest", ["x" * 1024, "ä" * 512, "😀" * 256, "ä" * 511 + "xx"])
async def test_the_longest_id_that_is_given_out_comes_back(
    app: FastAPI, server: Server, longest: str
) -> None:
    """As a browser says it, in UTF-8; the server is told it as it was."""
    reader = await get(app, "/own-ids/t")
    server.lines[-1].send(News(id=longest).SerializeToString())
    await settled()
    assert (await left(reader)).startswith(RETRY + b"id: %b\n" % longest.encode())

    await get(app, "/own-ids/t", longest)
    asked = FeedsRequest.FromString(await anext(server.lines[-1].call.requests))
    assert asked.after_id == longest


@pytest.mark.parametrize("last", ["x" * 1025, "x" * 1102, "9" * 5000, "ä" * 513])
@pytest.mark.parametrize(
    "target", ["/own-ids/t", "/own-numbers/t", "/plain/t", "/drop-oldest/t", "/lingering/t"]
)
async def test_an_id_that_is_too_long_is_a_restart(
    app: FastAPI, server: Server, target: str, last: str
) -> None:
    """Nobody gave it out; a 400 would keep an `EventSource` away for ever."""
    back = await get(app, target, last)
    asked = FeedsRequest.FromString(await anext(server.lines[-1].call.requests))
    await server.send(1)

    assert (await left(back)).startswith(RETRY + RESTARTED)
    assert (asked.after_id, asked.after_number) == ("", 0)


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("/own-ids/t", b"\xff"),
        ("/own-ids/t", b"caf\xe9"),  # Latin-1
        ("/own-ids/t", b"id1\xed\xa0\x80"),  # half a pair of surrogates
        ("/own-ids/t", b"a\x00b"),
        ("/own-ids/t", "a\u2028b".encode()),
        ("/own-numbers/t", b"007"),
        ("/own-numbers/t", b"-0"),
        ("/own-numbers/t", b"+7"),
        ("/own-numbers/t", b"7.0"),
        ("/own-numbers/t", "\u0667".encode()),
        ("/plain/t", b"\xff"),
        ("/drop-oldest/t", b"\xff-1"),
    ],
)
async def test_an_id_that_nobody_gives_out_is_a_restart(
    app: FastAPI, server: Server, target: str, last: bytes
) -> None:
    """The server is not told a text that it has not said."""
    scope = http_scope("GET", target, {"accept": SSE})
    scope["headers"].append((b"last-event-id", last))
    back = Request(app, scope)
    back.arrives("http.request", body=b"", more_body=False)
    await settled()
    asked = FeedsRequest.FromString(await anext(server.lines[-1].call.requests))
    await server.send(1)

    assert (await left(back)).startswith(RETRY + RESTARTED)
    assert (asked.after_id, asked.after_number) == ("", 0)


@pytest.mark.parametrize("accept", [NDJSON, ARRAY, SEQ])
async def test_an_id_that_is_too_long_is_no_matter_where_there_are_no_ids(
    app: FastAPI, server: Server, accept: str
) -> None:
    """The header means nothing in other framings."""
    headers = {"accept": accept, "last-event-id": "x" * 2000}
    back = start(app, "GET", "/own-ids/t", headers=headers)
    await settled()
    await server.send(1)
    await server.end()

    assert ((await back.ended()).status, plain(1) in back.body) == (200, True)


def info(seconds: int, nanos: int = 0) -> RetryInfo:
    """Returns when to come back."""
    return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("details", "least"),
    [
        ([info(30)], 30_000),
        ([info(3, 1)], 3_001),
        ([info(0, 500_000_000)], 2_000),
        ([info(-5)], 2_000),
        ([info(10**9)], 86_400_000),
        ([info(4), info(7)], 7_000),
        ([], 2_000),
    ],
)
@pytest.mark.parametrize("code", [RESOURCE_EXHAUSTED, UNAVAILABLE])
async def test_events_say_to_come_back_no_sooner_than_the_server(
    app: FastAPI, server: Server, details: list[RetryInfo], least: int, code: int
) -> None:
    """Rounded up, within a day, and with a jitter that only adds; never sooner than the settings say."""
    reader = await get(app, "/plain/t")
    await server.send(1)
    server.lines[-1].fail(StatusError.of(code, "later", *details))
    await reader.ended()

    (retry,) = re.findall(rb"retry: (\d+)\nevent: error\n", reader.body)
    assert least <= int(retry) <= least + 2_000


@pytest.mark.parametrize(
    "trailing", [(("retry-after", "30"),), (("grpc-retry-pushback-ms", "30000"),)]
)
@pytest.mark.parametrize("target", ["/plain/t", "/drop-oldest/t"])
async def test_metadata_say_when_to_come_back_to_events_too(
    app: FastAPI, server: Server, target: str, trailing: Metadata
) -> None:
    """As they do in `Retry-After`; and then a status that usually does not pass may do so."""
    reader = await get(app, target)
    await server.send(1)
    server.lines[-1].fail(StatusError(Status(code=ABORTED, message="later"), trailing=trailing))
    await reader.ended()

    assert re.search(rb"\n\nretry: 3\d{4}\nevent: error\n", reader.body)
    assert b"id: end" not in reader.body


async def test_what_the_server_says_to_try_again_is_not_the_end(
    app: FastAPI, server: Server
) -> None:
    """A status that usually does not pass may do so where the server says when."""
    reader = await get(app, "/plain/t")
    await server.send(1)
    server.lines[-1].fail(StatusError.of(ABORTED, "later", info(30)))
    await reader.ended()

    assert re.search(rb"\n\nretry: 3\d{4}\nevent: error\n", reader.body)
    assert b"id: end" not in reader.body


GAP = b'{"@type":"type.googleapis.com/gateway.v1.Gap","missed":2}'


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (NDJSON, b"".join(text + b"\n" for text in (GAP, *map(plain, range(3, 7))))),
        (SEQ, b"".join(b"\x1e" + text + b"\n" for text in (GAP, *map(plain, range(3, 7))))),
        (ARRAY, b"[" + b",".join((GAP, *map(plain, range(3, 7)))) + b"]"),
        (
            SSE,
            RETRY
            + b'id: 0123456789abcdef-0\nevent: gap\ndata: {"missed":2}\n\n'
            + b"".join(map(event, range(3, 7)))
            + END,
        ),
    ],
)
@pytest.mark.parametrize("target", ["/drop-oldest/t", "/private-drop-oldest/t"])
async def test_a_gap_in_every_framing(
    app: FastAPI, server: Server, target: str, accept: str, body: bytes
) -> None:
    """Of six messages that come at once four are kept; what is missing is said in its place."""
    reader = await get(app, target, accept=accept)
    await server.send(*range(1, 7))
    await server.end()
    await reader.ended()

    assert reader.body == body


@pytest.mark.parametrize("target", ["/lingering/t", "/plain/t", "/own-ids/t"])
async def test_who_comes_back_while_the_server_is_away_may_come_again(
    app: FastAPI, server: Server, target: str
) -> None:
    """A browser takes a 503 for the end; so it is 200, and an error after which it comes back."""
    back = await get(app, target, "fedcba9876543210-7")
    server.lines[-1].fail(14)
    await back.ended()

    assert back.status == 200
    text = back.body.decode()
    assert re.fullmatch(
        r"retry: 2000\n\nretry: \d{4}\nevent: error\ndata: {\"code\":14,.*}\n\n", text
    )


async def test_a_call_lingers_only_for_those_who_can_come_back(
    app: FastAPI, server: Server
) -> None:
    """A reader without ids ends its own call when it leaves."""
    reader = await get(app, "/lingering/t", accept=NDJSON)
    await server.send(1)
    await left(reader)
    await settled()

    assert server.lines[-1].call.ended.is_set()
