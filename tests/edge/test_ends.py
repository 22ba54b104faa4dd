"""Every framing with every kind of end, in the bytes that docs/reference/wires.md promises.

What a cut looks like on a connection stands in tests/whole/test_cuts.py; here the body has not ended.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest
from fastapi import FastAPI

from gateway.testing import ScriptedUpstream
from tests.edge.asgi import ask, start
from tests.edge.conftest import STREAM_ID

NDJSON, SSE, ARRAY = "application/x-ndjson", "text/event-stream", "application/json"
SEQ = "application/json-seq"
STATUS: Final = b'{"code":9,"message":"no"}'
AS_ANY: Final = b'{"@type":"type.googleapis.com/google.rpc.Status","code":9,"message":"no"}'
ONE: Final = b'{"int32Field":1}'
ID: Final = STREAM_ID.encode()
N: Final = 3


class Bytes(NamedTuple):
    """What a framing writes."""

    start: bytes
    messages: list[bytes]
    """Of each number of messages."""
    clean: list[bytes]
    """The clean end after so many messages."""
    error: list[bytes]
    """The error after so many messages; after none, the answer is no stream."""


def _repeated(frame: bytes) -> list[bytes]:
    return [
        b"".join(frame.replace(b"%", b"%d" % (number + 1)) for number in range(count))
        for count in range(N + 1)
    ]


FRAMINGS: Final = {
    NDJSON: Bytes(
        b"",
        _repeated(b'{"int32Field":%}\n'),
        [b""] * (N + 1),
        [b"", *[AS_ANY + b"\n"] * N],
    ),
    SEQ: Bytes(
        b"",
        _repeated(b'\x1e{"int32Field":%}\n'),
        [b""] * (N + 1),
        [b"", *[b"\x1e" + AS_ANY + b"\n"] * N],
    ),
    ARRAY: Bytes(
        b"",
        [b"", *[b"[" + frames[1:] for frames in _repeated(b',{"int32Field":%}')[1:]]],
        [b"[]", *[b"]"] * N],
        [b"", *[b"," + AS_ANY + b"]"] * N],
    ),
    SSE: Bytes(
        b"retry: 2000\n\n",
        _repeated(b"id: " + ID + b'-%\ndata: {"int32Field":%}\n\n'),
        [b"id: end\nevent: end\ndata: {}\n\n"] * (N + 1),
        [b"", *[b"id: end\nevent: error\ndata: " + STATUS + b"\n\n"] * N],
    ),
}


@pytest.mark.parametrize("media_type", FRAMINGS)
@pytest.mark.parametrize("after", [0, 1, N])
async def test_a_clean_end(app: FastAPI, media_type: str, after: int) -> None:
    """The messages, the clean end of the framing, and the end of the HTTP message."""
    target = f"/v1/fail-stream/0?after={after}"
    answer = await ask(app, "GET", target, headers={"accept": media_type})

    framing = FRAMINGS[media_type]
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert answer.body == framing.start + framing.messages[after] + framing.clean[after]
    assert answer.complete


@pytest.mark.parametrize("media_type", FRAMINGS)
@pytest.mark.parametrize("after", [1, N])
async def test_an_error_after_messages(app: FastAPI, media_type: str, after: int) -> None:
    """The messages, the whole Status in the framing's own way, and the end of the HTTP message."""
    target = f"/v1/fail-stream/9?after={after}&message=no"
    answer = await ask(app, "GET", target, headers={"accept": media_type})

    framing = FRAMINGS[media_type]
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert answer.body == framing.start + framing.messages[after] + framing.error[after]
    assert answer.complete


@pytest.mark.parametrize("media_type", FRAMINGS)
async def test_an_error_before_the_first_message(app: FastAPI, media_type: str) -> None:
    """The HTTP status of the code, and the Status alone: nothing is promised with 200 before."""
    target = "/v1/fail-stream/9?message=no"
    answer = await ask(app, "GET", target, headers={"accept": media_type})

    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.body == STATUS


@pytest.mark.parametrize("media_type", FRAMINGS)
async def test_a_cut(app: FastAPI, media_type: str) -> None:
    """Without an end the body is what has come so far, and nothing that looks like an end."""
    request = start(app, "GET", "/v1/hang-stream", headers={"accept": media_type})
    await request.until_sent(2)
    request.arrives("http.disconnect")
    await request.ended()

    framing = FRAMINGS[media_type]
    first = framing.messages[1].replace(ONE, b'{"stringField":"first"}')
    assert request.body == framing.start + first
    assert not request.complete


@pytest.mark.parametrize(
    ("code", "status", "body"), [(0, 200, b"{}"), (9, 400, STATUS)], ids=["clean", "error"]
)
async def test_the_ends_of_a_unary_call(
    app: FastAPI, code: int, status: int, body: bytes, upstream: ScriptedUpstream
) -> None:
    """One message with 200, or the Status with the HTTP status of its code."""
    if code == 0:
        upstream.scripts["/echo.v1.Echo/Fail"] = upstream.scripts["/echo.v1.Echo/Unary"]
    target = f"/v1/fail/{code}" + ("?message=no" if code else "")
    answer = await ask(app, "GET", target)

    assert (answer.status, answer.body, answer.complete) == (status, body, True)
