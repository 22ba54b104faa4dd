"""Fields may have any legal name: those of protobuf's own methods, Python's keywords, `__debug__`."""
# ruff: noqa: E501 -- one method, one line

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text

NAMES = [
    *("HasField", "Clear", "ClearField", "CopyFrom", "MergeFrom", "SetInParent", "WhichOneof"),
    *("SerializeToString", "SerializePartialToString", "FromString", "ParseFromString", "ByteSize"),
    *("ListFields", "IsInitialized", "FindInitializationErrors", "DESCRIPTOR", "Extensions"),
    *("class", "from", "None", "True", "import", "lambda", "self", "m", "v", "value", "known"),
    *(
        "_x",
        "__debug__",
        "__class__",
        "__init__",
        "__slots__",
        "__deepcopy__",
        "__dict__",
        "__eq__",
    ),
]
PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/field_mask.proto";
import "gateway/v1/options.proto";
message Types {
  message HasField { string SetInParent = 1; Clear WhichOneof = 2; }
  enum Clear { FromString = 0; DESCRIPTOR = 1; }
}
message M { string %(name)s = 1; Types.HasField sub = 2; }
message Optional { optional string %(name)s = 1; optional int32 after = 2; }
message Many { repeated string %(name)s = 1; }
message Mapped { map<string, int32> %(name)s = 1; }
message Held { M %(name)s = 1; string z = 2; }
message Chosen { oneof which { string %(name)s = 1; M other = 2; } }
message Named { oneof %(name)s { string a = 1; M b = 2; } }
message Numbered { enum E { Z = 0; ONE = 1; } E %(name)s = 1; }
message Data { google.api.HttpBody %(name)s = 1; }
message Masked { M body = 1; google.protobuf.FieldMask %(name)s = 2; }
service S {
  rpc Plain(M) returns (M) {
    option (google.api.http) = {
      post: "/plain" body: "*"
      additional_bindings { get: "/plain/{%(name)s}" response_body: "%(name)s" }
      additional_bindings { get: "/plain" }
    };
  }
  rpc Optional_(Optional) returns (Optional) { option (google.api.http) = {post: "/optional" body: "*" additional_bindings {get: "/optional"}}; }
  rpc Many_(Many) returns (Many) { option (google.api.http) = {post: "/many" body: "*" additional_bindings {get: "/many"}}; }
  rpc Mapped_(Mapped) returns (Mapped) { option (google.api.http) = {post: "/mapped" body: "*" additional_bindings {get: "/mapped"}}; }
  rpc Held_(Held) returns (Held) {
    option (google.api.http) = {
      post: "/held" body: "*"
      additional_bindings { get: "/held" }
      additional_bindings { get: "/held/{%(name)s.%(name)s}" }
      additional_bindings { post: "/held/body" body: "%(name)s" response_body: "%(name)s" }
      additional_bindings { post: "/held/dotted" body: "%(name)s.%(name)s" response_body: "%(name)s.%(name)s" }
    };
  }
  rpc Chosen_(Chosen) returns (Chosen) { option (google.api.http) = {post: "/chosen" body: "*" additional_bindings {get: "/chosen"}}; }
  rpc Named_(Named) returns (Named) { option (google.api.http) = {post: "/named" body: "*" additional_bindings {get: "/named"}}; }
  rpc Numbered_(Numbered) returns (Numbered) { option (google.api.http) = {post: "/numbered" body: "*" additional_bindings {get: "/numbered"}}; }
  rpc Data_(Data) returns (Data) { option (google.api.http) = {post: "/data" body: "%(name)s" response_body: "%(name)s"}; }
  rpc Masked_(Masked) returns (Masked) { option (google.api.http) = {patch: "/masked" body: "body"}; }
  rpc Events(Held) returns (stream Held) {
    option (google.api.http) = {get: "/events"};
    option (gateway.v1.stream) = {shared: true key: "%(name)s.%(name)s"};
  }
}
"""
PRINTED = JsonOptions()
SUB = b'{"sub":{"SetInParent":"s","WhichOneof":"DESCRIPTOR"}}'
KINDS = ["plain", "optional", "many", "mapped", "held", "chosen", "numbered"]


@cache
def transcoder(name: str, options: JsonOptions = PRINTED) -> Transcoder:
    """Returns what serves a contract whose fields are all called so."""
    return Transcoder(load(compile_text(PROTO % {"name": name})), options)


def round_trip(name: str, http_method: str, target: str, body: bytes = b"") -> Any:
    """Returns the JSON of a request's message, as if it were the answer."""
    path, _, query = target.partition("?")
    found = transcoder(name).match(http_method, path)
    assert isinstance(found, RouteMatch)
    endpoint: Endpoint = found.target
    data = endpoint.decode_request(found.captures, query.encode(), body, content_type="a/b")
    return (
        endpoint.extract_raw_body(data)
        if endpoint.has_raw_response
        else json.loads(endpoint.encode_response(data))
    )


def json_name(name: str) -> str:
    """Returns the JSON name that protobuf gives to a field."""
    descriptor = transcoder(name).bindings[0].method.input
    found: str = descriptor.fields_by_name[name].json_name
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_any_name_is_read_and_written(name: str) -> None:
    """From JSON and from a query, in each shape that a field can have."""
    key = json_name(name)
    values: dict[str, tuple[Any, str]] = {
        "plain": ("v", f"{name}=v"),
        "optional": ("", f"{name}="),
        "many": (["a", "b"], f"{name}=a&{name}=b"),
        "mapped": ({"k": 1}, f"{name}[k]=1"),
        "held": ({key: "v"}, f"{name}.{name}=v"),
        "chosen": ("v", f"{name}=v"),
        "numbered": ("ONE", f"{name}=ONE"),
    }
    for kind in KINDS:
        value, query = values[kind]
        expected = {key: value}
        body = json.dumps(expected).encode()

        assert round_trip(name, "POST", f"/{kind}", body) == expected
        assert (
            round_trip(name, "POST", f"/{kind}", body.replace(key.encode(), name.encode()))
            == expected
        )
        assert round_trip(name, "GET", f"/{kind}?{query}") == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_any_name_is_bound(name: str) -> None:
    """By a path, a body, a response body, and as the mask of a PATCH."""
    key = json_name(name)

    assert round_trip(name, "GET", "/plain/v") == "v"
    assert round_trip(name, "GET", "/held/v?z=1") == {key: {key: "v"}, "z": "1"}
    assert round_trip(name, "POST", "/held/body", SUB) == json.loads(SUB)
    assert round_trip(name, "POST", "/held/dotted", b'"v"') == "v"
    assert round_trip(name, "POST", "/data", b"\x00\x01") == ("a/b", b"\x00\x01")
    assert round_trip(name, "PATCH", "/masked", b'{"sub":{}}') == {"body": {"sub": {}}, key: "sub"}


@pytest.mark.parametrize("name", NAMES)
def test_a_oneof_of_any_name_is_checked(name: str) -> None:
    """Two of its fields are refused; and so are two fields of which one has the name."""
    for target, body in (("/named", b'{"a":"x","b":{}}'), ("/chosen", b'{"%b":"x","other":{}}')):
        with pytest.raises(Exception, match="only one of the fields of"):
            round_trip(name, "POST", target, body.replace(b"%b", name.encode()))


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_any_name_is_read(name: str) -> None:
    """A shared stream finds its key in a message."""
    found = transcoder(name).match("GET", "/events")
    assert isinstance(found, RouteMatch)
    data = found.target.decode_request((), f"{name}.{name}=v".encode(), b"")
    reading = found.target.stream_spec

    assert reading is not None
    assert reading.read_key is not None
    assert reading.read_key(data) == "v"


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_any_name_is_printed_as_asked(name: str) -> None:
    """With defaults, proto names and numbers."""
    options = JsonOptions(defaults=True, proto_names=True, enum_numbers=True, int64_numbers=True)
    found = transcoder(name, options).match("POST", "/numbered")
    assert isinstance(found, RouteMatch)

    assert json.loads(found.target.encode_response(b"")) == {name: 0}


ALIKE = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message Alike {
  option deprecated_legacy_json_field_conflicts = true;
  int32 foo_bar = 1;
  int32 fooBar = 2;
  int32 foo__bar = 3;
  int32 a = 4 [json_name = "b"];
  string b = 5 [json_name = "c"];
}
service S {
  rpc R(Alike) returns (Alike) {
    option (google.api.http) = {post: "/alike" body: "*" additional_bindings {get: "/alike"}};
  }
}
"""


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        ("/alike", '{"fooBar":2}', {"fooBar": 2}),
        ("/alike", '{"foo_bar":1,"fooBar":2,"foo__bar":3}', None),
        ("/alike", '{"b":1,"c":"x"}', None),
        ("/alike?foo_bar=1&fooBar=2&foo__bar=3", "", {"foo_bar": 1, "fooBar": 2, "foo__bar": 3}),
        ("/alike?b=x", "", {"c": "x"}),
        ("/alike?a=1&c=x", "", {"b": 1, "c": "x"}),
    ],
)
def test_fields_of_one_json_name_have_their_own(target: str, body: str, expected: Any) -> None:
    """A value reaches one field alone, and an answer has all of them, each as a request may have it."""
    contract = load(compile_text(ALIKE))
    path, _, query = target.partition("?")
    found = Transcoder(contract, PRINTED).match("POST" if body else "GET", path)
    assert isinstance(found, RouteMatch)

    data = found.target.decode_request((), query.encode(), body.encode())
    assert json.loads(found.target.encode_response(data)) == (expected or json.loads(body))
