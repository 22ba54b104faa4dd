"""Strategies for requests: paths, queries and headers made from a contract, and then bent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.status_pb2 import Status
from hypothesis import strategies as st

from gateway.contract.http_rule import Binding
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD
from gateway.transcoding.metadata import Metadata
from tests.fuzz.messages import bodies, hostile_texts, uploads, weighted

Headers = list[tuple[bytes, bytes]]

HTTP_METHODS = (
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "REPORT",
    "TRACE",
    "get",
)
OWN_PATHS = (b"/", b"", b"*", b"//", b"/v1", b"/v1/", b"/healthz", b"/docs", b"/openapi.json")


@dataclass(frozen=True)
class HttpRequest:
    """One request as a server hands it to the application."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    chunks: list[bytes]
    leaves: bool
    """Whether the client goes away before its body has ended."""


@dataclass(frozen=True)
class WebSocketSession:
    """One handshake, the frames after it, and how the client ends."""

    path: bytes
    query: bytes
    headers: Headers
    subprotocols: list[str]
    frames: list[str | bytes]
    half_closes: bool
    """Whether the client ends with a half-close; else it just leaves."""
    can_refuse_in_json: bool


@dataclass(frozen=True)
class UpstreamAnswer:
    """What a server answers that follows no contract, or none that is known here."""

    path: bytes
    """The target of the request that it answers."""
    messages: list[bytes]
    initial: Metadata
    trailing: Metadata
    status: Status | None
    """How the call ends, other than with OK."""


_values = st.one_of(
    st.sampled_from(
        [
            *("", "1", "-1", "0", "true", "NaN", "1e400", "9" * 30, "9" * 5000, "a" * 3000, "1.5"),
            *("COLOR_RED", "YQ==", "!!!", "2026-11-22T08:00:00Z", "1.5s", "a.b,cD", '{"a":1}', "["),
            *(
                "null",
                "+",
                "%",
                "\x00",
                "é",
                "\U0001f600",
                "shelves",
                "shelves/1",
                "..",
                ".",
                "a:b",
            ),
            *("[" * 2000, "[" * 50 + "]" * 50, '{"a":' * 60 + "1" + "}" * 60),
        ]
    ),
    st.text(max_size=12),
    st.integers().map(str),
)
_raw = st.sampled_from(
    [b"%", b"%zz", b"%FF", b"%C3", b"%2F", b"%2f%2F", b"%00", b"\xff", b"%ED%A0%80"]
)
_encoded = _values.map(lambda text: quote(text.encode("utf-8", "replace"), safe="").encode())
_texts = weighted((4, _encoded), (1, _raw), (1, st.tuples(_encoded, _raw).map(b"".join)))
_plain = st.sampled_from(
    [b"1", b"7", b"x", b"COLOR_RED", b"2026-11-22T08:00:00Z", b"a%20b", b"%C3%A9"]
)
_segments = weighted((1, _texts), (5, _plain))


@st.composite
def paths(draw: st.DrawFn, binding: Binding) -> bytes:
    """Draws a path that the template of a binding matches, as a rule."""
    segments: list[bytes] = []
    for segment in binding.template.segments:
        if segment == WILDCARD:
            segments.append(draw(_segments))
        elif segment == DEEP_WILDCARD:
            segments += draw(st.lists(_segments, max_size=3))
        else:
            segments.append(segment.encode())
    verb = f":{binding.template.verb}".encode() if binding.template.verb else b""
    return _bent(draw, b"/" + b"/".join(segments) + verb)


def _bent(draw: st.DrawFn, path: bytes) -> bytes:
    bend = draw(st.sampled_from(range(60)))  # integers() is fond of small ones
    at = draw(st.integers(0, len(path))) if bend < 4 else 0
    match bend:
        case 0:
            return path[:at] + draw(_raw) + path[at:]
        case 1:
            return path[:at] + b"/" + path[at:]
        case 2:
            return path[:at]
        case 3:
            return path[:at] + b":" + path[at:]
        case 4:
            return draw(st.sampled_from(OWN_PATHS))
        case 5:
            return path + b"/" * 2000
        case _:
            return path


def _field_names(descriptor: Descriptor, depth: int = 3) -> list[str]:
    names: list[str] = []
    for field in descriptor.fields:
        names += [field.name, field.json_name, f"{field.json_name}[1]", f"{field.name}[x]"]
        if depth and field.message_type is not None and field.message_type != descriptor:
            below = _field_names(field.message_type, depth - 1)
            names += [f"{field.name}.{name}" for name in below]
    return names


def _parameters(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    known = st.sampled_from(_field_names(descriptor) or ["x"])
    bent = st.tuples(
        known, st.sampled_from([".", "[", "]", "[]", "..a", ".x", "x", "[1][2]", ".[a]"])
    )
    names = weighted((4, known), (1, bent.map("".join)), (1, st.text(max_size=6))).map(
        lambda name: quote(name.encode("utf-8", "replace"), safe="[].").encode()
    )
    pair = st.tuples(names, _texts).map(lambda pair: pair[0] + b"=" + pair[1])
    right = st.sampled_from(_right_parameters(descriptor) or [b""])
    return weighted((32, right), (6, pair), (1, names), (1, _raw))


def _right_parameters(descriptor: Descriptor) -> list[bytes]:
    """Returns parameters of which each is right, where it stands alone."""
    texts = {
        FieldDescriptor.CPPTYPE_BOOL: "true",
        FieldDescriptor.CPPTYPE_ENUM: "1",
        FieldDescriptor.CPPTYPE_STRING: "YQ==",
    }
    scalars = [field for field in descriptor.fields if field.message_type is None]
    return [f"{f.name}={texts.get(f.cpp_type, '3')}".encode() for f in scalars]


def queries(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Returns queries of a message type; many have none, few have hundreds of parameters."""
    parameters = _parameters(descriptor)
    some = st.lists(parameters, max_size=4).map(b"&".join)
    many = st.tuples(parameters, st.integers(1, 400)).map(
        lambda drawn: b"&".join([drawn[0]] * drawn[1])
    )
    return weighted((10, st.just(b"")), (9, some), (1, many))


_header_values: dict[bytes, list[bytes]] = {
    b"accept": [
        *(b"application/json", b"application/x-ndjson", b"text/event-stream", b"text/html", b"*/*"),
        *(
            b"application/problem+json",
            b"application/json;q=0",
            b"a/b;q=2, */*;q=0.1",
            b",,;;==",
            b"*",
        ),
        *(
            b"application/json; int64=number",
            b"application/json; enums=oops",
            b"application/json;q=",
        ),
        b"application/json; names=proto; defaults=all",
        b"text/event-stream;defaults=all;names=proto;enums=number",
    ],
    b"content-type": [
        *(b"application/json", b"application/x-ndjson", b"application/jsonl", b"text/plain", b""),
        *(
            b"application/json; charset=utf-8",
            b"application/json; charset=latin-1",
            b";;",
            b"image/png",
        ),
        *(b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/grpc"),
    ],
    b"content-encoding": [b"identity", b"gzip", b""],
    b"content-length": [b"0", b"-1", b"x", b"9" * 30, b"9" * 5000, b"4194305", b"1, 1", b"\xb2"],
    b"grpc-timeout": [b"1S", b"10M", b"99999999H", b"0n", b"1n", b"", b"1", b"x", b"-1S", b"1S "],
    b"x-server-timeout": [b"1", b"0", b"0.000000001", b"1e9", b"inf", b"nan", b"-1", b"\xd9\xa1"],
    b"authorization": [b"Bearer x", b"", b"\xff", b"a\tb", b"a" * 9000],
    b"x-request-id": [b"r1", b"", b"a b", b"\xe9", b"r" * 129],
    b"grpc-metadata-x": [b"y", b"\xe9", b""],
    b"grpc-metadata-x-bin": [b"YQ==", b"YQ", b"!", b"", b"\xff"],
    b"grpc-metadata-": [b"y"],
    b"grpc-metadata-grpc-status": [b"0"],
    b"grpc-metadata-te": [b"trailers"],
    b"grpc-metadata-A B": [b"y"],
    b"host": [b"edge.example", b"", b"\xff"],
    b"origin": [b"https://edge.example", b"null", b"http://[", b"", b"http://[::1"],
    b"last-event-id": [b"1", b"x"],
    b"idempotency-key": [b"k"],
    b"expect": [b"100-continue"],
    b"x-http-method-override": [b"DELETE"],
    b"\xff": [b"\xff"],
}
_any_value = st.binary(max_size=12).map(lambda value: bytes(b for b in value if b not in b"\r\n\0"))
_header = st.sampled_from(sorted(_header_values)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(_header_values[name]) | _any_value)
)
_accept = st.sampled_from(_header_values[b"accept"][:5]).map(lambda value: [(b"accept", value)])
headers: st.SearchStrategy[Headers] = weighted(
    (6, st.just([])), (3, _accept), (1, st.lists(_header, max_size=3))
)


@st.composite
def _chunks(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> list[bytes]:
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _bodies(binding: Binding) -> st.SearchStrategy[bytes]:
    if binding.method.stream_type.client:
        return uploads(binding.method.input)
    if binding.body is None:
        return weighted((19, st.just(b"")), (1, hostile_texts))
    if binding.body.field is None or binding.body.field.message_type is None:
        return bodies(binding.method.input)
    return bodies(binding.body.field.message_type)


@st.composite
def http_requests(draw: st.DrawFn, bindings: Sequence[Binding]) -> HttpRequest:
    """Draws a request for one of some bindings, more or less."""
    binding = draw(st.sampled_from(bindings))
    usual = st.just(binding.http_method)
    return HttpRequest(
        method=draw(weighted((14, usual), (1, st.sampled_from(HTTP_METHODS)))),
        path=draw(paths(binding)),
        query=draw(queries(binding.method.input)),
        headers=draw(headers),
        chunks=draw(_chunks(_bodies(binding))),
        leaves=draw(st.sampled_from(range(10))) == 9,
    )


@st.composite
def sessions(draw: st.DrawFn, bindings: Sequence[Binding]) -> WebSocketSession:
    """Draws a WebSocket on the path of one of some bindings, more or less."""
    binding = draw(st.sampled_from(bindings))
    texts: st.SearchStrategy[str | bytes] = bodies(binding.method.input).map(
        lambda text: text.decode("utf-8", "replace")
    )
    frames: st.SearchStrategy[str | bytes] = weighted(
        (8, texts), (1, st.just("")), (1, st.binary(max_size=9))
    )
    offers = [[], *[["grpc-json.v1"]] * 6, ["a", "grpc-json.v1"], ["a"]]
    return WebSocketSession(
        path=draw(paths(binding)),
        query=draw(queries(binding.method.input)),
        headers=draw(headers),
        subprotocols=draw(st.sampled_from(offers)),
        frames=draw(st.lists(frames, max_size=5)),
        half_closes=draw(st.booleans()),
        can_refuse_in_json=draw(st.booleans()),
    )


_keys = st.sampled_from(
    [
        *(
            "x",
            "x-bin",
            "a_b.c",
            "etag",
            "location",
            "cache-control",
            "retry-after",
            "x-request-id",
        ),
        *("content-type", "content-length", "transfer-encoding", "grpc-status", "set-cookie"),
    ]
)
_metadata: st.SearchStrategy[Metadata] = st.lists(
    st.tuples(_keys, st.text(max_size=8) | st.sampled_from(["a\r\nb: c", "\0", "é€"])), max_size=3
).map(tuple)
_detail_types = st.sampled_from(
    [
        *("", "/", "x", "type.googleapis.com/", "type.googleapis.com/no.Such"),
        *(
            f"type.googleapis.com/google.rpc.{name}"
            for name in ("ErrorInfo", "RetryInfo", "DebugInfo")
        ),
        "type.googleapis.com/google.protobuf.Any",
        "type.googleapis.com/google.protobuf.Timestamp",
        "type.googleapis.com/google.protobuf.Value",
    ]
)
_bytes = st.one_of(
    st.binary(max_size=12),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b"\x08" + _varint(n)),
    st.sampled_from(
        [b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01", b"\xea\x03\x0b\x08" + b"\xff" * 9 + b"\x01"]
    ),
)
_statuses = st.builds(
    Status,
    code=st.one_of(st.integers(1, 16), st.sampled_from([17, -1, 2**31 - 1])),
    message=st.text(max_size=200),
    details=st.lists(st.builds(AnyMessage, type_url=_detail_types, value=_bytes), max_size=2),
)
_raw_answers = st.builds(
    HttpBody,
    content_type=st.sampled_from(["", "text/plain", "a\r\nb: c", "é€", "\0"]) | st.text(max_size=5),
    data=st.binary(max_size=9),
    extensions=st.lists(st.builds(AnyMessage, type_url=_detail_types), max_size=1),
).map(lambda body: body.SerializeToString())


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    parts = [number >> shift & 0x7F for shift in range(0, 64, 7)]
    return bytes(part | 0x80 for part in parts[:-1]) + bytes(parts[-1:])


@st.composite
def upstream_answers(draw: st.DrawFn, descriptor: Descriptor) -> UpstreamAnswer:
    """Draws an answer of messages that may be none of the type, with odd metadata and an odd status."""
    path = draw(
        st.sampled_from([b"/v1/echo", b"/v1/names/x", b"/v1/stream/x", b"/v1/raw:download"])
    )
    status = draw(st.none() | _statuses)
    tags = st.sampled_from([field.number << 3 | 2 for field in descriptor.fields])
    parts = st.tuples(tags, _bytes).map(
        lambda part: _varint(part[0]) + _varint(len(part[1])) + part[1]
    )
    messages = _raw_answers if path.startswith(b"/v1/raw") else st.one_of(_bytes, parts)
    least = 0 if status or path not in (b"/v1/echo", b"/v1/names/x") else 1
    return UpstreamAnswer(
        path=path,
        messages=draw(st.lists(messages, min_size=least, max_size=3)),
        initial=draw(_metadata),
        trailing=draw(_metadata),
        status=status,
    )
