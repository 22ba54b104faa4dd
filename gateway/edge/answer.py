"""Whole answers over HTTP: a body with its status, and errors as `google.rpc.Status`."""

from __future__ import annotations

from gateway.edge.types import Send
from gateway.transcoding.status import Headers, StatusError
from gateway.transcoding.transcoder import Transcoder

JSON_HEADER = (b"content-type", b"application/json")


async def send_answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Sends one whole answer in JSON."""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [JSON_HEADER, length, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(
    send: Send, transcoder: Transcoder, error: StatusError, *, head: bool = False
) -> None:
    """Sends an error as the JSON of its Status; an answer to HEAD has no body (RFC 9110, 9.3.2)."""
    if head:
        headers = [JSON_HEADER, *error.headers]
        await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
        await send({"type": "http.response.body"})
        return
    body = transcoder.encode_status(error.status)
    await send_answer(send, error.http_status, body, error.headers)
