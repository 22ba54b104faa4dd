"""The schemas of a document beside the JSON that the edge prints and takes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.json_options import JsonOptions
from gateway.transcoding.codec import JsonCodec
from tests.contracts import echo_contract
from tests.render.documents import (
    answer_schema,
    document_of,
    matches,
    operations,
    parameters,
    rendered,
    request_schema,
    resolved,
)
from tests.transcoding.messages import EVERYTHING, decoded, messages, violations

EVERY_WAY = [
    JsonOptions(defaults=a, proto_names=b, enum_numbers=c, int64_numbers=d)
    for a, b, c, d in product((False, True), repeat=4)
]


@cache
def echo(options: JsonOptions) -> dict[str, Any]:
    """Returns the document of the tests' own contract."""
    return rendered(echo_contract(), options)


def printed(message: Any, options: JsonOptions) -> Any:
    """Returns the JSON of a message, parsed again."""
    write = JsonCodec(echo_contract().pool, options).encoder().writer(message.DESCRIPTOR)
    return orjson.loads(orjson.dumps(write(message)))


def properties(options: JsonOptions) -> Any:
    """Returns the properties of an `Everything` that is answered."""
    schema = answer_schema(echo(options)["paths"]["/v1/echo"]["post"])
    return resolved(echo(options), schema)["properties"]


@settings(deadline=None)
@given(messages(EVERYTHING), st.sampled_from(EVERY_WAY))
def test_what_is_printed_matches_the_schema(message: Any, options: JsonOptions) -> None:
    """However a process prints, its answers match its document, and have no name that is not there."""
    value = printed(message, options)

    operation = echo(options)["paths"]["/v1/echo"]["post"]
    assert matches(echo(options), answer_schema(operation), value)
    assert value.keys() <= properties(options).keys()


@settings(deadline=None)
@given(messages(EVERYTHING), st.sampled_from(EVERY_WAY))
def test_what_is_printed_can_be_sent_back(message: Any, options: JsonOptions) -> None:
    """An answer is a request by the document too: the names in both are those that are printed."""
    value = printed(message, options)
    value.pop(
        "any_field" if options.proto_names else "anyField", None
    )  # any types, by any names; said in words

    operation = echo(options)["paths"]["/v1/echo"]["post"]
    assert matches(echo(options), request_schema(operation), value)


@pytest.mark.parametrize("change", ["proto_names", "enum_numbers", "int64_numbers", "defaults"])
def test_each_option_changes_what_matches(change: str) -> None:
    """What another process would print is not what this one's document says."""
    message = EVERYTHING(renamed_field="x", int64_field=5, enum_field=1)
    plain = JsonOptions()
    other = replace(plain, **{change: True})

    schemas = {
        options: answer_schema(echo(options)["paths"]["/v1/echo"]["post"])
        for options in (plain, other)
    }
    assert matches(echo(other), schemas[other], printed(message, other))
    if change == "proto_names":
        assert "renamed_field" in properties(other)
        assert "customName" not in properties(other)
    elif change == "defaults":
        assert not matches(echo(other), schemas[other], printed(message, plain))
    else:
        assert not matches(echo(plain), schemas[plain], {"int64Field": 5})
        assert not matches(echo(other), schemas[other], {"int64Field": "5", "enumField": "X"})


def test_fields_that_are_always_printed_are_required() -> None:
    """With `print_defaults` those without presence are in each answer, and no others; else none is."""
    schema = resolved(
        echo(JsonOptions(defaults=True)),
        answer_schema(echo(JsonOptions(defaults=True))["paths"]["/v1/echo"]["post"]),
    )
    fields = EVERYTHING.DESCRIPTOR.fields

    assert schema["required"] == [field.json_name for field in fields if not field.has_presence]
    assert "required" not in echo(JsonOptions())["components"]["schemas"]["echo.v1.Everything"]


def test_parameters_have_the_printed_names() -> None:
    """In a query the edge takes both names of a field; the document has the one that is printed."""
    document = echo(JsonOptions(proto_names=True))

    names = parameters(document["paths"]["/v1/echo"]["get"])
    assert {"nested.name", "renamed_field", "int64_field", "int32_wrapper"} <= names.keys()
    assert "customName" not in names


@pytest.mark.parametrize(
    "text",
    [
        '{"int32Field":"7"}',
        '{"int32Field":2147483648}',
        '{"int32Field":"2147483648"}',
        '{"int32Field":-2147483648.0}',
        '{"uint64Field":"18446744073709551615"}',
        '{"uint64Field":"18446744073709551616"}',
        '{"uint64Field":-1}',
        '{"int64Field":"-9223372036854775808"}',
        '{"int64Field":"-9223372036854775809"}',
        '{"doubleField":"NaN"}',
        '{"doubleField":"nan"}',
        '{"doubleField":"-Infinity"}',
        '{"floatField":1e39}',
        '{"floatField":3.4028234663852886e38}',
        '{"boolField":"true"}',
        '{"stringField":null}',
        '{"stringField":1}',
        '{"bytesField":"_-8="}',
        '{"bytesField":"_-8"}',
        '{"bytesField":"=="}',
        '{"enumField":"COLOR_SCARLET"}',
        '{"enumField":"COLOR_GREEN"}',
        '{"enumField":17}',
        '{"enumField":2147483648}',
        '{"nested":null}',
        '{"nested":[]}',
        '{"nested":{"nome":"x"}}',
        '{"nestedList":null}',
        '{"nestedList":[null]}',
        '{"int32List":[1,null]}',
        '{"stringMap":{"a":null}}',
        '{"nestedMap":{"1":{}}}',
        '{"nestedMap":{"x":{}}}',
        '{"boolMap":{"true":1}}',
        '{"boolMap":{"1":1}}',
        '{"int64Map":{"9223372036854775808":1}}',
        '{"durationField":"315576000000s"}',
        '{"durationField":"315576000001s"}',
        '{"durationField":"1"}',
        '{"maskField":"aB,c.d"}',
        '{"maskField":"a_b"}',
        '{"maskField":"a,,b"}',
        '{"valueField":null}',
        '{"listValueField":{}}',
        '{"structField":[]}',
        '{"int64Wrapper":null}',
        '{"int64Wrapper":{"value":1}}',
        '{"choiceString":"","choiceInt32":1}',
        '{"choiceString":"","choiceInt32":null}',
        '{"choiceNull":null,"choiceInt32":1}',
        '{"choiceNull":null,"choiceInt32":null}',
        '{"choiceNull":"NULL_VALUE"}',
        '{"optionalInt32":null}',
        '{"everything":{"everything":{"unknown":1}}}',
        "null",
        "[]",
    ],
)
def test_a_request_matches_the_schema_as_the_edge_takes_it(text: str) -> None:
    """What the edge takes is right by the document, and what it refuses is wrong."""
    document = echo(JsonOptions())

    by_document = matches(
        document, request_schema(document["paths"]["/v1/echo"]["post"]), orjson.loads(text)
    )
    assert by_document == (violations(text) == [])


def test_ignored_unknown_fields_are_right_by_the_document() -> None:
    """Where the process lets unknown fields pass, so does its document."""
    document = rendered(echo_contract(), ignore_unknown=True)

    schema = request_schema(document["paths"]["/v1/echo"]["post"])
    assert matches(document, schema, {"unknown": 1})
    assert decoded('{"unknown":1}', ignore_unknown=True) == EVERYTHING()


def test_of_a_oneof_one_field_is_there() -> None:
    """Two of its fields match neither the request nor the answer; a lone proto3 `optional` is free."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {post: "/a" body: "*"}; } }
        message M {
          oneof first { string a = 1; string b = 2; }
          oneof second { M c = 3; string d = 4; }
          optional string e = 5;
          optional string f = 6;
        }""")

    [operation] = operations(document)
    for schema in (request_schema(operation), answer_schema(operation)):
        assert matches(document, schema, {"a": "", "c": {}, "e": "", "f": ""})
        assert not matches(document, schema, {"a": "", "b": ""})
        assert not matches(document, schema, {"c": {}, "d": ""})
        assert not matches(document, schema, {"c": {"a": "", "b": ""}})


def test_enums_of_proto2_are_closed() -> None:
    """A number that a closed enum has not is neither answered nor taken; an open one may be either."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {post: "/a" body: "*"}; } }
        message M { Open open = 1; }
        enum Open { ZERO = 0; ONE = 1; }""")
    [operation] = operations(document)
    for schema in (request_schema(operation), answer_schema(operation)):
        assert matches(document, schema, {"open": "ONE"})
        assert matches(document, schema, {"open": 7})
        assert not matches(document, schema, {"open": "TWO"})
