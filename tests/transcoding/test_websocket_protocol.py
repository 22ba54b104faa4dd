"""The WebSocket subprotocols: frames, close codes, reasons."""

from __future__ import annotations

import json

import pytest
from google.rpc import code_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcoding.status import INVALID_ARGUMENT, StatusError
from gateway.transcoding.websocket_envelope import GrpcJsonEnvelope
from gateway.transcoding.websocket_protocol import (
    GrpcJson,
    HalfClose,
    HeadersFrame,
    Subprotocol,
    close_code,
    close_reason,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', b'{"a": 1}'),
        ("é", "é".encode()),
        (" ", b" "),
        ("", HalfClose.HALF_CLOSE),
    ],
)
def test_a_text_frame_is_a_message(text: str, expected: bytes | HalfClose) -> None:
    """In `grpc-json.v1` a text frame is one message, and an empty one the half-close."""
    assert GrpcJson().read(text, None) == expected


def test_messages_are_all_that_is_said() -> None:
    """In `grpc-json.v1` there is no frame for metadata or a status, and a gap is an `Any`."""
    dialect = GrpcJson()

    assert dialect.message(b'{"a":1}') == '{"a":1}'
    assert dialect.headers((("etag", "x"),)) == dialect.status(b"{}", (("cost", "3"),)) == ""
    assert dialect.gap(b'{"missed":12}') == (
        '{"@type":"type.googleapis.com/gateway.v1.Gap","missed":12}'
    )


@pytest.mark.parametrize("dialect", [GrpcJson(), GrpcJsonEnvelope()])
@pytest.mark.parametrize("data", [b"", b"\x00\x01"])
def test_a_binary_frame_is_refused(dialect: Subprotocol, data: bytes) -> None:
    """Neither subprotocol has binary frames."""
    with pytest.raises(StatusError, match=rf"is binary: {len(data)} bytes") as caught:
        dialect.read(None, data)

    assert caught.value.code == INVALID_ARGUMENT


def begun() -> GrpcJsonEnvelope:
    """Returns the envelope of a client that has sent its headers."""
    dialect = GrpcJsonEnvelope()
    dialect.read('{"headers":{}}', None)
    return dialect


@pytest.mark.parametrize(
    "json",
    [
        "{}",
        "null",
        '{"a":"}"}',
        '{"n":12345678901234567890123}',
        '{"a":1,"a":2}',
        '{"f":1.10}',
        '{"message":{}}',
        "{",
        '{},"message":{}',
    ],
)
@pytest.mark.parametrize("frame", ['{"message":%s}', ' { "message" :\n%s }\r\n'])
def test_a_message_is_cut_out_as_it_stands(frame: str, json: str) -> None:
    """Nothing between client and codec reads a message: not its numbers, and not its keys.

    What is no JSON stays none: the codec says so.
    """
    read = begun().read(frame % json, None)

    assert isinstance(read, bytes)
    assert read.strip() == json.encode()


def test_a_name_may_be_escaped() -> None:
    """A frame is JSON, and JSON has more than one way to spell a name."""
    assert begun().read(r'{"m\u0065ssage":{"a":[1,"x"]}}', None) == b'{"a":[1,"x"]}'


def test_headers_become_header_fields() -> None:
    """A key has a string, or several; names are in lower case, as ASGI gives those of headers."""
    frame = '{"headers":{"Authorization":"Bearer é","x":["1","2"],"y":[]}}'

    assert GrpcJsonEnvelope().read(frame, None) == HeadersFrame(
        ((b"authorization", "Bearer é".encode()), (b"x", b"1"), (b"x", b"2"))
    )


def test_the_half_close_is_an_empty_object() -> None:
    """`{"half_close": {}}` says that there are no more messages."""
    assert begun().read('{"half_close": {}}', None) is HalfClose.HALF_CLOSE


KINDS = "headers, message or half_close"
WRONG = [
    ("", "malformed JSON at line 1 column 1"),
    ("x", "malformed JSON at line 1 column 1"),
    ('{"message":}', "malformed JSON at line 1 column 12"),
    ("[]", f"a frame is an object with one member: {KINDS}"),
    ("{}", f"a frame is an object with one member: {KINDS}"),
    ('{"a":1,"message":{}}', f"a frame is an object with one member: {KINDS}"),
    ('{"half_close":{},"half_close":{}}', "the key 'half_close' is given twice"),
    ('{"gap":{}}', f"'gap' is no frame: expected {KINDS}"),
    ('{"half_close":1}', "half_close: expected {}"),
    ('{"headers":{}}', "headers must be the first frame, and the only one of their kind"),
]


@pytest.mark.parametrize(("frame", "problem"), WRONG)
def test_a_wrong_frame_says_what_is_wrong(frame: str, problem: str) -> None:
    """What is no frame is INVALID_ARGUMENT."""
    with pytest.raises(StatusError) as caught:
        begun().read(frame, None)

    assert caught.value.code == INVALID_ARGUMENT
    assert problem in caught.value.status.message


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ('{"message":{}}', "headers must be the first frame"),
        ('{"half_close":{}}', "headers must be the first frame"),
        ('{"headers":[]}', "headers: expected an object"),
        ('{"headers":{"a":1}}', "a: expected a string, or an array of strings"),
        (
            '{"headers":{"a":["x",null],"b":{}}}',
            "a: expected a string, or an array of strings (and",
        ),
    ],
)
def test_a_client_begins_with_headers(frame: str, problem: str) -> None:
    """The first frame is the metadata, and nothing else."""
    with pytest.raises(StatusError) as caught:
        GrpcJsonEnvelope().read(frame, None)

    assert caught.value.code == INVALID_ARGUMENT
    assert problem in caught.value.status.message


METADATA = (("a", "1"), ("b-bin", b"\xff"), ("a", "2"))


def test_an_envelope_says_what_is_in_it() -> None:
    """Metadata are objects, bytes in base64; messages and gaps are as they were; a status has both."""
    dialect = GrpcJsonEnvelope()
    status = b'{"code":5,"message":"no","details":[{"@type":"t","n":"9007199254740993"}]}'

    assert dialect.headers(METADATA) == '{"headers":{"a":["1","2"],"b-bin":"/w=="}}'
    assert dialect.message(b'{"n":1.10}') == '{"message":{"n":1.10}}'
    assert dialect.gap(b'{"missed":12}') == '{"gap":{"missed":12}}'
    assert dialect.status(b"{}", ()) == '{"status":{"trailers":{}}}'
    assert dialect.status(status, METADATA[:1]) == (
        '{"status":{"code":5,"message":"no",'
        '"details":[{"@type":"t","n":"9007199254740993"}],"trailers":{"a":"1"}}}'
    )


def test_a_status_is_sent_as_it_was_printed() -> None:
    """However deep its details nest: what could be printed alone is not printed again."""
    deepest = b'{"details":%b0%b}' % (b"[" * 253, b"]" * 253)
    sent = GrpcJsonEnvelope().status(deepest, (("cost", "3"), ("cost", "4")))

    assert sent.encode() == b'{"status":%b,"trailers":{"cost":["3","4"]}}}' % deepest[:-1]


@given(st.text() | st.from_regex(r'\s*\{\s*"(message|headers|half_close)"\s*:.*', fullmatch=True))
@settings(deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No frame does more than be wrong; one that is right is JSON with one member, and no other is."""
    try:
        read = begun().read(text, None)
    except StatusError as error:
        assert error.code == INVALID_ARGUMENT  # noqa: PT017 - not every text is refused
        return
    if isinstance(read, bytes) and is_json(read.decode()):
        assert list(json.loads(text)) == ["message"]
    elif isinstance(read, bytes):
        assert not is_json(text) or len(json.loads(text, object_pairs_hook=list)) > 1


def is_json(text: str) -> bool:
    """Whether another parser takes a text."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, 1000), *((code, 4000 + code) for code in code_pb2.Code.values() if code)],
)
def test_each_status_has_its_close_code(code: int, expected: int) -> None:
    """OK closes normally, and every other code with 4000 and its number."""
    assert close_code(code) == expected


@pytest.mark.parametrize("code", [-1, 17, 999, 1000, 2**31 - 1])
def test_a_code_that_grpc_does_not_know_is_unknown(code: int) -> None:
    """A number that is no code closes as UNKNOWN does, never outside the private range."""
    assert close_code(code) == 4002


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("gone", "gone"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "😀" * 31, "x" + "😀" * 30),
        ("x" * 120 + "😀", "x" * 120),
    ],
)
def test_a_reason_is_cut_between_characters(message: str, expected: str) -> None:
    """A reason holds as many whole characters as fit in 123 bytes."""
    assert close_reason(message) == expected


@given(st.text())
@settings(deadline=None)
def test_a_reason_always_fits(message: str) -> None:
    """Whatever the message, its reason fits a close frame, and is its beginning."""
    reason = close_reason(message)

    assert len(reason.encode()) <= 123
    assert message.startswith(reason)
