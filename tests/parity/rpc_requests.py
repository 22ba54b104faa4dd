"""The requests of gRPC, gRPC-Web and Connect that both edges are asked: each call in each protocol."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from google.protobuf.json_format import MessageToJson

from tests.echo_server import ALL_CODES, Everything, FailRequest
from tests.parity.requests import Case

_COMPARED: Final = (
    "cache-control",
    "content-encoding",
    "etag",
    "grpc-encoding",
    "x-given",
    "x-bytes-bin",
)
_GIVEN: Final = {"x-given": "one", "x-bytes-bin": "AP8"}
_MESSAGE: Final = "schlecht: 100 % 🙈"


@dataclass(frozen=True)
class Wire:
    """One protocol in one form."""

    name: str
    unary_type: str
    stream_type: str
    http2: bool = False
    json: bool = False
    text: bool = False
    """Whether its body is base64."""

    def headers(self, *, stream: bool, timeout: int = 0) -> dict[str, str]:
        """Returns those of a call; the timeout is in milliseconds."""
        connect = self.name.startswith("connect")
        found = {"content-type": self.stream_type if stream else self.unary_type}
        if connect and not stream:
            found["connect-protocol-version"] = "1"
        if self.name == "grpc":
            found["te"] = "trailers"
        if self.name.startswith("web"):
            found["accept"] = self.unary_type
        if timeout:
            found |= (
                {"connect-timeout-ms": f"{timeout}"} if connect else {"grpc-timeout": f"{timeout}m"}
            )
        return found

    def body(self, *messages: Any, stream: bool) -> bytes:
        """Returns messages as this protocol sends them."""
        parts = [
            MessageToJson(each, indent=None).encode() if self.json else each.SerializeToString()
            for each in messages
        ]
        if self.name.startswith("connect") and not stream:
            return bytes(parts[0])
        body = b"".join(b"\0" + len(part).to_bytes(4, "big") + part for part in parts)
        return base64.b64encode(body) if self.text else body


WIRES: Final = (
    Wire("grpc", "application/grpc", "application/grpc", http2=True),
    Wire("web", "application/grpc-web+proto", "application/grpc-web+proto"),
    Wire("web-text", "application/grpc-web-text", "application/grpc-web-text", text=True),
    Wire("connect", "application/proto", "application/connect+proto"),
    Wire("connect-json", "application/json", "application/connect+json", json=True),
    Wire("connect-http2", "application/proto", "application/connect+proto", http2=True),
)


def rpc_cases() -> Iterator[Case]:
    """Yields each call in each protocol, and what only one of them has."""
    for wire in WIRES:
        yield from _calls(wire)
    yield from _only_grpc()
    yield from _only_connect()


def _calls(wire: Wire) -> Iterator[Case]:
    def case(
        name: str,
        method: str,
        *messages: Any,
        stream: bool = False,
        server: str = "echo",
        **more: Any,
    ) -> Case:
        headers = wire.headers(stream=stream, timeout=more.get("timeout", 0)) | more.get(
            "headers", {}
        )
        target = f"/{more.get('service', 'echo.v1.Echo')}/{method}"
        body = wire.body(*messages, stream=stream)
        return Case(
            *(f"{wire.name}/{name}", "POST", target, body, headers, server, _COMPARED),
            http2=wire.http2,
        )

    one, three = Everything(string_field="a"), Everything(string_field="b", int32_field=3)
    letters = [Everything(string_field=text) for text in "xyz"]
    yield case("unary", "Unary", one, headers=_GIVEN)
    yield case("server-stream", "ServerStream", three, stream=True)
    yield case("client-stream", "ClientStream", *letters, stream=True)
    yield case("bidi", "Bidi", *letters, stream=True)
    if wire.name == "connect-http2":
        return  # the rest is as over HTTP/1.1
    yield case("empty", "Unary", Everything())
    yield case("empty-stream", "ServerStream", Everything(), stream=True)
    yield case("details", "Fail", FailRequest(code=9, message=_MESSAGE, details=True))
    yield case("error-metadata", "Fail", FailRequest(code=5, message="metadata"))
    for after in (0, 2):
        failing = FailRequest(code=9, message="no", after=after, details=True)
        yield case(f"failing-stream-after-{after}", "FailStream", failing, stream=True)
    if (
        wire.name == "grpc"
    ):  # elsewhere the answer depends on whose clock is first, the server's or Envoy's
        yield case("deadline", "Hang", FailRequest(), timeout=300)
    yield case("unknown-method", "Nothing", one)
    yield case("unknown-service", "Unary", one, service="echo.v1.Nothing")
    yield case("unbound", "Unbound", one)
    yield case("down", "Unary", one, server="down")
    yield case("too-large", "Unary", Everything(string_field="x" * 2**22))


def _compressed(message: bytes) -> bytes:
    packed = gzip.compress(message)
    return b"\1" + len(packed).to_bytes(4, "big") + packed


def _only_grpc() -> Iterator[Case]:
    message = Everything(string_field="a").SerializeToString()
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    for name, headers, body in (
        ("with-subtype", {"content-type": "application/grpc+proto"}, frame),
        ("with-json", {"content-type": "application/grpc+json"}, frame),
        ("gzip", {"grpc-encoding": "gzip"}, _compressed(message)),
        ("no-frame", {"grpc-timeout": "500m"}, b""),
        ("two-frames", {}, frame * 2),
        ("half-a-frame", {"grpc-timeout": "500m"}, frame[:-1]),
        ("no-message", {}, b"\0\0\0\0\1\xff"),
        ("wrong-timeout", {"grpc-timeout": "soon"}, frame),
    ):
        given = {"content-type": "application/grpc", "te": "trailers"} | headers
        target = "/echo.v1.Echo/Unary"
        yield Case(f"grpc/{name}", "POST", target, body, given, "echo", _COMPARED, http2=True)
    headers = {"content-type": "application/grpc"}
    yield Case("grpc/over-http-1", "POST", "/echo.v1.Echo/Unary", frame, headers, "echo", _COMPARED)


def _only_connect() -> Iterator[Case]:
    connect = next(wire for wire in WIRES if wire.name == "connect")
    for code in (code for code in ALL_CODES if code not in (5, 9)):
        body = FailRequest(code=code, message="no").SerializeToString()
        given = connect.headers(stream=False)
        yield Case(
            f"connect/code-{code}", "POST", "/echo.v1.Echo/Fail", body, given, "echo", _COMPARED
        )
    message = Everything(string_field="a").SerializeToString()
    proto = {"content-type": "application/proto"}
    version = {"connect-protocol-version": "1"}
    json = {"content-type": "application/json"} | version
    path = "/echo.v1.Echo/Unary"

    def case(
        name: str, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> Case:
        return Case(f"connect/{name}", method, target, body, headers, "echo", _COMPARED)

    yield case("without-version", "POST", path, message, proto)
    yield case("other-version", "POST", path, message, proto | {"connect-protocol-version": "2"})
    yield case("no-message", "POST", path, b"\xff", proto | version)
    yield case("wrong-json", "POST", path, b'{"nothing":1}', json)
    yield case("no-json", "POST", path, b"{", json)
    yield case(
        "gzip", "POST", path, gzip.compress(message), proto | version | {"content-encoding": "gzip"}
    )
    yield case(
        "wrong-timeout", "POST", path, message, proto | version | {"connect-timeout-ms": "soon"}
    )
    query = base64.urlsafe_b64encode(message).decode().rstrip("=")
    yield case("get", "GET", f"{path}?connect=v1&encoding=proto&base64=1&message={query}", None, {})
    text = quote('{"stringField":"a"}')
    yield case("get-json", "GET", f"{path}?connect=v1&encoding=json&message={text}", None, {})
    bound = "/echo.v1.Echo/ServerStream"
    yield case(
        "get-of-a-stream", "GET", f"{bound}?connect=v1&encoding=json&message={text}", None, {}
    )
