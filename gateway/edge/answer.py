"""Whole answers over HTTP: a body with its status, and errors as `google.rpc.Status`."""

from __future__ import annotations

from gateway.edge.types import Send
from gateway.transcoding.endpoint import EncodedBody
from gateway.transcoding.error_body import PROBLEM_JSON, STATUS_JSON, error_headers
from gateway.transcoding.metadata import header_value
from gateway.transcoding.negotiation import prefers_problem
from gateway.transcoding.status import Headers, StatusError
from gateway.transcoding.transcoder import Transcoder, allow_header


async def send_answer(
    send: Send, body: bytes, content_type: str = "application/json", headers: Headers = ()
) -> None:
    """Sends one whole answer with 200."""
    await _send(send, 200, body, content_type, headers)


async def send_options(send: Send, methods: list[str]) -> None:
    """Sends the answer to OPTIONS: the methods that a path takes."""
    headers = [allow_header(methods)]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body"})


async def send_nothing(send: Send) -> None:
    """Sends the answer that there is nothing, nor will be."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def _send(send: Send, status: int, body: bytes, content_type: str, headers: Headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    kind = (b"content-type", header_value(content_type))
    await send(
        {"type": "http.response.start", "status": status, "headers": [kind, length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(
    send: Send, transcoder: Transcoder, error: StatusError, *, accept: str = ""
) -> None:
    """Sends an error as the JSON of its Status, or as problem details to a caller that asks for them."""
    media_type, body = error_body(transcoder, error, accept)
    await _send(send, error.http_status, body, media_type, error_headers(error))


def error_body(transcoder: Transcoder, error: StatusError, accept: str) -> EncodedBody:
    """Returns the body of an error in the form that the caller asks for."""
    if prefers_problem(accept):
        return EncodedBody(PROBLEM_JSON, transcoder.errors.problem(error))
    return EncodedBody(STATUS_JSON, transcoder.errors.status(error.status))
