"""What an authorizer is told of a request, and what it says of it.

Rule: what an authorizer says is checked here before any of it reaches a client or the upstream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.admission.identity import Identity
from gateway.exchange.policy import Answer
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.metadata import (
    Headers,
    Metadata,
    checked_key,
    metadata_value,
)
from gateway.transcoding.status import HTTP_STATUS, PERMISSION_DENIED, UNKNOWN, StatusError

MAX_ANSWER: Final = 256 * 1024
"""Maximum bytes of an authorizer's answer."""
_FORBIDDEN: Final = 403
_CODES: Final = {status: code for code, status in sorted(HTTP_STATUS.items(), reverse=True)}
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OF_THE_EDGE: Final = frozenset(
    {
        *("connection", "content-length", "date", "keep-alive", "server", "te", "trailer"),
        *("transfer-encoding", "upgrade", "proxy-connection", "x-request-id"),
    }
)
"""Headers of a response that only the edge sets."""


class AuthorizerError(Exception):
    """The authorizer gives no decision: it is down, late, or its answer is none. The text says why."""


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """What an authorizer is told."""

    http_method: str
    path: str
    """With the query, percent-encoded as it came."""
    host: str
    scheme: str
    client: str
    """IP address; empty: unknown."""
    headers: Mapping[str, str]
    """Those that the settings list, by their lower-case names."""
    request_id: str
    rpc: str
    """Full name of the method; empty: the request is not the contract's."""
    principal: str
    """Name of the verified identity; empty: there is none."""


def checked_request(request: RequestInfo, names: frozenset[bytes]) -> CheckedRequest:
    """Returns what an authorizer is told of a request.

    Args:
        request: the request.
        names: lower-case names of the headers that it may see.
    """
    headers: dict[str, str] = {}
    for name, value in request.headers:
        if name in names:
            key, text = name.decode("ascii"), value.decode("utf-8", "replace")
            between = "; " if key == "cookie" else ", "
            headers[key] = f"{headers[key]}{between}{text}" if key in headers else text
    query = request.query.decode("latin-1")
    identity = request.identity
    return CheckedRequest(
        request.http_method,
        f"{request.path}?{query}" if query else request.path,
        request.host,
        request.scheme,
        request.client,
        headers,
        request.request_id,
        "" if request.method is None else request.method.full_name,
        identity.name if isinstance(identity, Identity) else "",
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an authorizer has decided about a request."""

    allowed: bool
    metadata: Metadata = ()
    """Go upstream, in place of what the client sent under their keys."""
    removed: frozenset[str] = frozenset()
    """Keys of metadata that do not go upstream."""
    response_headers: Headers = ()
    """Go to the client; of a refusal they are those of the response."""
    http_status: int = _FORBIDDEN
    """Of a refusal."""
    body: bytes = b""
    """Of a refusal; empty: the error that the edge makes."""
    content_type: str = "text/plain; charset=utf-8"

    def apply(self, request: RequestInfo) -> None:
        """Lets a request pass, or refuses it.

        Raises:
            StatusError: it is refused, with the edge's own body.
            Answer: it is refused, with the authorizer's body, or sent elsewhere.
        """
        if self.allowed:
            withhold(request, self.removed.union(key for key, _ in self.metadata))
            request.metadata += self.metadata
            request.removed_metadata |= self.removed
            request.response_headers += self.response_headers
            return
        status, headers = self.http_status, self.response_headers
        if self.body or status < 400:
            raise Answer(status, headers, self.body, self.content_type if self.body else "")
        code = _CODES.get(status, PERMISSION_DENIED if status < 500 else UNKNOWN)
        text = "the authorizer refuses the request"
        raise StatusError.of(code, text, http_status=status, headers=headers)


def withhold(request: RequestInfo, keys: frozenset[str]) -> None:
    """Takes lower-case keys out of the metadata that other policies, and tickets, have added to a request."""
    if keys and request.metadata:
        request.metadata[:] = [pair for pair in request.metadata if pair[0].lower() not in keys]


def metadata_of(pairs: Iterable[tuple[str, bytes]]) -> Metadata:
    """Returns headers that go upstream as metadata.

    Raises:
        AuthorizerError: gRPC does not allow one of them.
    """
    try:
        return tuple(
            (key := checked_key(name.lower()), metadata_value(key, value)) for name, value in pairs
        )
    except ValueError as error:
        raise AuthorizerError(f"it names metadata that gRPC does not allow: {error}") from None


def response_headers_of(pairs: Iterable[tuple[str, bytes]]) -> Headers:
    """Returns headers for the client, without those that only the edge sets.

    Raises:
        AuthorizerError: one of them is no header.
    """
    found: list[tuple[bytes, bytes]] = []
    for name, value in pairs:
        key = name.lower()
        if not _NAME.fullmatch(key) or not _VALUE.fullmatch(value):
            raise AuthorizerError("its answer has a header that HTTP does not allow")
        if key not in _OF_THE_EDGE:
            found.append((key.encode(), value))
    return tuple(found)


def refusal(http_status: int, headers: Headers, body: bytes) -> Verdict:
    """Returns the verdict of a refusal; its `content-type` is among the headers.

    Raises:
        AuthorizerError: it is no status of a response.
    """
    if not 200 <= http_status <= 599:
        raise AuthorizerError(f"it refuses with {http_status}, which is no status of a response")
    types = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
    others = tuple(pair for pair in headers if pair[0] != b"content-type")
    found = Verdict(allowed=False, response_headers=others, http_status=http_status, body=body)
    if not types:
        return found
    return Verdict(
        allowed=False,
        response_headers=others,
        http_status=http_status,
        body=body,
        content_type=types[0],
    )
