"""`body` and `response_body` that name a field of a nested message, beyond google/api/http.proto."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.render.openapi import render_openapi
from gateway.render.routes import render_routes
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.status import StatusError
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text
from tests.transcoding.test_endpoint import violations

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
message M {
  string id = 1;
  M nested = 2;
  M content = 3;
  repeated M items = 4;
  map<string, int32> counts = 5;
  google.api.HttpBody file = 6;
  oneof choice { M one = 7; string two = 8; }
}
service S {
  rpc R(M) returns (M) {
    option (google.api.http) = {
      post: "/a/{id}" body: "nested.content" response_body: "nested.content"
      additional_bindings { post: "/deep" body: "nested.nested.id" response_body: "nested.nested.id" }
      additional_bindings { post: "/items" body: "nested.items" response_body: "nested.items" }
      additional_bindings { post: "/counts" body: "nested.counts" response_body: "nested.counts" }
      additional_bindings { post: "/file" body: "nested.file" response_body: "nested.file" }
      additional_bindings { post: "/one" body: "one.content" }
      additional_bindings { post: "/in/{nested.id}" body: "nested.content" }
      additional_bindings { post: "/within/{nested.content.id}" body: "nested.content" }
    };
  }
  rpc Upload(stream M) returns (stream M) {
    option (google.api.http) = {post: "/upload" body: "nested.content" response_body: "nested.id"};
  }
}
"""
CONTRACT = load(compile_text(PROTO))
TRANSCODER = Transcoder(CONTRACT, JsonOptions())
M: Any = GetMessageClass(CONTRACT.pool.FindMessageTypeByName("t.M"))


def posted(target: str, body: bytes = b"", **options: str) -> tuple[Endpoint, bytes]:
    """Returns what a POST reaches, and the message that it becomes."""
    path, _, query = target.partition("?")
    found = TRANSCODER.match("POST", path)
    assert isinstance(found, RouteMatch), found
    data = found.target.decode_request(found.captures, query.encode(), body, **options)
    return found.target, data


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        ("/a/x", b'{"id":"c"}', M(id="x", nested={"content": {"id": "c"}})),
        ("/a/x", b"{}", M(id="x", nested={"content": {}})),
        ("/a/x", b"", M(id="x")),
        ("/a/x", b"null", M(id="x")),
        ("/a/x?nested.id=q&two=t", b"{}", M(id="x", nested={"id": "q", "content": {}}, two="t")),
        ("/deep", b'"d"', M(nested={"nested": {"id": "d"}})),
        ("/items", b'[{"id":"1"},{}]', M(nested={"items": [{"id": "1"}, {}]})),
        ("/items", b"[]", M(nested={})),
        ("/counts", b'{"a":1}', M(nested={"counts": {"a": 1}})),
        ("/one", b'{"id":"c"}', M(one={"content": {"id": "c"}})),
        ("/in/p", b'{"id":"c"}', M(nested={"id": "p", "content": {"id": "c"}})),
        ("/in/p", b"", M(nested={"id": "p"})),
        ("/within/p", b'{"content":{}}', M(nested={"content": {"id": "p", "content": {}}})),
    ],
)
def test_the_body_fills_the_nested_field(target: str, body: bytes, expected: Any) -> None:
    """The messages on the way to it are made; path and query fill the rest."""
    assert M.FromString(posted(target, body)[1]) == expected


@pytest.mark.parametrize(
    ("target", "body", "fault"),
    [
        ("/a/x", b'{"i":1}', ("nested.content.i", "unknown field")),
        ("/a/x", b"[]", ("nested.content", "expected an object, got an array")),
        ("/items", b"[{},1]", ("nested.items[1]", "expected an object, got 1")),
        ("/a/x?nested.content.id=q", b"", ("nested.content.id", "path or body provide this field")),
        ("/within/p", b'{"id":"c"}', ("nested.content.id", "the path says 'p', and the body")),
        ("/one?two=t", b"{}", ("two", "only one field of 'choice' can be given; 'one' is there")),
    ],
)
def test_what_is_wrong_is_told_by_its_path(
    target: str, body: bytes, fault: tuple[str, str]
) -> None:
    """From the request down; the query may name all but what the body is."""
    with pytest.raises(StatusError) as caught:
        posted(target, body)

    ((where, told),) = violations(caught.value)
    assert where == fault[0]
    assert fault[1] in told


@pytest.mark.parametrize(
    ("target", "message", "answer"),
    [
        ("/a/x", M(nested={"content": {"id": "c"}}), {"id": "c"}),
        ("/a/x", M(), {}),
        ("/deep", M(nested={"nested": {"id": "d"}}), "d"),
        ("/deep", M(), ""),
        ("/items", M(nested={"items": [{"id": "1"}]}), [{"id": "1"}]),
        ("/items", M(), []),
        ("/counts", M(nested={"counts": {"a": 1}}), {"a": 1}),
        ("/upload", M(nested={"id": "u"}), "u"),
    ],
)
def test_the_answer_is_the_nested_field(target: str, message: Any, answer: Any) -> None:
    """Where it is not set, its default is written."""
    encode = posted(target, b"")[0].encode_response

    assert json.loads(encode(message.SerializeToString())) == answer


def test_data_of_a_nested_body_passes_as_it_is() -> None:
    """A `google.api.HttpBody` may lie deeper, both ways."""
    endpoint, data = posted("/file", b"\x00\xff", content_type="image/png")

    assert M.FromString(data).nested.file.data == b"\x00\xff"
    assert endpoint.extract_raw_body(data) == ("image/png", b"\x00\xff")
    assert endpoint.extract_raw_body(b"") == ("application/octet-stream", b"")


def test_frames_of_a_stream_fill_it_too() -> None:
    """Each frame of an upload is the nested field of its message."""
    found = TRANSCODER.match("POST", "/upload")
    assert isinstance(found, RouteMatch)

    data = found.target.decode_frame(b'{"id":"f"}', step="[1]")
    assert M.FromString(data) == M(nested={"content": {"id": "f"}})
    with pytest.raises(StatusError) as caught:
        found.target.decode_frame(b"1", step="[1]")
    assert violations(caught.value)[0][0] == "[1].nested.content"


def test_depth_counts_from_the_request() -> None:
    """What lies under a nested body nests as deep as it would in the whole message."""
    deep = b'{"nested":' * 98 + b"{}" + b"}" * 98

    assert posted("/a/x", deep)[1]
    with pytest.raises(StatusError, match="nests deeper"):
        posted("/a/x", b'{"nested":' + deep + b"}")


def test_the_other_views_show_it() -> None:
    """The table of routes has the path; the document has the schema, and the query that is left."""
    routes = render_routes(TRANSCODER.bindings)
    document = render_openapi(CONTRACT, TRANSCODER.bindings, title="t")
    operation = document["paths"]["/deep"]["post"]

    assert "t.S.R       nested.nested.id" in routes
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "type": ["string", "null"]
    }
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert "nested.nested.id" not in names
    assert "id" in names
