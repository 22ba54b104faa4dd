"""The parameters of a query in the OpenAPI document are those that the edge takes, whatever the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from gateway.contract.descriptors import Contract, load
from gateway.contract.fields import map_entry, query_names
from gateway.contract.json_options import JsonOptions
from gateway.contract.route_table import RouteMatch
from gateway.contract.service_config import auto_mapped
from gateway.render.openapi import render_openapi
from gateway.transcoding.status import StatusError
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text
from tests.transcoding.test_random_contracts import contracts

CANNOT = "cannot give|name one of its fields|name an entry of it"
SPECIAL = """
syntax = "proto3";
package r;
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message M0 {
  google.protobuf.Timestamp at = 1;
  google.protobuf.Duration wait = 2;
  google.protobuf.FieldMask mask = 3;
  google.protobuf.Value value = 4;
  repeated google.protobuf.Struct structs = 5;
  map<string, google.protobuf.Value> values = 6;
  map<int32, google.protobuf.Timestamp> times = 7;
  map<string, google.protobuf.Empty> empties = 8;
  repeated google.protobuf.Empty list = 9;
  google.protobuf.Empty all = 10;
  google.protobuf.StringValue text = 11;
  repeated google.protobuf.BoolValue flags = 12;
  map<bool, google.protobuf.Int64Value> counts = 13;
  map<string, M1> parts = 14;
  repeated M1 items = 15;
  M1 part = 16;
}
message M1 {
  string a = 1 [json_name = "x.y"];
  string b = 2 [json_name = "c[d]"];
  string c = 3 [json_name = "d"];
  M1 again = 4;
  int32 _x = 5;
  int32 x_ = 6;
  int32 a__b = 7;
  int32 HTTPCode = 8;
  int32 __ = 9;
  Empty nothing = 10;
}
message Empty {}
message Alike {
  option deprecated_legacy_json_field_conflicts = true;
  int32 foo_bar = 1;
  string fooBar = 2;
  string f = 3 [json_name = "g"];
  int32 g = 4 [json_name = "h"];
}
"""


def bound(contract: Contract, message: str) -> Contract:
    """Returns a contract in which one method, `GET /q`, takes a message in its query."""
    files = FileDescriptorSet(
        file=[
            FileDescriptorProto.FromString(contract.pool.FindFileByName(name).serialized_pb)
            for name in contract.files
            if name not in contract.supplied
        ]
    )
    method = files.file[-1].service.add(name="S").method.add(name="Q")
    method.input_type = method.output_type = f".r.{message}"
    found = auto_mapped(load(files.SerializeToString()))
    rule = found.methods[0].rule
    assert rule is not None
    rule.get, rule.body = "/q", ""
    return found


def sample(schema: Any, components: Any) -> str:
    """Returns a text that fits a schema of a parameter."""
    if "$ref" in schema:
        return sample(components[schema["$ref"].rpartition("/")[2]], components)
    if alternatives := schema.get("anyOf"):
        return sample(alternatives[0], components)
    if "enum" in schema:
        return str(schema["enum"][0])
    if schema.get("format") == "date-time":
        return "2026-11-22T08:00:00Z"
    if schema.get("type") == "array":
        return sample(schema["items"], components)
    if schema.get("type") == "boolean":
        return "true"
    if schema.get("contentEncoding") == "base64":
        return "AAAA"
    for text in ("1", "1s", "{}", "[]"):
        if re.search(schema.get("pattern", ""), text):
            return text
    raise AssertionError(f"no sample of {schema}")


def asked(parameter: Any, components: Any) -> str:
    """Returns a query that has one documented parameter."""
    name = parameter["name"]
    schema = parameter.get("schema") or {}
    if parameter.get("style") == "deepObject":
        keys = schema["propertyNames"]
        name += f"[{keys['enum'][0] if 'enum' in keys else '1'}]"
        schema = schema["additionalProperties"]
    return urlencode({name: sample(schema, components)})


def leaves(message: Descriptor, above: tuple[Descriptor, ...] = ()) -> Iterator[list[str]]:
    """Yields the path of every field, by own names; a type is not entered in itself."""
    for field in message.fields:
        yield [field.name]
        entry = map_entry(field)
        inner = entry[1].message_type if entry else field.message_type
        if inner is None or inner in (*above, message) or inner.full_name.startswith("google."):
            continue
        step = f"{field.name}[1]" if entry else field.name
        for path in leaves(inner, (*above, message)):
            yield [step, *path]


def check(contract: Contract, options: JsonOptions) -> None:
    """Asks the edge for each parameter that is documented, and for each field that is not."""
    transcoder = Transcoder(contract, options)
    document = render_openapi(contract, transcoder.bindings, title="t", options=options)
    validate(document)
    found = transcoder.match("GET", "/q")
    assert isinstance(found, RouteMatch)
    endpoint = found.target
    components = document["components"]["schemas"]
    documented = document["paths"]["/q"]["get"]["parameters"]

    own = set()
    for parameter in documented:
        assert endpoint.decode_request((), asked(parameter, components).encode(), b"") is not None
        message, steps = endpoint.method.input, []
        for step in parameter["name"].split("."):
            field = query_names(message)[step]
            steps.append(field.name)
            message = field.message_type or message
        own.add(".".join(steps))
    assert len(own) == len(documented)
    for path in leaves(endpoint.method.input):
        name = ".".join(path)
        if name in own:
            continue
        with pytest.raises(StatusError, match=CANNOT):
            endpoint.decode_request((), urlencode({name: "1"}).encode(), b"")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(contracts(), st.builds(JsonOptions, *[st.booleans()] * 4))
def test_any_contract_documents_what_its_query_takes(
    file: FileDescriptorProto, options: JsonOptions
) -> None:
    """Each parameter is taken, and no field but those can be given, under each setting."""
    check(bound(load(FileDescriptorSet(file=[file]).SerializeToString()), "M0"), options)


@pytest.mark.parametrize(
    "given_options",
    [
        (False, False, False, False),
        (True, True, False, False),
        (True, False, True, True),
        (False, True, True, True),
    ],
)
def test_special_messages_and_names_are_documented_as_they_are_taken(
    given_options: tuple[bool, bool, bool, bool],
) -> None:
    """Well-known types alone, in lists and in maps; names that a query reads as something else.

    Each setting of the JSON is on and off, beside each value of nearly every other one.
    """
    options = JsonOptions(*given_options)
    contract = load(compile_text(SPECIAL))
    for message in ("M0", "M1", "Alike"):
        check(bound(contract, message), options)
