"""Plain queries are read as all queries are, only sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.transcoding.codec import JsonCodec, JsonOptions
from gateway.transcoding.parameters import Parameters, parse_query
from gateway.transcoding.plain_query import PlainQuery
from tests.contracts import echo_contract

POOL = echo_contract().pool
EVERYTHING = POOL.FindMessageTypeByName("echo.v1.Everything")
NEW = GetMessageClass(EVERYTHING)
PARAMETERS = Parameters(JsonCodec(POOL, JsonOptions()).decoder)
PLAIN = PlainQuery(EVERYTHING, ())
NAMES = [
    *(name for field in EVERYTHING.fields for name in (field.name, field.json_name)),
    *("nothing", "", "message.field", "%73tringField", "mapField[a]"),
]
TEXTS = [
    "",
    "1",
    "-1",
    "1.5",
    "true",
    "false",
    "NaN",
    "1e400",
    "x",
    "a b",
    "a+b",
    "ä",
    "%",
    "1,2",
    "Zm9v",
]


def one_after_the_other(query: bytes) -> tuple[Any, bool]:
    """Reads a query as an endpoint does; returns the message or the error, and whether it was plain."""
    message = NEW()
    if PLAIN.apply(message, query):
        return message.SerializeToString(deterministic=True), True
    try:
        PARAMETERS.set_query(message, parse_query(query), ())
    except ValueError as error:
        return str(error), False
    return message.SerializeToString(deterministic=True), False


def in_full(query: bytes) -> Any:
    """Reads it without the short way."""
    message = NEW()
    try:
        PARAMETERS.set_query(message, parse_query(query), ())
    except ValueError as error:
        return str(error)
    return message.SerializeToString(deterministic=True)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(TEXTS) | st.text(max_size=8)), max_size=4
    ),
    st.booleans(),
)
@example([("stringField", "a"), ("string_field", "b")], True)
@example([("int32Field", "1"), ("int32Field", "1")], True)
def test_every_query_is_read_the_same(pairs: Sequence[tuple[str, str]], coded: bool) -> None:
    """Whatever its names, texts and errors are."""
    code = quote_plus if coded else (lambda text: text)
    query = "&".join(f"{name}={code(text)}" for name, text in pairs).encode(
        "utf-8", "surrogatepass"
    )
    if query:
        assert one_after_the_other(query)[0] == in_full(query)


@pytest.mark.parametrize(
    "query",
    [
        b"stringField=x",
        b"string_field=x&int32Field=-1&doubleField=1.5&boolField=true",
        b"stringField=a+b%2Bc%C3%A4",
        b"stringField",
        b"int64Field=9007199254740993",
    ],
)
def test_what_clients_send_is_plain(query: bytes) -> None:
    """Scalar fields by either name, with percent-encoding; and it is read the same."""
    told, plain = one_after_the_other(query)
    assert plain
    assert told == in_full(query)


@pytest.mark.parametrize(
    "query",
    [
        b"stringField=%ff",
        b"stringField=\xff",
        b"stringField=x&stringField=y",
        b"stringField=x&string_field=y",
        b"int32Field=x",
        b"nothing=1",
        b"&stringField=x",
        b"stringField=" + b"x" * 20_000,
        b"int32Field=5000000000",
    ],
)
def test_anything_else_is_read_in_full(query: bytes) -> None:
    """Errors above all, whose words stand there."""
    told, plain = one_after_the_other(query)
    assert not plain
    assert told == in_full(query)


def test_what_path_or_body_provide_is_not_plain() -> None:
    """The query must not set it, nor any field where the body is the whole message."""
    field = EVERYTHING.fields_by_name["string_field"]
    assert not PlainQuery(EVERYTHING, [(field,)]).apply(NEW(), b"stringField=x")
    assert PlainQuery(EVERYTHING, [(field,)]).apply(NEW(), b"int32Field=1")
    assert not PlainQuery(EVERYTHING, [()]).apply(NEW(), b"int32Field=1")
