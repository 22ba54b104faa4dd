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
  string line_2 = 11;
  string HTTPCode = 12;
  string _x = 13;
  string fooBar = 14;
  string odd = 15 [json_name = "even"];
}
message Update { Thing thing = 1; google.protobuf.FieldMask update_mask = 2; Holder holder = 3; }
message Holder { Thing thing = 1; }
service S {
  rpc Patch(Update) returns (Update) {
    option (google.api.http) = {
      patch: "/things" body: "thing"
      additional_bindings { patch: "/held" body: "holder.thing" }
      additional_bindings { patch: "/named/{thing.part.name}" body: "thing" }
    };
  }
}
"""
TRANSCODER = Transcoder(load(compile_text(PROTO)), JsonOptions(), ignore_unknown=True)


def patched(body: str, path: str = "/things", mask: str | None = None) -> Any:
    """Returns the request that a PATCH becomes."""
    found = TRANSCODER.match("PATCH", path)
    assert isinstance(found, RouteMatch)
    query = b"" if mask is None else f"updateMask={mask}".encode()
    data = found.target.decode_request(found.captures, query, body.encode())
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


@pytest.mark.parametrize(
    ("mask", "body", "left"),
    [
        ("color,displayName", '{"displayName":"x","color":"PURPLE"}', ["display_name"]),
        ("part.color,part.name", '{"part":{"color":"PURPLE"}}', ["part.name"]),
        ("choiceColor", '{"choiceColor":"PURPLE"}', []),
        ("colors,byName", '{"colors":["PURPLE"],"byName":{"a":"PURPLE"}}', []),
        ("color", '{"color":"RED"}', ["color"]),
        ("color,maybe", '{"displayName":"x"}', ["color", "maybe"]),
        ("color", "", ["color"]),
        ("part", '{"part":{"color":"PURPLE","name":"n"}}', ["part"]),
        ("*", '{"color":"PURPLE"}', ["*"]),
        ("", '{"displayName":"x"}', []),
    ],
)
def test_what_was_passed_over_is_in_no_mask_that_is_given(
    mask: str, body: str, left: list[str]
) -> None:
    """The caller's own mask loses what its body gave a value that is not known; what it lacks is cleared."""
    assert list(patched(body, mask=mask).update_mask.paths) == left


@pytest.mark.parametrize(
    "mask", ["line_2", "line2", "HTTPCode", "_x", "X", "fooBar", "odd", "even", "part.name"]
)
def test_a_given_mask_has_the_names_of_the_fields(mask: str) -> None:
    """By either name of a field, also where lowerCamelCase does not lead back to it."""
    own = {"line2": "line_2", "X": "_x", "even": "odd"}.get(mask, mask)

    assert list(patched("{}", mask=mask).update_mask.paths) == [own]


@pytest.mark.parametrize("mask", ["nope", "part.nope", "parts.name", "byName.a", "wrapped.value"])
def test_a_path_that_is_no_field_is_left_to_the_server(mask: str) -> None:
    """In lower case, as a mask is read."""
    own = mask.replace("byName", "by_name")

    assert list(patched("{}", mask=mask).update_mask.paths) == [own]


@pytest.mark.parametrize(
    "body", ['{"part":{"color":"PURPLE"}}', '{"part":{"part":{"unknown":1}},"color":"PURPLE"}']
)
def test_an_empty_mask_comes_with_nothing_that_is_there(body: str) -> None:
    """It stands for all that is populated; a message in which nothing was read would clear the server's."""
    request = patched(body)

    assert list(request.update_mask.paths) == []
    assert request.thing.ListFields() == []


def test_what_the_path_sets_stays() -> None:
    """Though nothing of the body was read."""
    assert patched('{"part":{"color":"PURPLE"}}', "/named/n").thing.part.name == "n"
