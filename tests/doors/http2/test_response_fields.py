"""Heads of whole responses, of which the most is looked up."""

from __future__ import annotations

import hpack
import pytest

from gateway.doors.http2.direct import response_fields
from gateway.exchange.response import HttpResponse
from gateway.transcoding.metadata import Headers
from gateway.transcoding.rpc.grpc import Grpc
from grpc_wire.call.status import OK_TRAILERS
from grpc_wire.headers.encoder import HeaderEncoder

_DATE = (b"date", b"Sat, 31 Oct 2026 10:00:00 GMT")
_LATER = (b"date", b"Sat, 31 Oct 2026 10:00:01 GMT")
_OWN_ID = "0123456789abcdef" * 2


class Client:
    """What reads the heads of one connection."""

    def __init__(self) -> None:
        self._encoder = HeaderEncoder()
        self._decoder = hpack.Decoder()

    def read(self, response: HttpResponse, defaults: list[tuple[bytes, bytes]]) -> Headers:
        """Returns the head of a response as it arrives."""
        prefix, fields, literals = response_fields(response, defaults)
        block = self._encoder.encode(fields, prefix, literals)
        return tuple((bytes(k), bytes(v)) for k, v in self._decoder.decode(block, raw=True))


def _rest(content_type: bytes, status: bytes, date: tuple[bytes, bytes], size: bytes) -> Headers:
    return (
        (b":status", status),
        (b"content-type", content_type),
        (b"x-content-type-options", b"nosniff"),
        date,
        (b"content-length", size),
        (b"x-request-id", _OWN_ID.encode()),
    )


def test_what_changes_between_two_responses_is_seen() -> None:
    """The server's headers are other ones each second; status, type and length are the response's own."""
    client, now, later = Client(), [_DATE], [_LATER]
    json, text = "application/json", "text/plain"
    asked: list[tuple[int, bytes, str, list[tuple[bytes, bytes]]]] = [
        *((200, b"{}", json, now), (200, b"{ }", json, now), (200, b"{}", json, later)),
        *((404, b"{}", json, later), (200, b"{}", json, later), (200, b"{}", text, later)),
    ]
    found = [
        client.read(HttpResponse(status, body, media_type, request_id=_OWN_ID), defaults)
        for status, body, media_type, defaults in asked
    ]

    assert found == [
        _rest(media_type.encode(), b"%d" % status, defaults[0], b"%d" % len(body))
        for status, body, media_type, defaults in asked
    ]


def test_the_head_of_grpc_beside_another_of_its_type() -> None:
    """A call that went well has no length; one that failed has its end in the head."""
    client, now = Client(), [_DATE]
    name = "application/grpc"
    head = Grpc(name, "identity").head(())
    well = HttpResponse(200, b"\0\0\0\0\0", name, head, _OWN_ID, OK_TRAILERS)
    failed = HttpResponse(200, b"", name, (*head, (b"grpc-status", b"5")), _OWN_ID)
    first, second, third = [client.read(each, now) for each in (well, failed, well)]

    assert first == (
        (b":status", b"200"),
        (b"content-type", name.encode()),
        (b"x-content-type-options", b"nosniff"),
        *head,
        _DATE,
        (b"x-request-id", _OWN_ID.encode()),
    )
    assert dict(second)[b"grpc-status"] == b"5"
    assert third == first


def test_the_headers_of_policies_and_metadata() -> None:
    """They stand behind what all responses of a type begin with, without blanks around their values."""
    plain, headers = (
        ((b"vary", b"origin"), (b"x-empty", b"")),
        ((b"x-a", b" a\t"), (b"vary", b"origin")),
    )
    client = Client()
    for given in (plain, headers, (), headers):
        response = HttpResponse(200, b"{}", "application/json", given, _OWN_ID)
        whole = _rest(b"application/json", b"200", _DATE, b"2")
        expected = tuple((name, value.strip()) for name, value in given)
        assert client.read(response, [_DATE]) == (*whole[:3], *expected, *whole[3:])


@pytest.mark.parametrize("request_id", ["a", "abc-1", "x" * 31, "x" * 33, "x" * 127, "x" * 200])
def test_the_id_of_a_caller(request_id: str) -> None:
    """It may have another length than the edge's own."""
    response = HttpResponse(200, b"{}", "application/json", request_id=request_id)

    assert dict(Client().read(response, [_DATE]))[b"x-request-id"] == request_id.encode()
