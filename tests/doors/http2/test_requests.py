"""What a request and its response are over HTTP/2: bodies, streams, windows, and what is malformed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.doors.http2.door import MAX_UNREAD
from tests.doors.http2.client import connected
from tests.doors.http2.conftest import Edge
from tests.echo_server import EchoServer

PROTOCOL_ERROR, CANCEL, REFUSED_STREAM = 1, 8, 7
FIELDS = (
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "edge.test"),
    (":path", "/v1/echo/a"),
)


async def test_requests_are_answered_side_by_side(edge: Edge) -> None:
    """A call that hangs holds up no other on its connection."""
    async with edge() as port, connected(port) as client:
        hanging = client.request("GET", "/v1/hang")
        streams = [client.request("GET", f"/v1/echo/{number}") for number in range(50)]
        for number, stream in enumerate(streams):
            await client.end_of(stream)
            assert json.loads(stream.body) == {"stringField": str(number)}

        assert not hanging.ended


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_body_arrives_in_pieces(edge: Edge, pieces: int) -> None:
    """With its head, behind it, and one byte after the other."""
    body = json.dumps({"stringField": "x" * 200}).encode()
    size = -(-len(body) // pieces)
    async with edge() as port, connected(port) as client:
        stream = client.request("POST", "/v1/echo", end=False)
        for at in range(0, len(body), size):
            await asyncio.sleep(0.002)
            client.h2.send_data(stream.number, body[at : at + size])
            client.flush()
        client.h2.end_stream(stream.number)
        client.flush()
        await client.end_of(stream)

    assert (stream.status, json.loads(stream.body)) == (200, json.loads(body))


async def test_a_large_upload_and_a_large_answer(edge: Edge) -> None:
    """Megabytes each way: the windows are opened as both read."""
    body = json.dumps({"stringField": "x" * 3_000_000}).encode()
    async with edge() as port, connected(port) as client:
        stream = client.request("POST", "/v1/echo", end=False)
        await client.upload(stream, body)
        await client.end_of(stream)

    assert (stream.status, len(stream.body)) == (200, len(body) - 1)  # without the blank


async def test_bodies_go_both_ways_at_once(edge: Edge) -> None:
    """Full duplex: each message is answered before the next one is sent."""
    async with edge() as port, connected(port) as client:
        headers = [("content-type", "application/x-ndjson"), ("accept", "application/x-ndjson")]
        stream = client.request("POST", "/v1/bidi", headers, end=False)
        for number in range(1, 4):
            client.h2.send_data(stream.number, b'{"int32Field": %d}\n' % number)
            client.flush()
            await client.until(lambda: stream.body.count(b"\n") == number)  # noqa: B023 - at once
        client.h2.end_stream(stream.number)
        client.flush()
        await client.end_of(stream)

    assert [json.loads(line) for line in stream.body.splitlines()] == [
        {"int32Field": number} for number in range(1, 4)
    ]


async def test_a_client_waits_for_100_continue(edge: Edge) -> None:
    """RFC 9110, 10.1.1: the body is asked for when it is read."""
    async with edge() as port, connected(port) as client:
        headers = [("expect", "100-continue"), ("content-length", "2")]
        stream = client.request("POST", "/v1/echo", headers, end=False)
        await client.until(lambda: stream.informational == [100])
        client.h2.send_data(stream.number, b"{}", end_stream=True)
        client.flush()
        await client.end_of(stream)
        refused = client.request("POST", "/nowhere", headers, end=False)
        await client.end_of(refused)

    assert (stream.status, refused.status, refused.informational) == (200, 404, [])


async def test_head_has_no_body(edge: Edge) -> None:
    """But the length that GET would have."""
    async with edge() as port, connected(port) as client:
        stream = await client.end_of(client.request("HEAD", "/v1/echo/a"))

    assert (stream.status, bytes(stream.body)) == (200, b"")
    assert dict(stream.headers)["content-length"] == str(len(b'{"stringField":"a"}'))


async def test_a_request_without_an_end_is_408(edge: Edge) -> None:
    """As over HTTP/1.1; on this stream alone."""
    async with edge(body_timeout_seconds=0.2) as port, connected(port) as client:
        stream = await client.end_of(client.request("POST", "/v1/echo", end=False))
        after = await client.get("/v1/echo/a")

    assert (stream.status, after.status) == (408, 200)


async def test_a_reset_cancels_the_call(edge: Edge, echo: EchoServer) -> None:
    """The client has left this stream, and no other."""
    async with edge() as port, connected(port) as client:
        echo.started.clear()
        echo.cancelled.clear()
        stream = client.request("GET", "/v1/hang")
        await asyncio.wait_for(echo.started.wait(), 10)
        client.h2.reset_stream(stream.number, CANCEL)
        client.flush()
        await asyncio.wait_for(echo.cancelled.wait(), 10)

        assert (await client.get("/v1/echo/a")).status == 200


async def test_crumbs_of_a_cookie_are_joined(edge: Edge) -> None:
    """RFC 9113, 8.2.3: by a semicolon and a blank, before anybody else sees them."""
    crumbs = [("cookie", "a=1"), ("x-other", "1"), ("cookie", "b=2")]
    settings: dict[str, Any] = {"request_headers": ("cookie",), "response_headers": ("cookie",)}
    async with edge(**settings) as port, connected(port, strict=False) as client:
        stream = await client.get("/v1/echo/a", crumbs)

    assert dict(stream.headers)["cookie"] == "a=1; b=2"


async def test_the_same_fields_of_two_callers_are_not_mixed_up(edge: Edge) -> None:
    """Heads are cached by what says nothing about who calls."""
    settings: dict[str, Any] = {"response_headers": ("authorization", "accept-language")}
    async with edge(**settings) as port, connected(port) as client:
        for number in range(4):
            own = [("authorization", f"Bearer {number // 2}"), ("accept-language", f"l{number}")]
            seen = dict((await client.get("/v1/echo/a", own)).headers)
            assert seen["authorization"] == f"Bearer {number // 2}"
            assert seen["accept-language"] == f"l{number}"


# What is malformed (RFC 9113, 8.1.1), and what requests are smuggled by (10.3).


def _with(*more: tuple[str, str], **pseudo: str | None) -> list[tuple[str, str]]:
    """Returns the fields of a request, with others in place of its own, or without (None)."""
    fields = [
        (name, value if (new := pseudo.get(name[1:], value)) is None else new)
        for name, value in FIELDS
        if pseudo.get(name[1:], value) is not None
    ]
    return [*fields, *more]


MALFORMED = {
    "8.2-upper-case": _with(("X-Upper", "1")),
    "8.2.1-name-with-blank": _with(("x a", "1")),
    "8.2.1-name-with-colon": _with(("x:a", "1")),
    "8.2.1-value-with-line": _with(("x-a", "1\r\nx-b: 2")),
    "8.2.1-value-with-nul": _with(("x-a", "1\0")),
    "8.2.1-value-with-blank-before": _with(("x-a", " 1")),
    "8.2.1-value-with-blank-behind": _with(("x-a", "1 ")),
    "8.2.2-connection": _with(("connection", "keep-alive")),
    "8.2.2-keep-alive": _with(("keep-alive", "timeout=5")),
    "8.2.2-proxy-connection": _with(("proxy-connection", "keep-alive")),
    "8.2.2-transfer-encoding": _with(("transfer-encoding", "chunked")),
    "8.2.2-upgrade": _with(("upgrade", "websocket")),
    "8.2.2-te-gzip": _with(("te", "gzip")),
    "8.3-pseudo-behind-others": [FIELDS[0], FIELDS[1], FIELDS[2], ("x-a", "1"), FIELDS[3]],
    "8.3-unknown-pseudo": [*FIELDS, (":other", "1")],
    "8.3-of-a-response": [*FIELDS, (":status", "200")],
    "8.3-twice": [*FIELDS, FIELDS[3]],
    "8.3.1-no-method": _with(method=None),
    "8.3.1-no-scheme": _with(scheme=None),
    "8.3.1-no-path": _with(path=None),
    "8.3.1-empty-path": _with(path=""),
    "8.3.1-host-is-another": _with(("host", "other.test")),
    "8.3.1-two-hosts": _with(("host", "a.test"), ("host", "b.test"), authority=None),
    "8.1.1-length-of-nothing": _with(("content-length", "1")),
    "8.1.1-two-lengths": _with(("content-length", "0"), ("content-length", "1")),
    "8.1.1-no-number": _with(("content-length", "+0")),
    "8441-protocol-without-connect": _with((":protocol", "websocket")),
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_requests_are_reset(edge: Edge, fields: list[tuple[str, str]]) -> None:
    """8.1.1: a stream error PROTOCOL_ERROR; the connection goes on."""
    async with edge() as port, connected(port, strict=False) as client:
        stream = await client.end_of(client.send(fields))
        after = await client.get("/v1/echo/a")

    assert (stream.status, stream.reset) == (0, PROTOCOL_ERROR)
    assert after.status == 200


BAD = {
    "a-path-that-is-none": (_with(path="v1/echo"), 400),
    "an-absolute-path": (_with(path="http://other.test/v1/echo/a"), 400),
    "no-authority": (_with(authority=None), 400),
    "an-authority-with-a-user": (_with(authority="user@edge.test"), 400),
    "an-authority-with-a-blank": (_with(authority="edge test"), 400),
    "the-star": (_with(path="*"), 400),
    "too-many-headers": (_with(*((f"x-{number}", "1") for number in range(120))), 431),
    "too-large": (_with(*((f"x-{number}", "1" * 1000) for number in range(70))), 431),
    "another-method": (_with(method="TRACE"), 405),
    "a-method-of-nobody": (_with(method="get"), 405),
    "a-method-that-is-no-token": (_with(method="GET /v1"), 400),
    "an-empty-method": (_with(method=""), 400),
    "a-path-with-a-blank": (_with(path="/v1/echo/a b"), 400),
    "a-path-with-a-tab": (_with(path="/v1/echo/a\tb"), 400),
    "a-path-in-bytes": (_with(path="/v1/echo/\xe9"), 400),
    "a-query-in-bytes": (_with(path="/v1/echo?string_field=\xe9"), 400),
}


@pytest.mark.parametrize(("fields", "status"), BAD.values(), ids=BAD)
async def test_bad_requests_are_answered(
    edge: Edge, fields: list[tuple[str, str]], status: int
) -> None:
    """With the status that HTTP/1.1 has for them, and a Status; the connection goes on."""
    async with edge() as port, connected(port, strict=False) as client:
        stream = await client.end_of(client.send(fields))
        after = await client.get("/v1/echo/a")

    assert (stream.status, "message" in json.loads(stream.body)) == (status, True)
    assert after.status == 200


@pytest.mark.parametrize(("fields", "status"), BAD.values(), ids=BAD)
async def test_a_listed_page_reads_what_was_wrong(
    edge: Edge, fields: list[tuple[str, str]], status: int
) -> None:
    """Also of what is refused before it is a request; of a head that is too large no origin is known."""
    page = "https://app.test"
    async with (
        edge(cors={"origins": (page,)}, body_timeout_seconds=0.2) as port,
        connected(port, strict=False) as client,
    ):
        stream = await client.end_of(client.send([*fields, ("origin", page)]))
        headers = [("origin", page)]
        late = await client.end_of(client.request("POST", "/v1/echo", headers, end=False))

    known = sum(len(name) + len(value) for name, value in fields) < 65_536
    allowed = dict(stream.headers).get("access-control-allow-origin")
    assert (stream.status, allowed) == (status, page if known else None)
    assert dict(stream.headers)["vary"] == "Origin"
    assert (late.status, dict(late.headers)["access-control-allow-origin"]) == (408, page)


async def test_content_must_be_as_long_as_it_says(edge: Edge) -> None:
    """8.1.1: more or less than content-length is a stream error."""
    async with edge() as port, connected(port, strict=False) as client:
        for length in ("1", "3"):
            headers = [("content-length", length)]
            stream = client.request("POST", "/v1/upload", headers, b"{}")
            await client.end_of(stream)
            assert stream.reset == PROTOCOL_ERROR
        assert (await client.get("/v1/echo/a")).status == 200


# Clients that do not read.


async def test_a_stream_that_is_not_read_stalls_no_other(edge: Edge) -> None:
    """Its window is closed; others have their own."""
    async with edge() as port, connected(port) as client:
        accept = [("accept", "application/x-ndjson")]
        target = f"/v1/stream/{'x' * 1000}?int32Field=10000"
        stalled = client.request("GET", target, accept)
        stalled.reads = False
        await client.until(lambda: len(stalled.body) >= 65_535)
        client.h2.increment_flow_control_window(65_535)  # of the connection, which others need
        client.flush()
        other = await client.get("/v1/stream/y?int32Field=1000", accept)

        assert other.body.count(b"\n") == 1000
        assert len(stalled.body) == 65_535


async def test_a_stream_that_is_not_read_is_cut(edge: Edge) -> None:
    """Behind `send_timeout_seconds` without progress."""
    async with edge(send_timeout_seconds=0.2) as port, connected(port) as client:
        stream = client.request("GET", f"/v1/stream/{'x' * 1000}?int32Field=10000")
        stream.reads = False
        await client.end_of(stream)

    assert stream.reset == CANCEL


async def test_whole_answers_that_are_not_read_have_a_bound(edge: Edge) -> None:
    """Beyond it further requests of the connection are refused, and may be sent again."""
    body = json.dumps({"stringField": "x" * 3_000_000}).encode()
    async with edge() as port, connected(port) as client:
        client.h2.update_settings({4: 0})  # the initial window
        client.flush()
        streams = []
        for _ in range(MAX_UNREAD // 3_000_000 + 1):
            stream = client.request("POST", "/v1/echo", end=False)
            await client.upload(stream, body)
            await client.until(lambda: stream.status)  # noqa: B023 - at once
            streams.append(stream)
        refused = await client.get("/v1/echo/a")

    assert refused.reset == REFUSED_STREAM
    assert all(stream.status == 200 and not stream.body for stream in streams)


async def test_what_is_refused_before_it_is_a_request_has_the_headers_of_cors(edge: Edge) -> None:
    """So that a page of an allowed origin sees why."""
    origin = "https://app.test"
    fields = _with(("origin", origin), authority="user@edge.test")
    settings: dict[str, Any] = {"cors": {"origins": [origin]}}
    async with edge(**settings) as port, connected(port, strict=False) as client:
        stream = await client.end_of(client.send(fields))

    assert stream.status == 400
    assert dict(stream.headers)["access-control-allow-origin"] == origin
