"""JSON of many values holds nobody else up, on every wire that takes it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fastapi import FastAPI

from gateway.transcoding.codec import MAX_INLINE_VALUES, is_long
from tests.edge.asgi import Request, connect, start
from tests.edge.test_direct import answer
from tests.rpc.wire_client import framed

VALUES = 16 * MAX_INLINE_VALUES
LONG = {
    "a list": b'{"listValueField":[%b0]}' % (b"0," * VALUES),
    "a struct": b'{"structField":{%b}}'
    % b",".join(b'"k%d":{"a":[1]}' % number for number in range(VALUES // 2)),
    "numbers": b'{"int32List":[%b0]}' % (b"0," * VALUES),
}
ENOUGH = 20
WRONG = b'{"listValueField":[%b0],"nonsense":1}' % (b"0," * VALUES)


def decoding_threads() -> set[threading.Thread]:
    """Returns the threads that decode, of all edges of this process."""
    return {each for each in threading.enumerate() if each.name.startswith("decoding")}


async def turns_until(request: Request) -> int:
    """Waits until a request is answered; returns the turns of the loop before that, `ENOUGH` at most.

    None of these is waited for. More would only take the time of the thread that decodes.
    """
    turns = 0
    while not request.task.done() and turns < ENOUGH:
        turns += 1
        await asyncio.sleep(0)
    await asyncio.wait([request.task])
    return turns


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/v1/echo", "application/json"),
        ("/v1/stream", "application/json"),
        ("/v1/upload", "application/x-ndjson"),
        ("/v1/bidi", "application/x-ndjson"),
    ],
)
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
async def test_others_have_their_turns_meanwhile(
    app: FastAPI, target: str, kind: str, body: bytes
) -> None:
    """However many values a message has, the loop goes on while they are decoded."""
    request = start(app, "POST", target, body + b"\n", {"content-type": kind})
    turns = await turns_until(request)

    assert request.status == 200
    assert turns == ENOUGH


@pytest.mark.parametrize("kind", ["application/json", "application/connect+json"])
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
async def test_others_have_their_turns_beside_a_call_of_connect(
    app: FastAPI, kind: str, body: bytes
) -> None:
    """The same of the JSON of an RPC."""
    method, data = "Unary", body
    if kind != "application/json":
        method, data = "ServerStream", framed(body)
    headers = {"content-type": kind, "connect-protocol-version": "1"}
    request = start(app, "POST", f"/echo.v1.Echo/{method}", data, headers)
    turns = await turns_until(request)

    assert request.status == 200
    assert turns == ENOUGH


async def test_others_have_their_turns_beside_a_websocket(app: FastAPI) -> None:
    """The same of a frame."""
    request = connect(app, "/v1/bidi", subprotocols=("grpc-json.v1",))
    request.arrives("websocket.receive", text=LONG["a list"].decode())
    request.arrives("websocket.receive", text="")

    assert await turns_until(request) == ENOUGH


async def test_what_is_wrong_with_it_is_told(app: FastAPI) -> None:
    """A fault that is found in the thread is answered as any other."""
    request = start(app, "POST", "/v1/echo", WRONG)
    await turns_until(request)

    assert request.status == 400
    assert b"nonsense" in request.body


async def test_one_text_is_decoded_at_a_time(app: FastAPI) -> None:
    """Many at once take turns in one thread: more would only take the loop's time."""
    before = decoding_threads()
    requests = [start(app, "POST", "/v1/echo", LONG["a list"]) for _ in range(3)]
    for request in requests:
        await turns_until(request)

    assert [request.status for request in requests] == [200] * 3
    assert len(decoding_threads() - before) == 1  # those of other edges may end meanwhile


async def test_it_is_decoded_in_the_thread_on_the_direct_path_too(app: FastAPI) -> None:
    """There a request gets a task when it has to wait."""
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    body = b'{"listValueField":[%b0]}' % (b"0," * (MAX_INLINE_VALUES + 1))
    status, _, answered = await answer(app, head % len(body) + body)

    assert (status, len(answered["listValueField"])) == (200, MAX_INLINE_VALUES + 2)
    assert decoding_threads()


async def test_so_is_that_of_connect(app: FastAPI) -> None:
    """A call of Connect is decoded in the thread too."""
    head = (
        b"POST /echo.v1.Echo/Unary HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"connect-protocol-version: 1\r\ncontent-length: %d\r\n\r\n"
    )
    body = b'{"listValueField":[%b0]}' % (b"0," * (MAX_INLINE_VALUES + 1))
    before = decoding_threads()
    status, _, answered = await answer(app, head % len(body) + body)

    assert (status, len(answered["listValueField"])) == (200, MAX_INLINE_VALUES + 2)
    assert decoding_threads() - before


def test_what_is_long() -> None:
    """Many values are; few are not, whatever they weigh."""
    assert is_long(b"0," * (MAX_INLINE_VALUES + 1))
    assert not is_long(b"0," * MAX_INLINE_VALUES)
    assert not is_long(b'"%b"' % (b"x" * 4_000_000))
