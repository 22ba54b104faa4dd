"""What HTTP itself says of a request's head (RFC 9110, RFC 9112): pure functions; header names in lower case.

What httptools decides, such as the length of a body, is not decided here a second time: two readers of one
head that disagree are how requests are smuggled (RFC 9112, section 11.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import httptools

from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers, Request
from gateway.transcoding.host import is_host

_VERSIONS: Final = ("1.1", "1.0")
_HASH: Final = ord("#")
_CACHED_HOSTS: Final = 64
"""Maximum entries: a server has few names; whoever asks by others only makes the cache useless."""
_is_host: Final = lru_cache(maxsize=_CACHED_HOSTS)(is_host)


def make_request(
    method: str, target: bytes, version: str, headers: Headers, max_headers: int
) -> Request:
    """Makes a request of its head.

    Raises:
        Rejection: HTTP forbids such a head, or it is more than the limits allow.
    """
    if version not in _VERSIONS:
        raise Rejection(505, "the version of HTTP is neither 1.0 nor 1.1")
    if len(headers) > max_headers:
        raise Rejection(431, f"the request has more than {max_headers} headers")
    path, query, authority = split_target(method, target)
    request = Request(method, path, query, version, headers)
    fields = dict(headers)
    if len(fields) != len(headers) or b"transfer-encoding" in fields:
        _check_repeated(request, headers)
    if (length := fields.get(b"content-length")) is not None:
        request.length = int(length)  # httptools has found it to be one number
    if b"expect" in fields:
        expected = fields[b"expect"].lower()
        request.expects_continue = version == "1.1" and expected == b"100-continue"
    host = fields.get(b"host")
    if host is None:
        if version == "1.1":
            raise Rejection(400, "the request has no Host")
    elif not _is_host(host):
        raise Rejection(400, "the Host is none")
    if authority is not None:
        # the target's authority wins over the header (RFC 9112, 3.2.2)
        request.headers = [(b"host", authority), *(pair for pair in headers if pair[0] != b"host")]
    return request


def split_target(method: str, target: bytes) -> tuple[str, bytes, bytes | None]:
    """Returns path and query of a request's target, and the authority of one in absolute form.

    Raises:
        Rejection: it is in no form that the method takes (RFC 9112, 3.2).
    """
    if target.startswith(b"/") and _HASH not in target:
        path, _, query = target.partition(b"?")
        return _ascii(path), query, None
    if target == b"*":
        if method != "OPTIONS":
            raise Rejection(400, "only OPTIONS has the target *")
        return "*", b"", None
    try:
        url: Any = httptools.parse_url(target)  # its types say that no part is ever None
    except httptools.HttpParserInvalidURLError:
        raise Rejection(400, "the target of the request is no URL") from None
    authority = None
    if url.host is not None:
        authority = url.host if b":" not in url.host else b"[%b]" % url.host
        if url.port is not None:
            authority += b":%d" % url.port
    return _ascii(url.path or b"/"), url.query or b"", authority


def _ascii(path: bytes) -> str:
    try:
        return path.decode("ascii")
    except UnicodeDecodeError:
        raise Rejection(400, "the path has bytes that are not percent-encoded") from None


def _check_repeated(request: Request, headers: Headers) -> None:
    """Refuses two `Host` (RFC 9112, 3.2), and each transfer coding but `chunked`.

    Raises:
        Rejection: 501, a coding that is not known here; 400, the length of the body is not clear, or the
            host is not.
    """
    if sum(name == b"host" for name, _ in headers) > 1:
        raise Rejection(400, "the request has more than one Host")
    values = [value for name, value in headers if name == b"transfer-encoding"]
    if not values:
        return
    codings = [coding.strip().lower() for value in values for coding in value.split(b",")]
    if request.version != "1.1" or codings.count(b"chunked") != 1 or codings[-1] != b"chunked":
        raise Rejection(400, "the transfer coding leaves the length of the body unclear")
    if len(codings) > 1:
        raise Rejection(501, "the only transfer coding that is known here is chunked")
    request.length = None


def is_websocket_handshake(
    method: str, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bool:
    """Returns whether a request that asks for an upgrade is a handshake of RFC 6455, section 4.2.1.

    That is a GET over HTTP/1.1 which lists `websocket` among its protocols and has no content. HTTP/1.0 has
    no upgrades, and a request with content is not a handshake.

    Args:
        method: of the request.
        version: of HTTP, as `1.1`.
        headers: all of the request.
    """
    if method != "GET" or version != "1.1":
        return False
    protocols: list[bytes] = []
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return False
        if name == b"upgrade":
            protocols += (token.strip().lower() for token in value.split(b","))
    return b"websocket" in protocols


def head_without_upgrade(
    method: str, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Returns the head of the same request without its `Upgrade` headers, as it travels."""
    lines = [b"%b %b HTTP/%b" % (method.encode(), target, version.encode())]
    lines += (b"%b: %b" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((*lines, b"", b""))


def subprotocols(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Returns the subprotocols that a WebSocket handshake offers, in order."""
    offered = (value for name, value in headers if name == b"sec-websocket-protocol")
    return [name.strip() for value in offered for name in value.decode("latin-1").split(",")]
