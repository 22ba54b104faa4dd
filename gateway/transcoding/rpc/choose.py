"""Which wire of RPC a request speaks, by its content type and the version of Connect that it names.

Plain JSON without `connect-protocol-version` is none: a POST of it is REST, as with `auto_mapping`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gateway.contract.method import Method
from gateway.transcoding.rpc.connect import ConnectGet, ConnectStream, ConnectUnary
from gateway.transcoding.rpc.grpc import Grpc, GrpcWeb, GrpcWebText
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import INVALID_ARGUMENT, UNIMPLEMENTED, UNKNOWN, StatusError
from gateway.transcoding.violations import quoted

_GRPC: Final = re.compile(r"application/grpc(-web-text|-web)?(\+.*)?")
_CODECS: Final = frozenset({None, "+proto"})
_NO_SIDE_EFFECTS: Final = 1
"""`google.protobuf.MethodOptions.NO_SIDE_EFFECTS`."""
_CONNECT_QUERY: Final = re.compile(rb"(?:^|&)connect=v1(?:&|$)")
_GRPC_WIRES: Final[dict[str | None, Callable[[str, str], RpcWire]]] = {
    None: Grpc,
    "-web": GrpcWeb,
    "-web-text": GrpcWebText,
}
_READ: Final = frozenset(
    {
        *(b"connect-content-encoding", b"connect-protocol-version", b"content-encoding"),
        *(b"content-type", b"grpc-encoding"),
    }
)
_UNARY_TYPES: Final = ("application/proto", "application/json")
_STREAM_TYPES: Final = ("application/connect+proto", "application/connect+json")
_VERSIONS: Final = (None, "1")
_VERBS: Final = "an RPC is sent by POST"


class Choice(NamedTuple):
    """The wire of a request, and what is wrong with the request on it."""

    wire: RpcWire
    error: StatusError | None = None


def is_plain(content_type: str, *, names_connect: bool) -> bool:
    """Whether a POST with a body of this type is REST, though its path is that of a method."""
    media_type = _media_type(content_type)
    return not names_connect and not media_type.startswith(
        ("application/grpc", "application/connect+", "application/proto")
    )


def choose(
    http_method: str, headers: Iterable[tuple[bytes, bytes]], query: bytes, method: Method | None
) -> Choice | None:
    """Returns the wire of a request for a path of the form `/package.Service/Method`; None: it is REST.

    Args:
        http_method: as it came.
        headers: with names in lower case.
        query: as it came.
        method: that has the path; None: the contract has none.
    """
    said = {name: value.decode("latin-1") for name, value in headers if name in _READ}
    content_type = said.get(b"content-type", "")
    media_type = _media_type(content_type)
    if (grpc := _GRPC.fullmatch(media_type)) is not None:
        wire = _GRPC_WIRES[grpc[1]](content_type, said.get(b"grpc-encoding") or "identity")
        return Choice(wire, _grpc_error(http_method, grpc[2]))
    if http_method == "GET" and not media_type:
        return _choose_get(query, method)
    version = said.get(b"connect-protocol-version")
    if media_type.startswith("application/connect+"):
        encoding = said.get(b"connect-content-encoding", "")
        wire = ConnectStream(is_json=media_type.endswith("+json"), encoding=encoding)
        return Choice(wire, _connect_error(http_method, media_type, _STREAM_TYPES, version))
    if version is None and media_type != _UNARY_TYPES[0]:
        return None
    coding = said.get(b"content-encoding", "")
    wire = ConnectUnary(is_json=media_type == _UNARY_TYPES[1], content_encoding=coding)
    streams = method is not None and method.streams
    types = _STREAM_TYPES if streams else _UNARY_TYPES
    return Choice(wire, _connect_error(http_method, media_type, types, version))


def _grpc_error(http_method: str, codec: str | None) -> StatusError | None:
    if http_method != "POST":
        return StatusError.of(UNIMPLEMENTED, _VERBS)
    if codec not in _CODECS:
        return StatusError.of(UNIMPLEMENTED, f"the codec {quoted(codec or '')} is not known here")
    return None


def _connect_error(
    http_method: str, media_type: str, types: tuple[str, ...], version: str | None = None
) -> StatusError | None:
    """Returns what is wrong with the HTTP method, the content type or the version that a request names.

    The code of the first two is that of the protocol.
    """
    if http_method != "POST":
        return StatusError.of(
            UNKNOWN, _VERBS, http_status=405, headers=((b"allow", b"OPTIONS, POST"),)
        )
    if media_type not in types:
        listed = ", ".join(types)
        return StatusError.of(
            UNKNOWN,
            f"the content type {quoted(media_type)} is not taken here, but {listed}",
            http_status=415,
            headers=((b"accept-post", listed.encode()),),
        )
    if version not in _VERSIONS:
        text = f"connect-protocol-version is 1 here, not {quoted(version)}"
        return StatusError.of(INVALID_ARGUMENT, text)
    return None


def _choose_get(query: bytes, method: Method | None) -> Choice | None:
    if method is None or not _CONNECT_QUERY.search(query):
        return None
    is_safe = method.descriptor.GetOptions().idempotency_level == _NO_SIDE_EFFECTS
    wire = ConnectGet(query)
    if is_safe and not method.streams:
        return Choice(wire)
    return Choice(wire, _connect_error("GET", "", ()))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
