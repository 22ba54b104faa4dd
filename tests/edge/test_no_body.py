"""Bindings without a body: what says nothing is no body, and what says something is refused."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from gateway.testing import ScriptedUpstream
from tests.edge.asgi import ask, connect
from tests.edge.test_direct import answer

_FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("content_type", ["", "application/json", *_FORM.values(), "text/plain"])
@pytest.mark.parametrize("body", [b"{}", b" {\n} \r\n", b""])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/echo/a"), ("DELETE", "/v1/echo/a")])
async def test_an_empty_object_is_no_body(
    app: FastAPI, content_type: str, body: bytes, method: str, path: str
) -> None:
    """Many clients send one wherever they can; `curl -d` calls it a form."""
    headers = {"content-type": content_type} if content_type else {}
    found = await ask(app, method, path, body, headers)

    assert (found.status, found.json) == (200, {"stringField": "a"})


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "application/x-ndjson", "application/json"]
)
async def test_an_empty_object_is_no_body_of_a_stream(app: FastAPI, accept: str) -> None:
    """In any framing of the answer."""
    found = await ask(app, "GET", "/v1/stream/x?int32_field=1", b"{}", {"accept": accept})

    assert (found.status, b'"stringField":"x"' in found.body) == (200, True)


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"0", b'""', b"{", b"{}{}", b"{,}", b'{"a":1}', b" ", b"a=b"]
)
@pytest.mark.parametrize("path", ["/v1/echo/a", "/v1/stream/x"])
async def test_anything_else_is_refused(
    app: FastAPI, upstream: ScriptedUpstream, body: bytes, path: str
) -> None:
    """No call is made for a request of which a part would be lost."""
    found = await ask(app, "GET", path, body)

    name = "Unary" if path == "/v1/echo/a" else "ServerStream"
    text = f"the HTTP rule of echo.v1.Echo.{name} has no body: send the fields in the query"
    assert (found.status, found.json["message"]) == (400, text)
    assert upstream.calls == []


async def test_a_type_that_is_not_json_is_refused(app: FastAPI) -> None:
    """As for a method that takes a body."""
    found = await ask(app, "GET", "/v1/echo/a", b"{}", {"content-type": "application/xml"})

    assert found.status == 415


@pytest.mark.parametrize("protocol", ["grpc-json.v1", "grpc-json-envelope.v1"])
async def test_a_frame_of_an_empty_object_is_not_read(app: FastAPI, protocol: str) -> None:
    """Over WebSocket the request of such a method is its path and query, whatever frames there are."""
    socket = connect(app, "/v1/stream/x?int32Field=1", subprotocols=(protocol,))
    enveloped = "envelope" in protocol
    if enveloped:
        socket.arrives("websocket.receive", text='{"headers":{}}')
    socket.arrives("websocket.receive", text='{"message":{}}' if enveloped else "{}")
    await socket.ended()

    assert socket.sent[-1]["code"] == 1000
    assert any('"stringField":"x"' in event.get("text", "") for event in socket.sent)


@pytest.mark.parametrize(("body", "status"), [(b"{}", 200), (b"[]", 400)])
async def test_without_a_task_it_is_the_same(app: FastAPI, body: bytes, status: int) -> None:
    """Where a whole request is answered without ASGI."""
    data = b"DELETE /v1/echo/a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"

    assert (await answer(app, data % (len(body), body)))[0] == status


async def test_where_a_body_is_taken_it_is_read(app: FastAPI) -> None:
    """An empty object is a body for a method that has one: it sets the field that the body is."""
    given = await ask(app, "PATCH", "/v1/patched/x", b"{}")
    none = await ask(app, "PATCH", "/v1/patched/x", b"")

    assert given.json == {"stringField": "x", "nested": {}}
    assert none.json == {"stringField": "x"}
