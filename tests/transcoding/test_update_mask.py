"""The mask that a PATCH is given: what its body has, and nothing of what was passed over."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/wrappers.proto";
enum Color { NONE = 0; RED = 1; }
message Part { Color color = 1; string name = 2; Part part = 3; }
message Thing {
  string display_name = 1;
  Color color = 2;
  Part part = 3;
  repeated Color colors = 4;
  map<string, Color> by_name = 5;
  oneof choice { Color choice_color = 6; string choice_text = 7; }
  optional Color maybe = 8;
  google.protobuf.StringValue wrapped = 9;
  repeated Part parts = 10;
}
message Update { Thing thing = 1; google.protobuf.FieldMask update_mask = 2; Holder holder = 3; }
message Holder { Thing thing = 1; }
service S {
  rpc Patch(Update) returns (Update) {
    option (google.api.http) = {
      patch: "/things" body: "thing"
      additional_bindings { patch: "/held" body: "holder.thing" }
    };
  }
}
"""
TRANSCODER = Transcoder(load(compile_text(PROTO)), JsonOptions(), ignore_unknown=True)


def patched(body: str, path: str = "/things") -> Any:
    """Returns the request that a PATCH becomes."""
    found = TRANSCODER.match("PATCH", path)
    assert isinstance(found, RouteMatch)
    data = found.target.decode_request((), b"", body.encode())
    return GetMessageClass(found.target.method.input).FromString(data)


@pytest.mark.parametrize(
    ("body", "mask"),
    [
        ('{"displayName":"x","color":"PURPLE"}', ["display_name"]),
        ('{"color":"PURPLE"}', []),
        ('{"maybe":"PURPLE","color":"RED"}', ["color"]),
        ('{"part":{"color":"PURPLE","name":"n"}}', ["part.name"]),
        ('{"part":{"color":"PURPLE"}}', []),
        ('{"part":{"part":{"color":"PURPLE","name":"n"}}}', ["part.part.name"]),
        ('{"part":{"unknown":1},"displayName":"x"}', ["display_name"]),
        ('{"part":{"unknown":1,"name":"n"}}', ["part.name"]),
        ('{"unknown":1,"displayName":"x"}', ["display_name"]),
        ('{"colors":["PURPLE"],"displayName":"x"}', ["display_name"]),
        ('{"byName":{"a":"PURPLE"},"displayName":"x"}', ["display_name"]),
        ('{"choiceColor":"PURPLE","displayName":"x"}', ["display_name"]),
        ('{"choiceColor":"PURPLE","choiceText":"x"}', ["choice_text"]),
    ],
)
def test_what_was_passed_over_is_not_in_the_mask(body: str, mask: list[str]) -> None:
    """The server is not told to clear a field of which the caller gave a value that is not known here."""
    assert list(patched(body).update_mask.paths) == mask


@pytest.mark.parametrize(
    ("body", "mask"),
    [
        ('{"color":"NONE"}', ["color"]),
        ('{"color":0}', ["color"]),
        ('{"color":7}', ["color"]),
        ('{"color":"7"}', ["color"]),
        ('{"color":null}', ["color"]),
        ('{"part":null,"part2":null}', ["part"]),
        ('{"part":{}}', ["part"]),
        ('{"colors":[]}', ["colors"]),
        ('{"colors":["RED","PURPLE"]}', ["colors"]),
        ('{"byName":{}}', ["by_name"]),
        ('{"byName":{"a":"PURPLE","b":1}}', ["by_name"]),
        ('{"choiceColor":"RED"}', ["choice_color"]),
        ('{"wrapped":null}', ["wrapped"]),
        ('{"parts":[{"color":"PURPLE"}]}', ["parts"]),
    ],
)
def test_what_was_set_is_in_the_mask(body: str, mask: list[str]) -> None:
    """Null and empty values clear a field on purpose; proto3 keeps the number of an enum that it lacks."""
    assert list(patched(body).update_mask.paths) == mask


def test_the_mask_of_a_nested_body_names_fields_of_that_body() -> None:
    """A dotted `body` has its mask like any other: paths begin at the resource."""
    request = patched('{"displayName":"x","color":"PURPLE"}', "/held")

    assert request.holder.thing.display_name == "x"
    assert list(request.update_mask.paths) == ["display_name"]
