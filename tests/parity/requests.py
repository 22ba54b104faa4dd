"""The table of requests that both edges are asked; each has a name of its own."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import quote

from tests.parity import admission
from tests.parity.compare import HEADERS

SSE = {"accept": "text/event-stream"}
ARRAY = {"accept": "application/json"}
LINES = {"accept": "application/x-ndjson"}
_JSON = {"content-type": "application/json"}
_NDJSON = {"content-type": "application/x-ndjson"}


@dataclass(frozen=True)
class Case:
    """One request, and which server it is for.

    `echo` and `core` are what they say, `down` is an echo server that is not there, and `fragile` is one that
    answers with the very bytes it was sent, behind an Envoy of its own, for what ends an Envoy. The
    others are names of `admission.SECTIONS`, with an echo server behind.
    """

    name: str
    method: str
    target: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    server: str = "echo"
    compared: tuple[str, ...] = HEADERS
    """The headers of the answer that are compared."""
    http2: bool = False
    """Whether it goes over HTTP/2."""


@cache
def cases() -> tuple[Case, ...]:
    """Returns the whole table."""
    made = (
        *_paths(),
        *_verbs(),
        *_queries(),
        *_well_known_queries(),
        *_wrong_queries(),
        *_bodies(),
        *_wrong_bodies(),
        *_codes(),
        *_server_streams(),
        *_failing_streams(),
        *_uploads(),
        *_both_ways(),
        *_raw(),
        *_metadata(),
        *_limits(),
        *_core(),
        *_admission(),
        *_rpc(),
    )
    names = [case.name for case in made]
    assert len(names) == len(set(names)), "a name twice"
    return made


def _rpc() -> Iterator[Case]:
    # not at the top: that module needs this one
    from tests.parity.rpc_requests import rpc_cases

    yield from rpc_cases()


def _paths() -> Iterator[Case]:
    for name, target in (
        ("literal", "/v1/echo"),
        ("variable", "/v1/echo/abc"),
        ("percent", "/v1/echo/a%20b"),
        ("slash", "/v1/echo/a%2Fb"),
        ("lower-case-slash", "/v1/echo/a%2fb"),
        ("utf-8", "/v1/echo/%C3%A9t%C3%A9"),
        ("not-utf-8", "/v1/echo/%FF"),
        ("plus", "/v1/echo/a+b"),
        ("bad-percent", "/v1/echo/a%2"),
        ("colon-in-value", "/v1/echo/a:b"),
        ("empty-variable", "/v1/echo/"),
        ("trailing-slash", "/v1/echo/abc/"),
        ("two-slashes", "/v1//echo"),
        ("dot-segments", "/v1/x/../echo"),
        ("dots-as-value", "/v1/echo/.."),
        ("semicolon", "/v1/echo/a;b=c"),
        ("reserved", "/v1/echo/a!$&'()*,=@~"),
        ("verb", "/v1/shelves/7:watch"),
        ("verb-percent", "/v1/shelves/a%2Fb:watch"),
        ("verb-encoded-colon", "/v1/shelves/7%3Awatch"),
        ("unknown-verb", "/v1/shelves/7:nothing"),
        ("no-verb", "/v1/shelves/7"),
        ("deep", "/v1/files/a/b/c"),
        ("deep-none", "/v1/files"),
        ("deep-empty", "/v1/files/"),
        ("deep-slash", "/v1/files/a%2Fb/c"),
        ("deep-percent", "/v1/files/a%20b/c"),
        ("deep-colon", "/v1/files/a:b"),
        ("pair-by-name", "/v1/pairs/7/COLOR_RED"),
        ("pair-by-number", "/v1/pairs/7/2"),
        ("pair-alias", "/v1/pairs/7/COLOR_SCARLET"),
        ("pair-not-a-number", "/v1/pairs/x/COLOR_RED"),
        ("pair-not-an-enum", "/v1/pairs/7/COLOR_PINK"),
        ("pair-too-large", "/v1/pairs/2147483648/COLOR_RED"),
        ("timestamp", "/v1/times/2026-11-22T08:00:00Z"),
        ("not-a-timestamp", "/v1/times/noon"),
        ("nothing", "/nothing"),
        ("root", "/"),
        ("case", "/V1/echo"),
        ("grpc-path", "/echo.v1.Echo/Unary"),
        ("unbound", "/echo.v1.Echo/Unbound"),
        ("response-body", "/v1/names/abc"),
    ):
        yield Case(f"path/{name}", "GET", target)


def _verbs() -> Iterator[Case]:
    yield Case("verb/delete", "DELETE", "/v1/echo/abc")
    yield Case("verb/custom", "REPORT", "/v1/reports?string_field=a")
    yield Case("verb/custom-other", "GET", "/v1/reports")
    yield Case("verb/wrong", "PUT", "/v1/echo", b"{}", _JSON)
    yield Case("verb/wrong-deep", "POST", "/v1/files/a", b"{}", _JSON)
    yield Case("verb/head", "HEAD", "/v1/echo/abc")
    yield Case("verb/head-of-post", "HEAD", "/v1/items")
    yield Case("verb/head-of-stream", "HEAD", "/v1/stream/a?int32_field=2")
    yield Case("verb/head-nothing", "HEAD", "/nothing")
    yield Case("verb/options", "OPTIONS", "/v1/echo")
    yield Case("verb/options-nothing", "OPTIONS", "/nothing")
    yield Case(
        "verb/override", "POST", "/v1/echo/abc", b"{}", _JSON | {"x-http-method-override": "GET"}
    )
    yield Case("verb/get-with-body", "GET", "/v1/echo/abc", b'{"int32Field":1}', _JSON)
    yield Case("verb/grpc-path-post", "POST", "/echo.v1.Echo/Unary", b"{}", _JSON)


_QUERY = (
    ("double", "double_field=1.5"),
    ("double-exponent", "double_field=1e3"),
    ("double-nan", "double_field=NaN"),
    ("double-infinity", "double_field=-Infinity"),
    ("float", "float_field=0.25"),
    ("int32", "int32_field=-7"),
    ("int32-max", "int32_field=2147483647"),
    ("int64", "int64_field=9007199254740993"),
    ("uint32", "uint32_field=4294967295"),
    ("uint64", "uint64_field=18446744073709551615"),
    ("sint32", "sint32_field=-1"),
    ("sint64", "sint64_field=-1"),
    ("fixed32", "fixed32_field=1"),
    ("fixed64", "fixed64_field=1"),
    ("sfixed32", "sfixed32_field=-1"),
    ("sfixed64", "sfixed64_field=-1"),
    ("bool", "bool_field=true"),
    ("bool-false", "bool_field=false"),
    ("bool-number", "bool_field=1"),
    ("string", "string_field=abc"),
    ("string-empty", "string_field="),
    ("string-plus", "string_field=a+b"),
    ("string-percent", "string_field=a%2Bb%26c"),
    ("string-utf-8", "string_field=%C3%A9"),
    ("string-equals", "string_field=a=b"),
    ("bytes", "bytes_field=aGk="),
    ("bytes-percent", "bytes_field=aGk%3D"),
    ("bytes-unpadded", "bytes_field=aGk"),
    ("bytes-url-safe", "bytes_field=-_-_"),
    ("enum", "enum_field=COLOR_BLUE"),
    ("enum-number", "enum_field=2"),
    ("enum-negative", "enum_field=-1"),
    ("enum-unknown-number", "enum_field=99"),
    ("json-name", "stringField=abc"),
    ("json-name-own", "customName=abc"),
    ("proto-name-own", "renamed_field=abc"),
    ("keyword", "class=abc"),
    ("nested", "nested.name=abc"),
    ("nested-deep", "nested.child.child.name=abc"),
    ("nested-repeated", "nested.tags=a&nested.tags=b"),
    ("nested-two", "nested.name=a&nested.number=2"),
    ("repeated", "string_list=a&string_list=b"),
    ("repeated-numbers", "int32_list=1&int32_list=2&int32_list=3"),
    ("repeated-enum", "enum_list=COLOR_RED&enum_list=2"),
    ("repeated-comma", "int32_list=1,2"),
    ("optional", "optional_int32=0"),
    ("optional-empty", "optional_string="),
    ("oneof", "choice_string=a"),
    ("oneof-message", "choice_nested.name=a"),
    ("many", "string_field=a&int32_field=1&bool_field=true&nested.name=b"),
    ("empty", ""),
    ("ampersands", "&&string_field=a&"),
    ("map", "string_map[a]=b"),
    ("map-percent", "string_map%5Ba%5D=b"),
)


def _queries() -> Iterator[Case]:
    for name, query in _QUERY:
        yield Case(f"query/{name}", "GET", f"/v1/echo?{query}")
    yield Case("query/beside-path", "GET", "/v1/echo/abc?int32_field=1")
    yield Case("query/beside-body", "PUT", "/v1/echo/abc/nested?int32_field=1", b"{}", _JSON)


def _well_known_queries() -> Iterator[Case]:
    for name, query in (
        ("timestamp", "timestamp_field=2026-11-22T08:00:00Z"),
        ("timestamp-nanos", "timestamp_field=2026-11-22T08:00:00.123456789Z"),
        ("timestamp-offset", "timestamp_field=2026-11-22T08:00:00%2B02:00"),
        ("timestamp-wrong", "timestamp_field=today"),
        ("timestamp-seconds", "timestamp_field.seconds=5"),
        ("timestamps", "timestamp_list=2026-11-22T08:00:00Z&timestamp_list=2026-11-22T09:00:00Z"),
        ("duration", "duration_field=1.5s"),
        ("duration-negative", "duration_field=-0.25s"),
        ("duration-wrong", "duration_field=1.5"),
        ("mask", "mask_field=stringField,nested.name"),
        ("mask-snake", "mask_field=string_field"),
        ("double-wrapper", "double_wrapper=1.5"),
        ("int32-wrapper", "int32_wrapper=0"),
        ("int64-wrapper", "int64_wrapper=9007199254740993"),
        ("uint64-wrapper", "uint64_wrapper=1"),
        ("bool-wrapper", "bool_wrapper=false"),
        ("string-wrapper", "string_wrapper="),
        ("bytes-wrapper", "bytes_wrapper=aGk="),
        ("wrapper-value", "string_wrapper.value=a"),
        ("wrappers", "int32_wrapper_list=1&int32_wrapper_list=2"),
        ("value", "value_field=" + quote('{"a":1}')),
        ("value-number", "value_field=1"),
        ("value-text", "value_field=abc"),
        ("struct", "struct_field=" + quote('{"a":[1,true]}')),
        ("list", "list_value_field=" + quote("[1,2]")),
        ("null", "choice_null=NULL_VALUE"),
    ):
        yield Case(f"well-known/query-{name}", "GET", f"/v1/echo?{query}")


def _wrong_queries() -> Iterator[Case]:
    for name, query in (
        ("unknown", "unknown=1"),
        ("unknown-and-known", "string_field=a&unknown=1"),
        ("unknown-nested", "nested.unknown=1"),
        ("through-scalar", "string_field.x=1"),
        ("through-list", "nested_list.name=a"),
        ("message", "nested=a"),
        ("int32-text", "int32_field=abc"),
        ("int32-large", "int32_field=2147483648"),
        ("int32-fraction", "int32_field=1.5"),
        ("int32-empty", "int32_field="),
        ("uint32-negative", "uint32_field=-1"),
        ("bool-word", "bool_field=yes"),
        ("double-text", "double_field=abc"),
        ("enum-text", "enum_field=COLOR_PINK"),
        ("enum-case", "enum_field=color_red"),
        ("bytes", "bytes_field=***"),
        ("twice", "string_field=a&string_field=b"),
        ("oneof-twice", "choice_string=a&choice_int32=1"),
        ("two-wrong", "int32_field=abc&bool_field=yes"),
        ("no-name", "=a"),
        ("not-utf-8", "string_field=%FF"),
        ("bad-percent", "string_field=a%2"),
    ):
        yield Case(f"wrong-query/{name}", "GET", f"/v1/echo?{query}")
    yield Case("wrong-query/of-path", "GET", "/v1/echo/abc?string_field=x")
    yield Case("wrong-query/of-body", "POST", "/v1/echo?string_field=x", b"{}", _JSON)
    yield Case(
        "wrong-query/of-body-field", "PUT", "/v1/echo/a/nested?nested.number=1", b"{}", _JSON
    )


_EVERYTHING: dict[str, Any] = {
    "doubleField": 1.5,
    "floatField": 0.25,
    "int32Field": -7,
    "int64Field": "9007199254740993",
    "uint64Field": "18446744073709551615",
    "boolField": True,
    "stringField": "é\u2028\U0001f600",
    "bytesField": "aGk=",
    "enumField": "COLOR_BLUE",
    "nested": {"name": "a", "number": "1", "child": {"tags": ["x", "y"]}},
    "doubleList": [1.5, "NaN", "-Infinity"],
    "enumList": ["COLOR_RED", "COLOR_NEGATIVE"],
    "nestedList": [{"name": "a"}, {}],
    "stringMap": {"a": "b"},
    "nestedMap": {"7": {"name": "x"}},
    "boolMap": {"true": "COLOR_RED"},
    "optionalInt32": 0,
    "choiceNested": {"name": "c"},
    "timestampField": "2026-11-22T08:00:00.500Z",
    "durationField": "1.500s",
    "maskField": "stringField,nested.name",
    "structField": {"a": [1, None, {"b": True}]},
    "valueField": [1, "a"],
    "listValueField": [None],
    "emptyField": {},
    "int64Wrapper": "5",
    "boolWrapper": False,
    "stringWrapper": "",
    "customName": "x",
    "class": "y",
    "everything": {"stringField": "inner"},
}


def _post(name: str, body: str | bytes, target: str = "/v1/echo", **headers: str) -> Case:
    data = body if isinstance(body, bytes) else body.encode()
    fields = _JSON | {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name, "POST", target, data, fields)


def _bodies() -> Iterator[Case]:
    yield _post("body/everything", json.dumps(_EVERYTHING))
    yield _post("body/empty-object", "{}")
    yield Case("body/none", "POST", "/v1/echo")
    yield _post("body/empty", b"")
    for coding, encoded in (
        ("gzip", gzip.compress(b"{}", mtime=0)),
        ("deflate", zlib.compress(b"{}")),
    ):
        yield _post(f"body/{coding}", encoded, content_encoding=coding)
    yield _post("body/spaces", '  {"stringField" : "a"}\n')
    for name, body in (
        ("proto-names", {"string_field": "a", "int32_field": 1}),
        ("enum-number", {"enumField": 2}),
        ("enum-unknown-number", {"enumField": 99}),
        ("int-as-string", {"int32Field": "5"}),
        ("int-as-float", {"int32Field": 5.0}),
        ("int-exponent", {"int32Field": "1e2"}),
        ("int64-number", {"int64Field": 5}),
        ("nulls", {"stringField": None, "nested": None, "stringList": None}),
        ("null-value", {"valueField": None}),
        ("null-oneof", {"choiceNull": None}),
        ("double-text", {"doubleField": "1.5"}),
        ("bytes-url-safe", {"bytesField": "-_-_"}),
        ("any", {"anyField": {"@type": "type.googleapis.com/echo.v1.Nested", "name": "a"}}),
        (
            "any-well-known",
            {"anyField": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
        ),
        ("any-unknown", {"anyField": {"@type": "type.googleapis.com/x.Y"}}),
        ("timestamp-offset", {"timestampField": "2026-11-22T08:00:00+02:00"}),
        ("timestamp-map", {"timestampMap": {"a": "2026-11-22T08:00:00Z"}}),
        ("value-list", {"valueList": [1, None, "a"]}),
        ("wrapper-list", {"int32WrapperList": [1, 0]}),
    ):
        yield _post(f"body/{name}", json.dumps(body))
    yield Case("body/field", "PUT", "/v1/echo/abc/nested", b'{"number":"5"}', _JSON)
    yield Case("body/field-and-path-agree", "PUT", "/v1/echo/abc/nested", b'{"name":"abc"}', _JSON)
    yield _post("body/list-field", '[{"name":"a"},{"name":"b"}]', "/v1/items")
    yield _post("body/scalar-field", '"abc"', "/v1/scalar")
    yield Case("body/patch-mask", "PATCH", "/v1/patched/abc", b'{"name":"n"}', _JSON)
    yield Case("body/timestamp-field", "PATCH", "/v1/stamped/abc", b'"2026-11-22T08:00:00Z"', _JSON)
    yield Case("body/response-body", "PATCH", "/v1/echo/abc", b'{"name":"n"}', _JSON)
    for name, kind in (
        ("form-type", "application/x-www-form-urlencoded"),
        ("plain-type", "text/plain"),
        ("charset", "application/json; charset=utf-8"),
        ("xml-type", "application/xml"),
    ):
        yield _post(f"body/{name}", '{"stringField":"a"}', content_type=kind)
    yield Case("body/no-type", "POST", "/v1/echo", b'{"stringField":"a"}')


def _wrong_bodies() -> Iterator[Case]:
    for name, body in (
        ("not-json", "{"),
        ("text", "abc"),
        ("two-texts", "{} {}"),
        ("trailing-comma", '{"stringField":"a",}'),
        ("array", "[]"),
        ("number", "5"),
        ("null", "null"),
        ("unknown-field", '{"unknown":1}'),
        ("unknown-nested", '{"nested":{"unknown":1}}'),
        ("int-text", '{"int32Field":"abc"}'),
        ("int-large", '{"int32Field":2147483648}'),
        ("int-fraction", '{"int32Field":1.5}'),
        ("bool-text", '{"boolField":"true"}'),
        ("string-number", '{"stringField":5}'),
        ("enum-text", '{"enumField":"COLOR_PINK"}'),
        ("bytes", '{"bytesField":"***"}'),
        ("message-text", '{"nested":"a"}'),
        ("list-object", '{"stringList":{}}'),
        ("list-null", '{"stringList":[null]}'),
        ("map-key", '{"nestedMap":{"x":{}}}'),
        ("duplicate-key", '{"stringField":"a","stringField":"b"}'),
        ("both-names", '{"stringField":"a","string_field":"b"}'),
        ("oneof-twice", '{"choiceString":"a","choiceInt32":1}'),
        ("timestamp", '{"timestampField":"noon"}'),
        ("timestamp-range", '{"timestampField":"10000-01-01T00:00:00Z"}'),
        ("duration", '{"durationField":"1"}'),
        ("two-wrong", '{"int32Field":"abc","boolField":"yes"}'),
        ("nan", '{"doubleField":NaN}'),
        ("float-range", '{"floatField":1e39}'),
        ("lone-surrogate", '{"stringField":"\\ud800"}'),
        ("single-quotes", "{'stringField':'a'}"),
    ):
        yield _post(f"wrong-body/{name}", body)
    yield replace(_post("wrong-body/map-null", '{"stringMap":{"a":null}}'), server="fragile")
    yield _post("wrong-body/not-utf-8", b'{"stringField":"\xff"}')
    yield _post("wrong-body/gzip-type", '{"stringField":"a"}', content_encoding="gzip")
    yield _post("wrong-body/deep", '{"nested":' + '{"child":' * 200 + "{}" + "}" * 201)
    yield Case("wrong-body/against-path", "PUT", "/v1/echo/abc/nested", b'{"name":"other"}', _JSON)


def _codes() -> Iterator[Case]:
    for code in range(17):
        yield Case(f"code/{code}", "GET", f"/v1/fail/{code}?message=why")
        if code:
            yield Case(f"code/{code}-details", "GET", f"/v1/fail/{code}?message=why&details=true")
    yield Case("code/no-message", "GET", "/v1/fail/5")
    yield Case("code/utf-8-message", "GET", "/v1/fail/5?message=%C3%A9t%C3%A9%20%25")
    yield Case("code/debug-info", "GET", "/v1/fail/5?message=debug&details=true")
    problem = {"accept": "application/problem+json, application/json"}
    yield Case("code/problem", "GET", "/v1/fail/5?message=why", headers=problem)
    yield Case("code/deadline", "GET", "/v1/hang", headers={"grpc-timeout": "200m"})
    yield Case("code/deadline-wrong", "GET", "/v1/echo", headers={"grpc-timeout": "soon"})
    yield Case("code/unimplemented", "POST", "/v1/missing", b"{}", _JSON)
    yield Case("code/down", "GET", "/v1/echo", server="down")
    yield Case("code/down-stream", "GET", "/v1/stream/a?int32_field=1", server="down")


_ACCEPTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("default", {}),
    ("lines", LINES),
    ("events", SSE),
    ("array", ARRAY),
)


def _server_streams() -> Iterator[Case]:
    for name, headers in _ACCEPTS:
        for count in (0, 1, 3):
            target = f"/v1/stream/a?int32_field={count}"
            yield Case(f"server-stream/{name}-{count}", "GET", target, headers=headers)
    for name, accept in (
        ("any", "*/*"),
        ("sequence", "application/json-seq"),
        ("events-first", "text/event-stream, application/json;q=0.5"),
        ("events-upper-case", "Text/Event-Stream"),
        ("lines-or-events", "application/x-ndjson, text/event-stream;q=0.5"),
        ("array-or-any", "application/json, */*;q=0.1"),
        ("by-quality", "text/event-stream;q=0.1, application/x-ndjson"),
        ("nothing-that-is", "image/png"),
        ("unary-image", "image/png"),
    ):
        target = "/v1/echo/a" if name.startswith("unary") else "/v1/stream/a?int32_field=2"
        yield Case(f"server-stream/accept-{name}", "GET", target, headers={"accept": accept})
    yield Case(
        "server-stream/post", "POST", "/v1/stream", b'{"int32Field":2,"stringField":"a"}', _JSON
    )
    yield Case(
        "server-stream/post-events",
        *("POST", "/v1/stream", b'{"int32Field":2,"stringField":"a\\nb"}'),
        _JSON | SSE,
    )
    yield Case("server-stream/thousand", "GET", "/v1/stream/a?int32_field=1000")
    yield Case("server-stream/wrong-query", "GET", "/v1/stream/a?int32_field=x")
    yield Case("server-stream/unary-as-events", "GET", "/v1/echo/a", headers=SSE)


def _failing_streams() -> Iterator[Case]:
    for name, headers in _ACCEPTS:
        for after in (0, 2):
            target = f"/v1/fail-stream/8?after={after}&message=why"
            yield Case(f"failing-stream/{name}-after-{after}", "GET", target, headers=headers)
    yield Case("failing-stream/details", "GET", "/v1/fail-stream/8?details=true&message=why")
    yield Case(
        "failing-stream/deadline", "GET", "/v1/hang-stream", headers={"grpc-timeout": "300m"}
    )


_MESSAGES = ({"stringField": "a"}, {"stringField": "b"}, {"int32Field": 3})
_AS_LINES = "".join(json.dumps(message) + "\n" for message in _MESSAGES).encode()
_AS_ARRAY = json.dumps(_MESSAGES).encode()
_AS_SEQUENCE = b"".join(b"\x1e" + json.dumps(m).encode() + b"\n" for m in _MESSAGES)
_UPLOADS: tuple[tuple[str, bytes, dict[str, str]], ...] = (
    ("lines", _AS_LINES, _NDJSON),
    ("array", _AS_ARRAY, _JSON),
    ("sequence", _AS_SEQUENCE, {"content-type": "application/json-seq"}),
    ("lines-without-type", _AS_LINES, {}),
    ("empty-array", b"[]", _JSON),
    ("empty", b"", _JSON),
    ("one-object", b'{"stringField":"a"}', _JSON),
    ("wrong-second", b'[{"stringField":"a"},{"int32Field":"x"}]', _JSON),
    ("open-array", b'[{"stringField":"a"}', _JSON),
)


def _uploads() -> Iterator[Case]:
    for name, body, headers in _UPLOADS:
        yield Case(f"upload/{name}", "POST", "/v1/upload", body, headers)
    gzipped = gzip.compress(_AS_ARRAY, mtime=0)
    yield Case("upload/gzip", "POST", "/v1/upload", gzipped, _JSON | {"content-encoding": "gzip"})
    yield Case("upload/with-path", "POST", "/v1/upload/p", b'[{"name":"a"},{"name":"b"}]', _JSON)


def _both_ways() -> Iterator[Case]:
    for name, body, headers in _UPLOADS:
        yield Case(f"both-ways/{name}", "POST", "/v1/bidi", body, headers)
    yield Case("both-ways/array-as-events", "POST", "/v1/bidi", _AS_ARRAY, _JSON | SSE)
    yield Case("both-ways/array-as-array", "POST", "/v1/bidi", _AS_ARRAY, _JSON | ARRAY)


def _raw() -> Iterator[Case]:
    text = {"content-type": "text/csv"}
    yield Case("raw/text", "POST", "/v1/raw", b"a,b\n1,2\n", text)
    yield Case("raw/empty", "POST", "/v1/raw", b"", text)
    yield Case("raw/binary", "POST", "/v1/raw", bytes(range(256)), {"content-type": "image/png"})
    yield Case("raw/no-type", "POST", "/v1/raw", b"abc")
    yield Case("raw/accept", "POST", "/v1/raw", b"abc", text | {"accept": "text/plain"})
    yield Case("raw/upload", "POST", "/v1/raw:upload", b"x" * 100_000, text)
    yield Case("raw/download", "GET", "/v1/raw:download")


def _metadata() -> Iterator[Case]:
    for name, headers, compared in (
        ("passed-on-both-ways", {"cache-control": "no-store"}, "cache-control"),
        ("of-the-request", {"authorization": "Bearer a"}, "authorization"),
        ("named-grpc-metadata", {"grpc-metadata-own": "a"}, "own"),
        ("any-header", {"x-own": "a"}, "x-own"),
        ("trailing", {}, "grpc-trailer-cost"),
    ):
        yield Case(f"metadata/{name}", "GET", "/v1/echo", headers=headers, compared=(compared,))
    for code in ("201", "204", "205", "302", "abc"):
        said = {"grpc-metadata-x-http-code": code}
        if code == "302":
            said["grpc-metadata-location"] = "/v1/echo/b"
        yield Case(f"metadata/status-{code}", "GET", "/v1/echo", headers=said)
    failing = "/v1/fail/16?message="
    yield Case(
        "metadata/of-an-error", "GET", f"{failing}metadata", compared=("etag", "www-authenticate")
    )
    yield Case(
        "metadata/trailing-of-an-error",
        *("GET", f"{failing}metadata"),
        compared=("grpc-trailer-cost",),
    )
    yield Case("metadata/no-challenge", "GET", f"{failing}no", compared=("www-authenticate",))
    request_id = {"x-request-id": "7e2c1d9a-0000-4000-8000-000000000001"}
    yield Case(
        "metadata/request-id", "GET", "/v1/echo", headers=request_id, compared=("x-request-id",)
    )


def _limits() -> Iterator[Case]:
    for name, size in (("megabyte", 2**20), ("below", 2**22 - 100), ("above", 2**22 + 100)):
        body = b'{"stringField":"' + b"x" * size + b'"}'
        yield Case(f"limit/body-{name}", "POST", "/v1/echo", body, _JSON)
    line = b'{"bytesField":"' + b"x" * 2**20 + b'"}\n'
    yield Case("limit/upload-of-many", "POST", "/v1/upload", b'{"int32Field":1}\n' * 2000, _NDJSON)
    yield Case("limit/upload-beyond-one-message", "POST", "/v1/upload", line * 5, _NDJSON)
    array = b"[" + b",".join([line.strip()] * 5) + b"]"
    yield Case("limit/array-beyond-one-message", "POST", "/v1/upload", array, _JSON)
    yield Case("limit/long-query", "GET", "/v1/echo?string_field=" + "x" * 20_000)
    yield Case("limit/many-parameters", "GET", "/v1/echo?" + "&".join(["int32_list=1"] * 500))


def _core() -> Iterator[Case]:
    convert = "/convert?from_currency=USD&to_currency=EUR&amount="
    yield Case("core/convert", "GET", convert + "100", server="core")
    yield Case(
        "core/convert-post",
        *("POST", "/convert", b'{"fromCurrency":"USD","toCurrency":"EUR","amount":100}', _JSON),
        server="core",
    )
    yield Case("core/wrong-amount", "GET", convert + "-1", server="core")
    yield Case("core/not-an-amount", "GET", convert + "ten", server="core")
    yield Case("core/no-such", "GET", convert.replace("EUR", "XXX") + "1", server="core")
    batch = b'[{"fromCurrency":"USD","toCurrency":"EUR","amount":1}]'
    yield Case("core/batch", "POST", "/convert:batch", batch, _JSON, server="core")
    yield Case("core/live", "POST", "/convert:live", batch, _JSON, server="core")
    yield Case("core/live-events", "POST", "/convert:live", batch, _JSON | SSE, server="core")
    wrong = batch[:-1] + b',{"fromCurrency":"USD","toCurrency":"EUR","amount":0}]'
    yield Case("core/batch-wrong", "POST", "/convert:batch", wrong, _JSON, server="core")
    yield Case("core/live-wrong", "POST", "/convert:live", wrong, _JSON, server="core")
    yield from _core_v2()
    yield Case("core/hello", "GET", "/hello/World", server="core")
    yield Case("core/hello-post", "POST", "/hello", b'{"name":"World"}', _JSON, server="core")


def _core_v2() -> Iterator[Case]:
    """Version 2 of the demo's contract: resource names, money in a query, sums."""
    exact = (
        b'{"amount":{"currencyCode":"USD","units":"7","nanos":10000000},"targetCurrencyCode":"EUR"}'
    )
    convert = "/v2/amounts:convert?amount.currency_code=USD&target_currency_code="
    rates = "/v2/currencies/USD/exchangeRates"
    for name, target in {
        "currency": "/v2/currencies/JPY",
        "no-currency": "/v2/currencies/XXX",
        "wrong-name": "/v2/currencies/jpy",
        "currencies": "/v2/currencies?page_size=3",
        "wrong-page": "/v2/currencies?page_token=no",
        "rate": f"{rates}/EUR",
        "no-rate": f"{rates}/XXX",
        "convert": f"{convert}EUR&amount.units=100&amount.nanos=10000000",
        "wrong-nanos": f"{convert}EUR&amount.units=1&amount.nanos=-1",
        "wrong-target": f"{convert}XXX&amount.units=-1",
        "wrong-watch": f"{rates}:watch?target_currency_codes=XXX",
    }.items():
        yield Case(f"core/v2-{name}", "GET", target, server="core")
    yield Case("core/v2-convert-post", "POST", "/v2/amounts:convert", exact, _JSON, server="core")
    amounts = b"[" + exact + b"," + exact.replace(b"EUR", b"JPY") + b"]"
    yield Case("core/v2-sum", "POST", "/v2/amounts:sum", amounts, _JSON, server="core")
    each = "/v2/amounts:convertEach"
    yield Case("core/v2-each", "POST", each, amounts, _JSON, server="core")
    yield Case("core/v2-each-events", "POST", each, amounts, _JSON | SSE, server="core")


def _admission() -> Iterator[Case]:
    for server, name, method, target, headers, body in admission.requests():
        yield Case(name, method, target, body, headers, server, admission.COMPARED)
