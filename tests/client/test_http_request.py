"""The HTTP request of a message: what the edge makes of it is the message again."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf.json_format import MessageToDict

from gateway.client.http_request import NoRequest, body_of, http_request
from gateway.contract.http_rule import Binding, bindings
from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import echo_contract
from tests.echo_server import Everything

METHODS = {method.descriptor.name: method for method in echo_contract().methods}
TRANSCODER = Transcoder(echo_contract(), JsonOptions())


def bound(name: str, *words: str) -> list[Binding]:
    """Returns the bindings of a method whose text contains all words."""
    found = [each for each in bindings(METHODS[name]) if isinstance(each, Binding)]
    return [each for each in found if all(word in str(each) for word in words)]


STRUCT = '{"a":[1]}'
VALUES: dict[str, Any] = {
    "a scalar": {"stringField": "tea & milk/ü?", "int64Field": "7", "boolField": True},
    "bytes": {"stringField": "x", "bytesField": "//79"},
    "a nested message": {"stringField": "x", "nested": {"name": "n"}},
    "a time": {"stringField": "x", "timestampField": "2026-01-01T00:00:00Z"},
    "a duration": {"stringField": "x", "durationField": "1.500s"},
    "an enum": {"stringField": "x", "enumField": "COLOR_RED"},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "words", [("POST", "/v1/echo"), ("GET", "/v1/echo"), ("GET", "/v1/echo/{string_field}")]
)
def test_the_edge_reads_the_same_message(value: dict[str, Any], words: tuple[str, ...]) -> None:
    """From body, path and query, with all that has to be encoded."""
    only = [each for each in bound("Unary", *words) if str(each) == " ".join(words)]
    binding, request = http_request(only, value)
    path, _, query = request.target.partition("?")
    match = TRANSCODER.match(request.method, path)
    assert isinstance(match, RouteMatch)
    data = match.target.decode_request(match.captures, query.encode(), request.body or b"")

    assert MessageToDict(Everything.FromString(data)) == value
    assert binding is only[0]


@pytest.mark.parametrize(
    ("words", "value", "target", "body"),
    [
        (["{string_field=shelves/*}"], {"stringField": "shelves/a b"}, "/v1/shelves/a%20b:watch", None),
        (["GET /v1/files/{string_field=**}"], {"stringField": "a/b%2F/c"}, "/v1/files/a/b%252F/c", None),
        (["GET /v1/pairs/"], {"int32Field": 7, "enumField": "COLOR_RED"}, "/v1/pairs/7/COLOR_RED", None),
        (["PUT "], {"nested": {"name": "a/b", "number": "7"}}, "/v1/echo/a%2Fb/nested", b'{"number":"7"}'),
        (["POST /v1/scalar"], {"stringField": "a", "boolField": True}, "/v1/scalar?boolField=true", b'"a"'),
        (["POST /v1/items"], {"stringList": ["a", "b"]}, "/v1/items?stringList=a&stringList=b", b"{}"),
        (["REPORT"], {}, "/v1/reports", None),
        (["GET /v1/echo"], {"structField": {"a": [1]}}, f"/v1/echo?structField={quote(STRUCT)}", None),
        (["GET /v1/echo"], {"stringMap": {"k": "v"}}, "/v1/echo?stringMap%5Bk%5D=v", None),
        ([], {"nestedList": [{}]}, "/v1/echo", b'{"nestedList":[{}]}'),
    ],
)  # fmt: skip
def test_each_form_of_a_binding(
    words: list[str], value: dict[str, Any], target: str, body: bytes | None
) -> None:
    """Variables, also of several segments; bodies that are a field; queries with lists, maps and JSON."""
    _, request = http_request(bound("Unary", *words), value)

    assert (request.target, request.body) == (target, body)


@pytest.mark.parametrize(
    ("words", "value", "reason"),
    [
        (["GET /v1/echo/{string_field}"], {}, "string_field is '', which is not *"),
        (["GET /v1/echo/{string_field}"], {"stringField": ".."}, "string_field is '..'"),
        (["GET /v1/{string_field=shelves/*}"], {"stringField": "books/a"}, "which is not shelves/*"),
        (["GET /v1/{string_field=shelves/*}"], {"stringField": "shelves/"}, "which is not shelves/*"),
        (["GET /v1/times"], {"nestedList": [{"name": "a"}]}, "timestamp_field is ''"),
        (["REPORT"], {"nestedList": [{"name": "a"}]}, "a query cannot carry nestedList"),
        (["REPORT"], {"nested": {}}, "a query cannot carry an empty nested"),
    ],
)  # fmt: skip
def test_a_message_that_a_binding_cannot_carry(
    words: list[str], value: dict[str, Any], reason: str
) -> None:
    """Is refused with the reason, and the binding's text."""
    with pytest.raises(NoRequest, match=r"^(GET|REPORT) /v1/") as caught:
        http_request(bound("Unary", *words), value)
    assert reason in str(caught.value)


def test_the_next_binding_is_tried() -> None:
    """The first one that can carry the message is taken."""
    found = bound("Unary", "GET /v1/echo/{string_field}") + bound("Unary", "REPORT")
    binding, _ = http_request(found, {"int32Field": 1})

    assert binding.http_method == "REPORT"


def test_a_method_without_a_rule_has_no_request() -> None:
    """And neither have raw bytes."""
    with pytest.raises(NoRequest, match="the method has no HTTP rule"):
        http_request(bound("Unbound"), {})
    with pytest.raises(NoRequest, match="raw bytes"):
        http_request(bound("Raw"), {"data": ""})


def test_further_messages_have_no_path() -> None:
    """Of a stream, they carry only what is in the body."""
    (binding,) = bound("ClientStream", "{string_field}")
    assert body_of(binding, {"nested": {"name": "a"}}) == b'{"name":"a"}'
    assert body_of(binding, {}) == b"{}"
    with pytest.raises(NoRequest, match="only the first message can have stringField"):
        body_of(binding, {"stringField": "a"})
