"""A request's head as the fields of HTTP/2, and what it says as HTTP/1.1 would say it: pure functions.

What makes a request malformed (RFC 9113, 8.1.1) has been found by `grpc_wire.headers`, and its stream reset.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers as ListOfHeaders
from gateway.doors.http.request import Request
from gateway.doors.http.request_head import split_target
from gateway.transcoding.host import is_host
from grpc_wire.headers.section import Headers

VERSION: Final = "2"
_CONNECT: Final = "CONNECT"
_COLON: Final = ord(":")
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""An HTTP method (RFC 9110, 5.6.2 and 9.1)."""
_VISIBLE: Final = re.compile(rb"[!-~]+")
"""What a target consists of; HTTP/1.1 could not carry another (RFC 9113, 10.3)."""


def make_request(fields: Headers, max_headers: int) -> tuple[Request, bytes]:
    """Makes a request of its fields; returns it and the `:protocol` of an extended CONNECT (RFC 8441).

    Its method is then GET, as that of a WebSocket handshake over HTTP/1.1 is.

    Raises:
        Rejection: HTTP forbids such a head, or it is more than the limits allow.
    """
    headers = edge_headers(fields)
    if len(headers) > max_headers:
        raise Rejection(431, f"the request has more than {max_headers} headers")
    pseudo = dict(fields[:5])
    named, target = pseudo[b":method"], pseudo[b":path"]
    if not _TOKEN.fullmatch(named):
        raise Rejection(400, "the :method is none")
    if not _VISIBLE.fullmatch(target):
        raise Rejection(400, "the :path has bytes that are not percent-encoded")
    method, protocol = named.decode("ascii"), pseudo.get(b":protocol", b"")
    path, query, authority = split_target(method, target)
    if authority is not None:
        raise Rejection(400, "the :path is none")
    request = Request("GET" if protocol else method, path, query, VERSION, headers)
    request.length = None
    values = dict(headers)
    if (length := values.get(b"content-length")) is not None:
        request.length = int(length)
    host = values.get(b"host")
    if host is None:
        raise Rejection(400, "the request has no :authority")
    if not is_host(host):
        raise Rejection(400, "the :authority is none")
    request.expects_continue = values.get(b"expect", b"").lower() == b"100-continue"
    return request, protocol


def edge_headers(fields: Headers) -> ListOfHeaders:
    """Returns the headers that HTTP/1.1 would have: `host` for `:authority`, and one `cookie`.

    Source: RFC 9113, sections 8.2.3 (crumbs of cookies) and 8.3.1 (`:authority`).
    """
    headers: ListOfHeaders = []
    crumbs: list[bytes] = []
    host = b""
    for name, value in fields:
        if name[0] == _COLON:
            if name == b":authority":
                host = value
                headers.append((b"host", value))
        elif name == b"cookie":
            crumbs.append(value)
        elif name != b"host" or not host:
            headers.append((name, value))
    if crumbs:
        headers.append((b"cookie", b"; ".join(crumbs)))
    return headers
