"""What an error repeats of a request has an end, on every wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.edge.asgi import Request, ask, connect
from tests.edge.conftest import Everything

LONG = "k" * 1_000_000
MOST = 10_000
"""Bytes of a whole answer, its headers too; a hundred faults of short names are most."""
BODY = f'{{"{LONG}":1}}'
OURS, ENVELOPE = ("grpc-json.v1",), ("grpc-json-envelope.v1",)


def size(request: Request) -> int:
    """Returns how much was sent, of whatever kind."""
    return sum(len(repr(event)) for event in request.sent)


REQUESTS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "unary": ("POST", "/v1/echo", BODY, {}),
    "a part of the body": ("PUT", "/v1/echo/x/nested", BODY, {}),
    "problem details": ("POST", "/v1/echo", BODY, {"accept": "application/problem+json"}),
    "events": ("POST", "/v1/stream", BODY, {"accept": "text/event-stream"}),
    "lines": ("POST", "/v1/stream", BODY, {"accept": "application/x-ndjson"}),
    "an upload of lines": ("POST", "/v1/upload", BODY, {"content-type": "application/x-ndjson"}),
    "an upload of an array": (
        "POST",
        "/v1/upload",
        f"[{BODY}]",
        {"content-type": "application/json"},
    ),
    "an upload of a sequence": (
        "POST",
        "/v1/upload",
        f"\x1e{BODY}\n",
        {"content-type": "application/json-seq"},
    ),
    "both ways": ("POST", "/v1/bidi", BODY, {"content-type": "application/x-ndjson"}),
    "a path": ("GET", f"/v1/pairs/{LONG}/1", "", {}),
    "an enum in a path": ("GET", f"/v1/pairs/1/{LONG}", "", {}),
    "a time in a path": ("GET", f"/v1/times/{LONG}", "", {}),
    "a path that nobody has": ("GET", f"/nowhere/{LONG}", "", {}),
    "a query's name": ("GET", f"/v1/echo?{LONG[:60_000]}=1", "", {}),
    "a query's value": ("GET", f"/v1/echo?int32Field={LONG[:60_000]}", "", {}),
    "a query": ("GET", f"/v1/echo?{LONG}=1", "", {}),
    "a media type": ("POST", "/v1/echo", "{}", {"content-type": LONG[:1000]}),
    "a long media type": ("POST", "/v1/echo", "{}", {"content-type": LONG}),
    "a coding": ("POST", "/v1/echo", "{}", {"content-encoding": LONG}),
    "a timeout": ("GET", "/v1/echo", "", {"grpc-timeout": LONG}),
    "a server's timeout": ("GET", "/v1/echo", "", {"x-server-timeout": LONG}),
    "an Accept": ("GET", "/v1/echo", "", {"accept": f"application/json;int64={LONG[:900]}"}),
    "a header's name": ("GET", "/v1/echo", "", {f"grpc-metadata-{LONG}-(": "1"}),
    "a reserved header": ("GET", "/v1/echo", "", {f"grpc-metadata-grpc-{LONG}": "1"}),
    "a header's value": ("GET", "/v1/echo", "", {"grpc-metadata-x-bin": LONG + "!"}),
    "a method": (LONG, "/v1/echo", "", {}),
}


@pytest.mark.parametrize(("method", "target", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_http_repeats_little(
    app: FastAPI, method: str, target: str, body: str, headers: dict[str, str]
) -> None:
    """A megabyte that is wrong comes back as a few words, with a status that is the caller's."""
    answer = await ask(app, method, target, body.encode(), headers)

    assert 400 <= answer.status < 500
    assert size(answer) < MOST


@pytest.mark.parametrize(
    ("subprotocols", "frame"),
    [
        (OURS, BODY),
        (OURS, f'{{"enumField":"{LONG}"}}'),
        (ENVELOPE, f'{{"headers":{{"{LONG}":1}}}}'),
        (ENVELOPE, f'{{"headers":{{"grpc-metadata-{LONG}-(":"1"}}}}'),
        (ENVELOPE, f'{{"{LONG}":{{}}}}'),
        (ENVELOPE, '{"headers":{' + ",".join(f'"k{n}":1' for n in range(100_000)) + "}}"),
    ],
)
async def test_a_websocket_repeats_little(
    app: FastAPI, subprotocols: tuple[str, ...], frame: str
) -> None:
    """The same is true of a frame, in either dialect."""
    request = connect(app, "/v1/bidi", subprotocols=subprotocols)
    request.arrives("websocket.receive", text=frame)
    request.arrives("websocket.receive", text='{"half_close":{}}')
    await request.ended()

    assert size(request) < MOST


async def test_a_message_in_an_envelope_repeats_little(app: FastAPI) -> None:
    """And of a message within a frame."""
    request = connect(app, "/v1/bidi", subprotocols=ENVELOPE)
    request.arrives("websocket.receive", text='{"headers":{}}')
    request.arrives("websocket.receive", text=f'{{"message":{BODY}}}')
    await request.ended()

    assert request.sent[-1]["code"] == 4003
    assert size(request) < MOST


async def test_a_handshake_repeats_little(app: FastAPI) -> None:
    """An Origin, and subprotocols that are not spoken here, are not repeated."""
    origin = await connect(app, "/v1/bidi", {"origin": f"https://{LONG}", "host": "x"}).ended()
    spoken = await connect(app, "/v1/bidi", subprotocols=(LONG,)).ended()

    assert (origin.status, spoken.status) == (403, 400)
    assert size(origin) < MOST
    assert size(spoken) < MOST


@pytest.mark.parametrize("levels", [101, 120, 2_000])
@pytest.mark.parametrize("target", ["/v1/echo", "/v1/stream/x"])
async def test_a_query_that_nests_too_deep_is_400(
    app: FastAPI, upstream: ScriptedUpstream, target: str, levels: int
) -> None:
    """A query may name fields as deep as protobuf takes messages; what is deeper makes no call."""
    answer = await ask(app, "GET", f"{target}?{'everything.' * levels}int32Field=1")

    assert (answer.status, answer.json["code"]) == (400, 3)
    assert "nests deeper" in answer.json["message"]
    assert upstream.calls == []


def too_deep_to_print() -> bytes:
    """Returns a message whose Anys hold more levels together than a JSON text can have."""
    deep = Everything()
    for _ in range(4):
        outer = Everything()
        innermost = outer
        for _ in range(90):
            innermost = innermost.everything
        innermost.any_field.Pack(deep)
        deep = outer
    data: bytes = deep.SerializeToString()
    return data


def too_deep_to_parse() -> bytes:
    """Returns the bytes of 150 messages within one another, which no parser of protobuf takes."""
    data = b""
    for _ in range(150):
        size = len(data)
        head = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        data = b"\xea\x05" + head + data
    return data


@pytest.mark.parametrize("data", [too_deep_to_print(), too_deep_to_parse()], ids=["print", "parse"])
@pytest.mark.parametrize("target", ["/v1/echo", "/v1/stream"])
async def test_an_answer_that_nests_too_deep_is_internal(
    app: FastAPI, upstream: ScriptedUpstream, target: str, data: bytes
) -> None:
    """What upstream nests too deep for a JSON text, or for protobuf, is INTERNAL and says so."""

    async def answers(_call: ScriptedCall) -> AsyncIterator[bytes]:
        yield data

    upstream.scripts["/echo.v1.Echo/Unary"] = answers
    upstream.scripts["/echo.v1.Echo/ServerStream"] = answers
    answer = await ask(app, "POST", target, b"{}")

    assert (answer.status, answer.json["code"]) == (500, 13)
    assert "cannot be written as JSON" in answer.json["message"]
