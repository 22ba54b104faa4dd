"""What a change breaks over HTTP: rules of this edge, which no other tool has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from gateway.contract.descriptors import Contract, load
from gateway.contract.evolution.differences import differences
from gateway.contract.evolution.rules import Level
from gateway.contract.service_config import auto_mapped
from tests.contracts import compile_text

HEAD: Final = """
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/timestamp.proto";
import "gateway/v1/options.proto";
"""
MESSAGES: Final = """
message Author { string name = 1; string city = 2; }
message Query {
  string id = 1; string shelf = 2; int32 size = 3; repeated string tags = 4; Author author = 5; Book book = 6;
}
message Book { string id = 1; string title = 2; Author author = 3; repeated Author others = 4; int64 at = 5; }
"""


def contract(method: str, messages: str = MESSAGES, more: str = "") -> Contract:
    """Compiles a service `Shop` with one method, and perhaps more."""
    return load(compile_text(f"{HEAD}{messages}\nservice Shop {{ {method} {more} }}"))


def get(rule: str, name: str = "Get", types: str = "(Query) returns (Book)") -> str:
    """Returns a method with an HTTP rule."""
    return f"rpc {name}{types} {{ option (google.api.http) = {{ {rule} }}; }}"


def stream(options: str) -> str:
    """Returns a server stream with stream options."""
    return (
        'rpc Watch(Query) returns (stream Book) { option (google.api.http) = { get: "/books" };'
        f" {options and f'option (gateway.v1.stream) = {{ {options} }};'} }}"
    )


@dataclass(frozen=True)
class Change:
    """A change of one method, and what it breaks over HTTP."""

    name: str
    old: str
    new: str
    rules: tuple[str, ...] = ()
    text: str = ""
    """In the first difference."""

    def __str__(self) -> str:
        return self.name


CHANGES: Final = (
    Change("nothing", get('get: "/books/{id}"'), get('get: "/books/{id}"')),
    Change(
        "deleted",
        get('get: "/a" additional_bindings { get: "/b" }'),
        get('get: "/a"'),
        ("HTTP_BINDING_NO_DELETE",),
        "GET /b was deleted",
    ),
    Change("added", get('get: "/a"'), get('get: "/a" additional_bindings { get: "/b" }')),
    Change(
        "in another order",
        get('get: "/a" additional_bindings { get: "/b" }'),
        get('get: "/b" additional_bindings { get: "/a" }'),
    ),
    Change(
        "rule deleted",
        get('get: "/a"'),
        "rpc Get(Query) returns (Book);",
        ("HTTP_BINDING_NO_DELETE",),
    ),
    Change(
        "moved",
        get('get: "/books/{id}"'),
        get('get: "/v1/books/{id}"'),
        ("HTTP_BINDING_SAME_PATH",),
        "GET /books/{id} moved to GET /v1/books/{id}",
    ),
    Change(
        "moved, the old one kept",
        get('get: "/books/{id}"'),
        get('get: "/v1/books/{id}" additional_bindings { get: "/books/{id}" }'),
    ),
    Change(
        "verb",
        get('put: "/books/{id}" body: "book"'),
        get('patch: "/books/{id}" body: "book"'),
        ("HTTP_BINDING_SAME_VERB",),
        "PUT /books/{id} is PATCH now",
    ),
    Change(
        "any verb",
        get('get: "/books/{id}"'),
        get('custom: { kind: "*" path: "/books/{id}" }'),
    ),
    Change(
        "custom verb",
        get('post: "/books/{id}:buy" body: "*"'),
        get('post: "/books/{id}:sell" body: "*"'),
        ("HTTP_BINDING_SAME_PATH",),
    ),
    Change(
        "variable sets another field",
        get('get: "/books/{id}"'),
        get('get: "/books/{shelf}"'),
        ("HTTP_BINDING_SAME_VARIABLES",),
    ),
    Change(
        "variable is literal",
        get('get: "/books/{id}"'),
        get('get: "/books/*"'),
        ("HTTP_BINDING_SAME_VARIABLES",),
    ),
    Change(
        "variables swapped",
        get('get: "/{id}/{shelf}"'),
        get('get: "/{shelf}/{id}"'),
        ("HTTP_BINDING_SAME_VARIABLES",),
    ),
    Change("pattern written out", get('get: "/books/{id}"'), get('get: "/books/{id=*}"')),
    Change("pattern wider", get('get: "/{id=books/*}"'), get('get: "/{id=**}"')),
    Change(
        "pattern narrower",
        get('get: "/{id=**}"'),
        get('get: "/{id=books/*}"'),
        ("HTTP_BINDING_SAME_PATH",),
        "GET /{id=**} moved to",
    ),
    Change(
        "pattern a little narrower",
        get('get: "/books/{id=**}"'),
        get('get: "/books/{id=*}"'),
        ("HTTP_BINDING_SAME_PATH",),
        "matches fewer paths",
    ),
    Change(
        "pattern captures less",
        get('get: "/{id=books/*}"'),
        get('get: "/books/{id}"'),
        ("HTTP_BINDING_SAME_VARIABLES",),
    ),
    Change(
        "body of one field",
        get('post: "/books" body: "*"'),
        get('post: "/books" body: "book"'),
        ("HTTP_BINDING_SAME_BODY",),
        'from "*" to "book"',
    ),
    Change(
        "body of another field",
        get('post: "/books" body: "author"'),
        get('post: "/books" body: "book"'),
        ("HTTP_BINDING_SAME_BODY",),
    ),
    Change(
        "body deleted",
        get('post: "/books" body: "*"'),
        get('post: "/books"'),
        ("HTTP_BINDING_SAME_BODY",),
        'from "*" to none',
    ),
    Change(
        "body added",
        get('post: "/books"'),
        get('post: "/books" body: "*"'),
        ("HTTP_BINDING_SAME_BODY",),
    ),
    Change(
        "response body",
        get('get: "/books"'),
        get('get: "/books" response_body: "author"'),
        ("HTTP_BINDING_SAME_RESPONSE_BODY",),
        "from the message to the field author",
    ),
    Change(
        "response body of another field",
        get('get: "/books" response_body: "title"'),
        get('get: "/books" response_body: "author"'),
        ("HTTP_BINDING_SAME_RESPONSE_BODY",),
    ),
    Change(
        "additional binding's body",
        get('get: "/a" additional_bindings { post: "/b" body: "*" }'),
        get('get: "/a" additional_bindings { post: "/b" body: "book" }'),
        ("HTTP_BINDING_SAME_BODY",),
    ),
    Change(
        "another method",
        get('get: "/a"') + get('get: "/b"', "Other"),
        get('get: "/b"') + get('get: "/a"', "Other"),
        ("HTTP_BINDING_SAME_METHOD", "HTTP_BINDING_SAME_METHOD"),
        "GET /a calls shop.v1.Shop.Other now",
    ),
    Change(
        "another method's wider template",
        get('get: "/books/{id}"') + get('get: "/{id=**}"', "Other"),
        get('get: "/v2/{id}"') + get('get: "/{id=**}"', "Other"),
        ("HTTP_BINDING_SAME_METHOD",),
    ),
    Change(
        "wider template that never got all",
        get('get: "/{id=**}"') + get('get: "/{id}"', "Other"),
        get('get: "/{id=**}"') + get('get: "/{id}"', "Other"),
    ),
    Change(
        "method renamed",
        get('get: "/a"'),
        get('get: "/a"', "Fetch"),
    ),
    Change(
        "method replaced",
        get('get: "/a"'),
        get('get: "/a"', "Fetch", "(Query) returns (Author)"),
        ("HTTP_BINDING_SAME_METHOD",),
    ),
    Change(
        "stream options the same", stream("linger { seconds: 5 }"), stream("linger { seconds: 9 }")
    ),
    Change(
        "no resumption",
        stream("linger { seconds: 5 }"),
        stream(""),
        ("HTTP_STREAM_SAME_RESUMPTION",),
        "misses what came since",
    ),
    Change(
        "shared no more",
        stream('shared: true key: "id"'),
        stream("slow_consumer: SLOW_CONSUMER_DROP_OLDEST"),
        ("HTTP_STREAM_SAME_RESUMPTION",),
    ),
    Change(
        "ids of the server",
        stream("shared: true"),
        stream('id_field: "at" resume_field: "id"'),
        ("HTTP_STREAM_SAME_RESUMPTION",),
        "event ids are those of at for id, no longer of the edge",
    ),
    Change(
        "another id",
        stream('id_field: "at" resume_field: "id"'),
        stream('id_field: "id" resume_field: "id"'),
        ("HTTP_STREAM_SAME_RESUMPTION",),
    ),
    Change("resumption added", stream(""), stream("shared: true")),
    Change("never resumed", stream("slow_consumer: SLOW_CONSUMER_DISCONNECT"), stream("")),
)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_of_a_binding_breaks_its_rule(change: Change) -> None:
    """And no other one of HTTP; what the old bindings took is still taken, or reported."""
    found = differences(contract(change.old), contract(change.new))

    http = [one for one in found if one.rule.level is Level.HTTP]
    assert tuple(one.rule.name for one in http) == change.rules
    assert not change.rules or change.text in http[0].text


FIELDS: Final = (
    # rule, old field, new field, the rule that is reported for it, and its level
    ('get: "/books"', "int32 size = 3;", 'reserved 3; reserved "size";', "HTTP_QUERY_PARAMETER"),
    ('post: "/b" body: "*"', "int32 size = 3;", 'reserved 3; reserved "size";', "HTTP_BODY_FIELD"),
    ('post: "/b" body: "book"', "int32 size = 3;", 'reserved 3; reserved "size";', "HTTP_QUERY_"),
    ('get: "/books"', "int32 size = 3;", "", "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED"),
    ('get: "/books"', "int32 size = 3;", "int32 page = 3;", "FIELD_SAME_NAME"),
    ('get: "/books"', "Author author = 5;", 'reserved 5; reserved "author";', "HTTP_QUERY_"),
)


@pytest.mark.parametrize(("rule", "old", "new", "reported"), FIELDS)
def test_a_field_that_requests_can_give_no_more_is_reported_once(
    rule: str, old: str, new: str, reported: str
) -> None:
    """A reserved field breaks neither wire nor JSON, but the edge refuses requests that still give it.

    Where the rules of JSON or of the wire say it already, nothing is added.
    """
    found = differences(contract(get(rule)), contract(get(rule), MESSAGES.replace(old, new, 1)))

    names = {one.rule.name for one in found if one.rule.level > Level.SOURCE}
    assert any(name.startswith(reported) for name in names)
    assert len(names - {"FIELD_SAME_JSON_NAME"}) == 1


def test_nested_fields_are_found_in_query_and_body() -> None:
    """With their dotted names in the query."""
    shorter = MESSAGES.replace("string city = 2;", 'reserved 2; reserved "city";')
    for rule, text in (
        ('get: "/books"', "GET /books: the deleted query parameter author.city"),
        ('post: "/books" body: "*"', "POST /books: a body that has the deleted field"),
    ):
        found = differences(contract(get(rule)), contract(get(rule), shorter))

        assert [one.element for one in found] == ["shop.v1.Author.city"]
        assert found[0].text.startswith(text)
        assert found[0].rule.level is Level.HTTP


def test_a_field_of_responses_alone_may_go_when_it_is_reserved() -> None:
    """Nobody sends it."""
    shorter = MESSAGES.replace("string title = 2;", 'reserved 2; reserved "title";')
    rule = 'get: "/authors/{id}" body: "author"'
    types = "(Query) returns (Book)"
    old = contract(get(rule, types=types), MESSAGES.replace("Book book = 6;", ""))
    new = contract(get(rule, types=types), shorter.replace("Book book = 6;", ""))

    assert [one.rule.name for one in differences(old, new)] == ["FIELD_NO_DELETE"]


def test_a_recursive_type_is_searched_once() -> None:
    """Its fields have infinitely many names."""
    messages = (
        "message Query {{ Query inner = 1; map<string, Query> all = 2; {} }} message Book {{}}"
    )
    old, new = messages.format("string a = 3;"), messages.format('reserved 3; reserved "a";')
    for rule in ('get: "/books"', 'post: "/books" body: "*"'):
        found = differences(contract(get(rule), old), contract(get(rule), new))

        assert {one.element for one in found} == {"shop.v1.Query.a"}


def test_the_bindings_are_those_that_are_served() -> None:
    """A method that `auto_mapping` serves loses its path when it gets a rule of its own."""
    old = auto_mapped(contract("rpc Get(Query) returns (Book);"))
    new = auto_mapped(contract(get('get: "/books"')))

    texts = [one.text for one in differences(old, new)]
    assert texts == ["POST /shop.v1.Shop/Get moved to GET /books"]


def test_a_faulty_rule_is_no_binding() -> None:
    """It was never served; the command reports it with its own words."""
    faulty = contract(get('get: "/books/{nothing}"'))

    assert differences(faulty, contract(get('get: "/books"'))) == []


def test_googles_own_files_are_not_compared() -> None:
    """A set that lacks them, or has older ones, is no other contract."""
    with_options = contract(get('get: "/books"'))
    service = "service Shop { rpc Get(Query) returns (Book); }"
    without = load(compile_text(f'syntax = "proto3"; package shop.v1; {MESSAGES} {service}'))

    levels = {one.rule.name for one in differences(with_options, without)}
    assert levels == {"HTTP_BINDING_NO_DELETE"}
