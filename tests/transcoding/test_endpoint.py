"""One binding: a request's parts become one message, and an answer's message its JSON."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2

from gateway.contract.route_table import RouteMatch
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.status import INTERNAL, INVALID_ARGUMENT, StatusError
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import echo_contract
from tests.transcoding.messages import EVERYTHING, NESTED

TRANSCODER = Transcoder(echo_contract(), JsonOptions())


def request(
    http_method: str, path: str, body: bytes = b"", *, transcoder: Transcoder = TRANSCODER
) -> Any:
    """Returns the message of a request; `path` may have a query."""
    raw_path, _, query = path.partition("?")
    found = transcoder.match(http_method, raw_path)
    assert isinstance(found, RouteMatch), found
    data = found.target.decode_request(found.captures, query.encode(), body)
    return GetMessageClass(found.target.method.input).FromString(data)


def endpoint(http_method: str, path: str) -> Endpoint:
    """Returns what a request reaches."""
    found = TRANSCODER.match(http_method, path)
    assert isinstance(found, RouteMatch), found
    return found.target


def violations(error: StatusError) -> list[tuple[str, str]]:
    """Returns the field violations that a status carries."""
    detail = error_details_pb2.BadRequest()
    assert error.status.details[0].Unpack(detail)
    return [(violation.field, violation.description) for violation in detail.field_violations]


READ = [
    ("the whole message", "POST", "/v1/echo", b'{"int32Field": 1}', EVERYTHING(int32_field=1)),
    ("an empty body is no field", "POST", "/v1/echo", b"", EVERYTHING()),
    ("query alone", "GET", "/v1/echo?nested.name=x", b"", EVERYTHING(nested={"name": "x"})),
    ("path and query", "GET", "/v1/echo/a?int32_field=1", b"", EVERYTHING(string_field="a", int32_field=1)),
    (
        "path, body field and query",
        "PUT",
        "/v1/echo/n/nested?string_field=s",
        b'{"number": "5"}',
        EVERYTHING(nested={"name": "n", "number": 5}, string_field="s"),
    ),
    ("a field of many messages", "POST", "/v1/items", b'[{"name": "a"}, {}]', EVERYTHING(nested_list=[{"name": "a"}, {}])),
    ("a field that is a scalar", "POST", "/v1/scalar", b'"x"', EVERYTHING(string_field="x")),
    ("an empty object where no body is", "GET", "/v1/echo/a", b"{}", EVERYTHING(string_field="a")),
    ("and with space around it and in it", "DELETE", "/v1/echo/a", b"\r\n { \t} ", EVERYTHING(string_field="a")),
    ("an empty body of a field", "POST", "/v1/items?int32_field=1", b"", EVERYTHING(int32_field=1)),
    ("several segments", "GET", "/v1/shelves/a%20b:watch", b"", EVERYTHING(string_field="shelves/a b")),
    ("no segments", "GET", "/v1/files", b"", EVERYTHING()),
    ("an enum and a number", "GET", "/v1/pairs/-5/COLOR_BLUE", b"", EVERYTHING(int32_field=-5, enum_field=2)),
    ("a custom method", "REPORT", "/v1/reports?int32_field=1", b"", EVERYTHING(int32_field=1)),
    ("path and body agree", "PUT", "/v1/echo/n/nested", b'{"name": "n"}', EVERYTHING(nested={"name": "n"})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("http_method", "path", "body", "expected"),
    [row[1:] for row in READ],
    ids=[row[0] for row in READ],
)
def test_reads(http_method: str, path: str, body: bytes, expected: Any) -> None:
    """Path, body and query become one message, as the binding says."""
    assert request(http_method, path, body) == expected


_NO_BODY = "the HTTP rule of echo.v1.Echo.Unary has no body: send the fields in the query"
REFUSED: list[tuple[str, str, str, bytes, list[tuple[str, str]]]] = [
    ("no body is taken", "GET", "/v1/echo", b'{"int32Field":1}', [("", _NO_BODY)]),
    ("no array for no body", "GET", "/v1/echo", b"[]", [("", _NO_BODY)]),
    ("no null for no body", "GET", "/v1/echo", b"null", [("", _NO_BODY)]),
    ("no half an object for no body", "GET", "/v1/echo", b"{", [("", _NO_BODY)]),
    ("no two objects for no body", "GET", "/v1/echo", b"{}{}", [("", _NO_BODY)]),
    ("no empty form for no body", "GET", "/v1/echo", b"=", [("", _NO_BODY)]),
    ("a malformed body", "POST", "/v1/echo", b"{", [("", "malformed JSON at line 1 column 2")]),
    ("a body of another kind", "POST", "/v1/echo", b"[]", [("", "expected an object, got an array")]),
    ("a key twice", "POST", "/v1/echo", b'{"a":1,"a":1}', [("", "the key 'a' is given twice")]),
    ("a fault in a body field", "POST", "/v1/items", b'[{"number": "x"}]', [("nestedList[0].number", "expected")]),
    ("a body field of another kind", "POST", "/v1/items", b"{}", [("nestedList", "expected an array")]),
    ("a scalar of another kind", "POST", "/v1/scalar", b"1", [("stringField", "expected a string")]),
    ("null is no message", "POST", "/v1/echo", b"null", [("", "expected an object, got null")]),
    ("a wrong capture", "GET", "/v1/pairs/x/y", b"", [("int32_field", "expected an integer"), ("enum_field", "echo.v1.Color has no value 'y'")]),
    ("path and body differ", "PUT", "/v1/echo/n/nested", b'{"name": "m"}', [("nested.name", "the path says 'n', and the body something else")]),
    ("the query names what the path does", "GET", "/v1/echo/a?stringField=a", b"", [("stringField", "path or body provide this field")]),
    ("the query names what the body does", "PUT", "/v1/echo/n/nested?nested.number=1", b"", [("nested.number", "path or body provide this field")]),
    ("a star body leaves no query", "POST", "/v1/echo?int32_field=1", b"{}", [("int32_field", "path or body provide this field")]),
    ("a query that is no UTF-8", "GET", "/v1/echo?a=%FF", b"", [("", "the query is not UTF-8")]),
    (
        "all at once",
        "PUT",
        "/v1/echo/n/nested?int32_field=x&nope=1",
        b'{"number": "x", "nam": 1, "name": "m"}',
        [
            ("nested.number", "expected an integer"),
            ("nested.nam", "unknown field; did you mean 'name'?"),
            ("nested.name", "the path says 'n', and the body something else"),
            ("int32_field", "expected an integer"),
            ("nope", "unknown query parameter"),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("http_method", "path", "body", "expected"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refuses(http_method: str, path: str, body: bytes, expected: list[tuple[str, str]]) -> None:
    """What is wrong with any part is told at once, before any call is made."""
    with pytest.raises(StatusError) as caught:
        request(http_method, path, body)

    told = violations(caught.value)
    assert caught.value.code == INVALID_ARGUMENT
    assert [field for field, _ in told] == [field for field, _ in expected]
    for (_, description), (_, words) in zip(told, expected, strict=True):
        assert words in description


def test_the_message_of_a_status_names_the_first_fault() -> None:
    """The text for people has the first fault, and how many more there are."""
    with pytest.raises(StatusError) as caught:
        request("GET", "/v1/pairs/x/y")

    assert caught.value.status.message == (
        "int32_field: expected an integer (int32), got 'x' (and 1 more)"
    )


def test_a_stream_says_where_a_message_stands() -> None:
    """The faults of a message in a stream carry its number, and path and query speak in the first alone."""
    upload = endpoint("POST", "/v1/upload")

    with pytest.raises(StatusError) as first:
        upload.decode_request((), b"x=1", b'{"int32Field": "x"}', step="[0]")
    with pytest.raises(StatusError) as later:
        upload.decode_frame(b"[]", step="[7]")

    assert [path for path, _ in violations(first.value)] == ["[0].int32Field", "[0].x"]
    assert [path for path, _ in violations(later.value)] == ["[7]"]
    assert EVERYTHING.FromString(upload.decode_frame(b'{"int32Field": 1}', step="[1]")) == (
        EVERYTHING(int32_field=1)
    )


def test_a_frame_is_what_the_body_is() -> None:
    """Where the body is one field, so is each frame; the path stands in the first message."""
    upload = endpoint("POST", "/v1/upload/a")

    first = upload.decode_request(("a",), b"", b'{"name": "x"}', step="[0]")
    later = upload.decode_frame(b'{"name": "y"}', step="[1]")

    assert EVERYTHING.FromString(first) == EVERYTHING(string_field="a", nested={"name": "x"})
    assert EVERYTHING.FromString(later) == EVERYTHING(nested={"name": "y"})


@pytest.mark.parametrize(
    ("http_method", "path", "message", "expected"),
    [
        ("POST", "/v1/echo", EVERYTHING(string_field="é"), '{"stringField":"é"}'),
        ("PATCH", "/v1/echo/x", EVERYTHING(nested={"name": "n"}), '{"name":"n"}'),
        ("PATCH", "/v1/echo/x", EVERYTHING(), "{}"),
        ("GET", "/v1/names/x", EVERYTHING(string_field="s"), '"s"'),
        ("GET", "/v1/names/x", EVERYTHING(), '""'),
    ],
)
def test_writes(http_method: str, path: str, message: Any, expected: str) -> None:
    """An answer is the message, or the one field that is the whole body."""
    data = message.SerializeToString()

    assert endpoint(http_method, path).encode_response(data).decode() == expected


OUT_OF_RANGE = EVERYTHING()
OUT_OF_RANGE.timestamp_field.seconds = 10**15


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        OUT_OF_RANGE.SerializeToString(),
        EVERYTHING(bytes_field=b"\xff").SerializeToString()[:-1],
    ],
)
def test_an_answer_without_json_is_an_internal_error(data: bytes) -> None:
    """What upstream sent and the contract does not allow is INTERNAL, and names the method."""
    with pytest.raises(StatusError, match=r"the answer of echo\.v1\.Echo\.Unary") as caught:
        endpoint("POST", "/v1/echo").encode_response(data)

    assert caught.value.code == INTERNAL


def test_equal_requests_of_streams_have_equal_bytes() -> None:
    """Whatever the order of a map's entries, so that they can share a call."""
    entries = [f'"k{number}": "v"' for number in range(50)]
    bodies = [",".join(each).encode() for each in (entries, reversed(entries))]
    stream = endpoint("POST", "/v1/stream")
    made = {stream.decode_request((), b"", b'{"stringMap": {%b}}' % body) for body in bodies}

    assert len(made) == 1


def test_any_number_of_accepts_has_its_encoder() -> None:
    """Each prints as its options say, though few are kept."""
    echo = endpoint("POST", "/v1/echo")
    one = EVERYTHING(int64_field=1).SerializeToString()
    for number in range(100):
        accept = f"application/json; q=0.{number}1"
        assert echo.whole_encoder(accept)(one) == b'{"int64Field":"1"}'
        assert echo.whole_encoder(f"{accept}; int64=number")(one) == b'{"int64Field":1}'
        assert echo.whole_encoder(accept) is echo.encode_response
    with pytest.raises(StatusError, match="Accept takes none"):
        echo.whole_encoder("text/html")


def test_the_setting_lets_unknown_names_pass() -> None:
    """`ignore_unknown` is one word for JSON and query."""
    lenient = Transcoder(echo_contract(), JsonOptions(), ignore_unknown=True)

    assert request("POST", "/v1/echo", b'{"nope": 1}', transcoder=lenient) == EVERYTHING()
    assert request("GET", "/v1/echo?nope=1", transcoder=lenient) == EVERYTHING()


def test_nothing_is_kept_between_requests() -> None:
    """An endpoint gives each request a message of its own."""
    request("POST", "/v1/echo", b'{"int32Field": 1, "nested": {"name": "x"}}')

    assert request("POST", "/v1/echo", b'{"nested": {}}') == EVERYTHING(nested=NESTED())
