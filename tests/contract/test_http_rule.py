"""google.api.http rules: what they bind, and what is refused at start-up."""

from __future__ import annotations

import httptools
import pytest

from gateway.contract.descriptors import Contract, load
from gateway.contract.errors import ContractError
from gateway.contract.http_methods import HTTP_METHODS
from gateway.contract.http_rule import Binding, bindings
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text, echo_contract

PROTO = """syntax = "proto3";
package test;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
message Inner { string name = 1; }
message Ask {
  string name = 1;
  Inner inner = 2;
  repeated string tags = 3;
  repeated Inner inners = 4;
  map<string, string> labels = 5;
  google.protobuf.Timestamp at = 6;
}
service Test {
  rpc First(Ask) returns (Inner) {
    option (google.api.http) = { %s };
  }
  rpc Second(Ask) returns (Inner) {
    option (google.api.http) = { %s };
  }
}
"""


def contract(rule: str, second: str = 'get: "/second"') -> Contract:
    """Loads a contract of two methods with these rules."""
    return load(compile_text(PROTO % (rule, second)))


def bound(rule: str) -> list[Binding]:
    """Returns the bindings of a rule; raises the first thing that is wrong with it."""
    found: list[Binding] = []
    for each in bindings(contract(rule).methods[0]):
        if isinstance(each, ContractError):
            raise each
        found.append(each)
    return found


@pytest.mark.parametrize(
    ("rule", "http_method"),
    [
        ('get: "/x"', "GET"),
        ('put: "/x"', "PUT"),
        ('post: "/x"', "POST"),
        ('delete: "/x"', "DELETE"),
        ('patch: "/x"', "PATCH"),
        ('custom { kind: "HEAD" path: "/x" }', "HEAD"),
        ('custom { kind: "*" path: "/x" }', "*"),
        ('custom { kind: "PROPFIND" path: "/x" }', "PROPFIND"),
    ],
)
def test_a_pattern_is_a_method_and_a_template(rule: str, http_method: str) -> None:
    """Each pattern of the rule is one binding; a custom kind stands as it is written."""
    (binding,) = bound(rule)

    assert str(binding) == f"{http_method} /x"


@pytest.mark.parametrize("http_method", sorted(HTTP_METHODS | {"CONNECT", "LIST", "get", "PRI"}))
def test_the_methods_are_those_that_the_parser_takes(http_method: str) -> None:
    """A rule can have the methods with which a request gets past the parser, and no other."""
    request = f"{http_method} /x HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    parser = httptools.HttpRequestParser(object())
    taken = True
    try:
        parser.feed_data(request)
    except httptools.HttpParserError:
        taken = False
    except httptools.HttpParserUpgrade:  # CONNECT
        taken = False

    assert taken == (http_method in HTTP_METHODS)


def test_dotted_fields_are_resolved() -> None:
    """`body` and `response_body` may lead through single messages, beyond what http.proto asks for."""
    (binding,) = bound('post: "/x" body: "inner.name"')

    assert binding.body is not None
    assert [field.name for field in binding.body.path] == ["inner", "name"]


def test_additional_bindings_follow_in_order() -> None:
    """A rule yields its own binding, and then one for each of its additional ones."""
    rule = 'get: "/a" additional_bindings { put: "/b" body: "*" } additional_bindings { get: "/c" }'

    assert [str(binding) for binding in bound(rule)] == ["GET /a", "PUT /b", "GET /c"]


def test_a_method_without_a_rule_binds_nothing() -> None:
    """No annotation, no binding."""
    (unbound,) = [m for m in echo_contract().methods if m.descriptor.name == "Unbound"]

    assert list(bindings(unbound)) == []


def test_fields_are_resolved() -> None:
    """Variables, body and response_body become the fields that they name."""
    (binding,) = bound('patch: "/{inner.name}/{at}" body: "inners" response_body: "name"')

    assert [[f.name for f in path] for _, path in binding.variables] == [["inner", "name"], ["at"]]
    assert binding.body is not None
    assert binding.body.field is not None
    assert binding.body.field.name == "inners"
    assert binding.response_body is not None
    assert binding.response_body.full_name == "test.Inner.name"


def test_the_star_body_is_the_message() -> None:
    """`body: "*"` is the whole message, and no body is none."""
    (whole,), (none,) = bound('post: "/x" body: "*"'), bound('post: "/x"')

    assert whole.body is not None
    assert whole.body.field is None
    assert none.body is None
    assert none.response_body is None


REFUSED = [
    ("", "the http rule has no pattern"),
    ('custom { path: "/x" }', "the kind '' of the custom pattern is no HTTP method"),
    ('get: "v1/x"', "path template 'v1/x', column 1: expected '/'"),
    ('get: "/v1/{name"', "path template '/v1/{name', column 10: the { at column 5 is not closed"),
    ('get: "/{nme}"', "path template '/{nme}', column 3: test.Ask has no field 'nme'"),
    ('get: "/{name}/{nam}"', "column 10: test.Ask has no field 'nam'"),
    ('get: "/{name=a/*}/{inner.x}"', "column 14: test.Inner has no field 'x'"),
    ('get: "/{name.x}"', "column 3: test.Ask.name is not a single message"),
    ('get: "/{tags}"', "column 3: test.Ask.tags is a repeated field, which a path cannot capture"),
    ('get: "/{labels}"', "column 3: test.Ask.labels is a repeated field"),
    ('get: "/{inners.name}"', "column 3: test.Ask.inners is not a single message"),
    ('get: "/{inner}"', "column 3: test.Ask.inner is a message, which a path cannot capture"),
    ('get: "/{name}/{name}"', "column 10: the field 'name' is captured twice"),
    ('post: "/x" body: "nme"', "body: test.Ask has no field 'nme'"),
    ('post: "/x" body: "inner.nme"', "body: test.Inner has no field 'nme'"),
    ('post: "/x" body: "inner."', "body: test.Inner has no field ''"),
    ('post: "/x" body: "inners.name"', "body: test.Ask.inners is not a single message"),
    ('post: "/x" body: "name.x"', "body: test.Ask.name is not a single message"),
    ('get: "/x" response_body: "name.x"', "response_body: test.Inner.name is not a single message"),
    (
        'custom { kind: "LIST" path: "/x" }',
        "the kind 'LIST' of the custom pattern is no HTTP method that a request can have here; one of ACL, ",
    ),
    ('custom { kind: "get" path: "/x" }', "HTTP methods are case-sensitive: write 'GET'"),
    (
        'custom { kind: "PRI" path: "/x" }',
        "the kind 'PRI' of the custom pattern is no HTTP method that a request can have",
    ),
    (
        'custom { kind: "CONNECT" path: "/x" }',
        "the kind 'CONNECT' of the custom pattern cannot be sent to a path",
    ),
    (
        'get: "/x" additional_bindings { custom { kind: "Watch" path: "/y" } }',
        "the kind 'Watch' of",
    ),
    ('get: "/a/../b"', "column 4: clients remove the segment '..' from a path"),
    ('get: "/."', "column 2: clients remove the segment '.' from a path"),
    ('get: "/{name=a/%2e%2E}"', "column 10: clients remove the segment '%2e%2E' from a path"),
    ('get: "/a//b"', "column 4: expected a segment, found '/'"),
    ('get: "/a?b=c"', "column 3: unexpected '?'"),
    ('get: "/a#b"', "column 3: unexpected '#'"),
    ('get: "/a b"', "column 3: unexpected ' '"),
    ('get: "/a:b/c"', "column 5: unexpected '/'"),
    ('get: "/x" response_body: "tags"', "response_body: test.Inner has no field 'tags'"),
    ('get: "/x" response_body: "*"', "response_body: test.Inner has no field '*'"),
    ('get: "/x" additional_bindings { get: "/{}" }', "column 3: expected a field name"),
    (
        'get: "/x" additional_bindings { get: "/y" additional_bindings { get: "/z" } }',
        "additional_bindings inside additional_bindings",
    ),
]


@pytest.mark.parametrize(("rule", "words"), REFUSED)
def test_refuses_a_wrong_rule(rule: str, words: str) -> None:
    """What is wrong with a rule is one line: file, line, column, method, and the fault."""
    with pytest.raises(ContractError) as caught:
        bound(rule)

    assert str(caught.value).startswith("test.proto:16:5: test.Test.First: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('get: "/x/{name}"', 'get: "/x/{inner.name}"'),
        ('get: "/x/*"', 'get: "/x/{name=*}"'),
        ('get: "/a" additional_bindings { get: "/b" }', 'get: "/b"'),
        ('custom { kind: "GET" path: "/a" }', 'get: "/a"'),
    ],
)
def test_refuses_one_path_for_two_methods(first: str, second: str) -> None:
    """Two methods on one path are refused, and both are named."""
    with pytest.raises(ContractError) as caught:
        Transcoder(contract(first, second), JsonOptions())

    assert "test.proto:19:5: test.Test.Second: " in str(caught.value)
    assert "is bound already, to test.Test.First" in str(caught.value)


def test_refuses_a_rule_that_repeats_itself() -> None:
    """One method twice on one path is refused as well."""
    with pytest.raises(ContractError, match=r"GET /x is bound already, to test\.Test\.First"):
        Transcoder(contract('get: "/x" additional_bindings { get: "/x" }'), JsonOptions())
