"""RFC 9113, section 8: requests and answers, their fields, their length, their order."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import ConnectionEvent, DataReceived, HeadersReceived, StreamReset
from tests.wire.http2 import octets as h2
from tests.wire.http2.stage import (
    ANSWER,
    BOTH,
    CLIENT,
    REQUEST,
    SERVER,
    TRAILERS,
    Case,
    Outcome,
    Stage,
    State,
    check,
    head,
    parameters,
    resets,
    tells,
)

PROTOCOL = ErrorCode.PROTOCOL_ERROR
MALFORMED = resets(1, PROTOCOL)
METHOD, SCHEME, PATH, AUTHORITY, *_ = REQUEST
OPENS = {Role.SERVER: State.IDLE, Role.CLIENT: State.OPEN}


def of_request(
    clause: str, fields: Headers, outcome: Outcome = MALFORMED, *, end: bool = False
) -> Case:
    """Returns a case of a request on stream 1."""
    return Case(clause, SERVER, State.IDLE, h2.headers(1, fields, end=end), outcome)


def of_answer(
    clause: str, fields: Headers, outcome: Outcome = MALFORMED, *, end: bool = False
) -> Case:
    """Returns a case of an answer on stream 1."""
    return Case(clause, CLIENT, State.OPEN, h2.headers(1, fields, end=end), outcome)


def of_trailers(clause: str, fields: Headers, outcome: Outcome = MALFORMED) -> Case:
    """Returns a case of trailers on stream 1."""
    return Case(clause, BOTH, State.ANSWERED, h2.headers(1, fields, end=True), outcome)


def taken(fields: Headers, *, end: bool = False, trailers: bool = False) -> Outcome:
    """Returns the outcome of fields that are as they should be."""
    return tells(HeadersReceived(1, fields, end_stream=end, is_trailers=trailers))


def with_field(clause: str, name: bytes, value: bytes, *, good: bool = False) -> list[Case]:
    """Returns cases of a field in a request, in an answer and in trailers."""
    field = ((name, value),)
    return [
        of_request(
            f"{clause}-in-request", REQUEST + field, taken(REQUEST + field) if good else MALFORMED
        ),
        of_answer(
            f"{clause}-in-answer", ANSWER + field, taken(ANSWER + field) if good else MALFORMED
        ),
        of_trailers(
            f"{clause}-in-trailers",
            TRAILERS + field,
            taken(TRAILERS + field, end=True, trailers=True) if good else MALFORMED,
        ),
    ]


FIELDS = [
    *with_field("8.2.1-upper-case", b"X-A", b"1"),
    *with_field("8.2.1-one-upper-case-letter", b"x-bZ", b"1"),
    *with_field("8.2.1-space-in-a-name", b"x a", b"1"),
    *with_field("8.2.1-nul-in-a-name", b"x\0a", b"1"),
    *with_field("8.2.1-del-in-a-name", b"x\x7fa", b"1"),
    *with_field("8.2.1-beyond-ascii-in-a-name", b"x\xe9", b"1"),
    *with_field("8.2.1-newline-in-a-name", b"x\n", b"1"),
    *with_field("8.2.1-colon-in-a-name", b"x:a", b"1"),
    *with_field("8.2.1-no-name", b"", b"1"),
    *with_field("8.2.1-nul-in-a-value", b"x-a", b"1\x002"),
    *with_field("8.2.1-lf-in-a-value", b"x-a", b"1\n2"),
    *with_field("8.2.1-cr-in-a-value", b"x-a", b"1\r"),
    *with_field("8.2.1-space-before-a-value", b"x-a", b" 1"),
    *with_field("8.2.1-space-after-a-value", b"x-a", b"1 "),
    *with_field("8.2.1-tab-before-a-value", b"x-a", b"\t1"),
    *with_field("8.2.1-tab-after-a-value", b"x-a", b"1\t"),
    *with_field("8.2.1-tab-in-a-value", b"x-a", b"1\t2", good=True),
    *with_field("8.2.1-no-value", b"x-a", b"", good=True),
    *with_field("8.2.1-bytes-beyond-ascii-in-a-value", b"x-a", b"\x80\xff", good=True),
    *with_field("8.2.1-every-character-of-a-token", b"!#$%&'*+-.^_`|~09az", b"1", good=True),
    *with_field("8.2.2-connection", b"connection", b"close"),
    *with_field("8.2.2-proxy-connection", b"proxy-connection", b"close"),
    *with_field("8.2.2-keep-alive", b"keep-alive", b"1"),
    *with_field("8.2.2-transfer-encoding", b"transfer-encoding", b"chunked"),
    *with_field("8.2.2-upgrade", b"upgrade", b"h2c"),
    of_request("8.2.2-te-gzip", (*REQUEST[:4], (b"te", b"gzip"))),
    of_request("8.2.2-te-trailers-and-more", (*REQUEST[:4], (b"te", b"trailers, deflate"))),
    of_request("8.2.2-no-te", REQUEST[:4], taken(REQUEST[:4])),
    *with_field("8.3-unknown-pseudo-header", b":what", b"1"),
    *with_field("8.3-pseudo-header-without-a-name", b":", b"1"),
    of_request("8.3-status-in-request", ((b":status", b"200"), *REQUEST)),
    of_answer("8.3-method-in-answer", (METHOD, *ANSWER)),
    of_answer("8.3-path-in-answer", (*ANSWER[:1], PATH, *ANSWER[1:])),
    of_trailers("8.1-status-in-trailers", ((b":status", b"200"), *TRAILERS)),
    of_trailers("8.1-path-in-trailers", (PATH, *TRAILERS)),
    of_request("8.3-pseudo-header-behind-others", (METHOD, SCHEME, (b"te", b"trailers"), PATH)),
    of_answer("8.3-status-behind-others", (ANSWER[1], ANSWER[0])),
    *(of_request(f"8.3-{field[0][1:].decode()}-twice", (field, *REQUEST)) for field in REQUEST[:4]),
    of_answer("8.3-status-twice", (ANSWER[0], *ANSWER)),
    *(
        of_request(f"8.3.1-no-{field[0][1:].decode()}", tuple(f for f in REQUEST if f != field))
        for field in (METHOD, SCHEME, PATH)
    ),
    of_request("8.3.1-no-authority", tuple(f for f in REQUEST if f != AUTHORITY), taken(tuple(f for f in REQUEST if f != AUTHORITY))),
    of_request("8.3.1-no-pseudo-headers", REQUEST[4:]),
    of_request("8.3.1-no-fields", ()),
    of_request("8.3.1-empty-path", (METHOD, SCHEME, (b":path", b""))),
    of_request("8.3.1-host-is-another", (*REQUEST, (b"host", b"there"))),
    of_request("8.3.1-host-is-the-same", (*REQUEST, (b"host", b"here")), taken((*REQUEST, (b"host", b"here")))),
    of_request("8.3.1-host-alone", (METHOD, SCHEME, PATH, (b"host", b"here")), taken((METHOD, SCHEME, PATH, (b"host", b"here")))),
    of_answer("8.3.2-no-status", ANSWER[1:]),
    of_answer("8.3.2-no-fields", ()),
    of_answer("8.3.2-status-is-no-number", ((b":status", b"2xx"),)),
    of_answer("8.3.2-status-is-empty", ((b":status", b""),)),
    of_answer("8.3.2-status-of-two-digits", ((b":status", b"20"),)),
    of_answer("8.3.2-status-of-four-digits", ((b":status", b"2000"),)),
    of_answer("8.3.2-status-with-a-sign", ((b":status", b"+20"),)),
    of_answer("8.3.2-status-below-100", ((b":status", b"099"),)),
    of_answer("8.3.2-any-final-status", ((b":status", b"599"),), taken(((b":status", b"599"),))),
    # well formed, but there are no tunnels here
    of_request("8.5-connect", ((b":method", b"CONNECT"), (b":authority", b"there:1"))),
    of_request("8.5-connect-with-path", ((b":method", b"CONNECT"), *REQUEST[1:])),
]  # fmt: skip


EARLY: Headers = ((b":status", b"103"), (b"link", b"</x>"))
CONTINUE: Headers = ((b":status", b"100"),)
HEARD = {
    Role.SERVER: HeadersReceived(1, REQUEST, end_stream=False, is_trailers=False),
    Role.CLIENT: HeadersReceived(1, ANSWER, end_stream=False, is_trailers=False),
}
ENDED = HeadersReceived(1, TRAILERS, end_stream=True, is_trailers=True)

MESSAGES = [
    Case("8.1-whole", BOTH, State.ANSWERED, h2.data(1, b"ab") + h2.data(1, b"c") + h2.headers(1, TRAILERS, end=True),
         tells(DataReceived(1, b"ab", end_stream=False), DataReceived(1, b"c", end_stream=False), ENDED,
               together=(DataReceived(1, b"abc", end_stream=True, trailers=TRAILERS),))),
    Case("8.1-trailers-only", CLIENT, State.OPEN, h2.headers(1, ANSWER, end=True), tells(HeadersReceived(1, ANSWER, end_stream=True, is_trailers=False))),
    Case("8.1-data-before-the-answer", CLIENT, State.OPEN, h2.data(1, b"x"), MALFORMED),
    Case("8.1-data-after-an-interim-answer", CLIENT, State.OPEN, h2.headers(1, CONTINUE) + h2.data(1, b"x"), MALFORMED),
    Case("8.1-empty-end-before-the-answer", CLIENT, State.OPEN, h2.data(1, end=True), MALFORMED),
    Case("8.1-trailers-that-do-not-end", BOTH, State.ANSWERED, h2.headers(1, TRAILERS), MALFORMED),
    Case("8.1-a-second-final-answer", CLIENT, State.ANSWERED, h2.headers(1, ANSWER), MALFORMED),
    Case("8.1-an-interim-answer-after-the-final", CLIENT, State.ANSWERED, h2.headers(1, CONTINUE), MALFORMED),
    Case("8.1-a-second-request", SERVER, State.OPEN, h2.headers(1, REQUEST), MALFORMED),
    Case("8.1-interim-answers", CLIENT, State.OPEN, h2.headers(1, CONTINUE) + h2.headers(1, EARLY) * 3 + h2.headers(1, ANSWER), tells(HEARD[Role.CLIENT])),
    Case("8.1-an-interim-answer-that-ends", CLIENT, State.OPEN, h2.headers(1, CONTINUE, end=True), MALFORMED),
    Case("8.6-switching-protocols", CLIENT, State.OPEN, h2.headers(1, ((b":status", b"101"),)), MALFORMED),
    Case("8.1-an-answer-to-an-interim-request", SERVER, State.IDLE, h2.headers(1, CONTINUE), MALFORMED),
    Case("8.1-no-error-after-a-whole-answer", CLIENT, State.HALF_CLOSED_REMOTE, h2.reset(1, 0), tells(StreamReset(1, 0, "", by_peer=True))),
]  # fmt: skip


def length(value: bytes) -> Headers:
    """Returns a field of the length."""
    return ((b"content-length", value),)


def said_at_once(
    first: HeadersReceived, told: tuple[ConnectionEvent, ...]
) -> tuple[ConnectionEvent, ...]:
    """Returns what is told of a head and what follows: all is with the head."""
    for event in told:
        if isinstance(event, DataReceived):
            first = replace(first, data=first.data + event.data, end_stream=event.end_stream)
        elif isinstance(event, HeadersReceived):
            first = replace(first, trailers=event.headers, end_stream=True)
    return (first,)


def of_length(
    clause: str,
    role: Role,
    value: Headers,
    *rest: bytes,
    good: bool,
    told: tuple[ConnectionEvent, ...] = (),
    end: bool = False,
) -> Case:
    """Returns a case of a message with a length, and data on stream 1 behind its head."""
    first = HeadersReceived(1, head(role) + value, end_stream=end, is_trailers=False)
    together = said_at_once(first, told)
    if good:
        outcome = tells(first, *told, together=together)
    else:
        outcome = resets(1, PROTOCOL, told=(first, *told), together=together)
    return Case(
        clause,
        (role,),
        OPENS[role],
        h2.headers(1, head(role) + value, end=end) + b"".join(rest),
        outcome,
    )


LENGTHS = [
    case
    for role in BOTH
    for case in (
        of_length("8.1.1-length-as-said", role, length(b"5"), h2.data(1, b"abc"), h2.data(1, b"de", end=True), good=True,
                  told=(DataReceived(1, b"abc", end_stream=False), DataReceived(1, b"de", end_stream=True))),
        of_length("8.1.1-length-without-padding", role, length(b"3"), h2.data(1, b"abc", end=True, pad=7), good=True, told=(DataReceived(1, b"abc", end_stream=True),)),
        of_length("8.1.1-length-as-said-then-trailers", role, length(b"3"), h2.data(1, b"abc"), h2.headers(1, TRAILERS, end=True), good=True, told=(DataReceived(1, b"abc", end_stream=False), ENDED)),
        of_length("8.1.1-length-twice-the-same", role, length(b"3") * 2, h2.data(1, b"abc", end=True), good=True, told=(DataReceived(1, b"abc", end_stream=True),)),
        of_length("8.1.1-less-than-said", role, length(b"5"), h2.data(1, b"abc", end=True), good=False),
        of_length("8.1.1-more-than-said", role, length(b"2"), h2.data(1, b"abc"), good=False),
        of_length("8.1.1-more-than-said-later", role, length(b"3"), h2.data(1, b"abc"), h2.data(1, b"d"), good=False, told=(DataReceived(1, b"abc", end_stream=False),)),
        of_length("8.1.1-less-than-said-then-trailers", role, length(b"5"), h2.data(1, b"abc"), h2.headers(1, TRAILERS, end=True), good=False, told=(DataReceived(1, b"abc", end_stream=False),)),
        of_length("8.1.1-nothing-as-said", role, length(b"0"), end=True, good=True),
    )
]  # fmt: skip
LENGTHS += [
    of_request("8.1.1-nothing-though-said", REQUEST + length(b"1"), end=True),
    *(
        of_request(f"8.1.1-a-length-that-is-none-{number}", REQUEST + length(value))
        for number, value in enumerate((b"-1", b"+1", b"1.0", b"0x1", b"", b"1,2", b"1 2", b"a", "\u0661".encode()))
    ),
    of_request("8.1.1-two-lengths", REQUEST + length(b"1") + length(b"2")),
    of_answer("8.1.1-nothing-though-said-in-an-answer", ANSWER + length(b"1"), end=True),
    of_answer("8.1.1-204-has-no-content", ((b":status", b"204"), *length(b"7")), taken(((b":status", b"204"), *length(b"7")), end=True), end=True),
    of_answer("8.1.1-304-has-no-content", ((b":status", b"304"), *length(b"7")), taken(((b":status", b"304"), *length(b"7")), end=True), end=True),
]  # fmt: skip


@parameters(FIELDS)
def test_a_field(case: Case, role: Role) -> None:
    """What is not well formed resets its stream, and is not told (8.2, 8.3)."""
    check(case, role)


@parameters(MESSAGES)
def test_the_order_of_a_message(case: Case, role: Role) -> None:
    """Interim answers, one header section, data, trailers (8.1)."""
    check(case, role)


@parameters(LENGTHS)
def test_a_length(case: Case, role: Role) -> None:
    """content-length is the sum of the data, or the message is malformed (8.1.1)."""
    check(case, role)


def test_8_1_a_reset_without_error_takes_no_answer_away() -> None:
    """A server that has answered in full may say that it wants no more of the request."""
    stage = Stage(Role.CLIENT, State.OPEN)
    stage.connection.send_data(1, bytes(100_000))

    events = stage.hear(
        h2.headers(1, ANSWER), h2.data(1, b"x"), h2.headers(1, TRAILERS, end=True), h2.reset(1, 0)
    )

    assert events[0] == replace(HEARD[Role.CLIENT], data=b"x", end_stream=True, trailers=TRAILERS)
    assert [type(event) for event in events[1:]] == [StreamReset]
    assert stage.connection.open_streams == 0


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_5_4_2_a_malformed_message_is_reset_once(role: Role) -> None:
    """What comes of it later is passed over."""
    stage = Stage(role, State.ANSWERED)
    stage.hear(h2.headers(1, TRAILERS))
    stage.frames()

    assert stage.hear(h2.data(1, b"x"), h2.headers(1, TRAILERS, end=True), h2.window(1, 5)) == []
    assert [frame for frame in stage.frames() if frame.kind == h2.Kind.RST_STREAM] == []
    stage.lives()


def test_a_malformed_request_is_a_stream_that_was_used() -> None:
    """Its id cannot be used again (5.1.1), and it holds no place among the open ones."""
    stage = Stage(Role.SERVER)
    stage.hear(h2.headers(1, ((b"Bad", b""),)))

    assert stage.connection.open_streams == 0
    assert stage.hear(h2.data(1, b"x", end=True)) == []
    stage.frames()
    stage.lives()


def test_ours_are_sent_as_they_are_given() -> None:
    """Order and bytes of fields, also those beyond ASCII; and never in an empty section."""
    stage = Stage(Role.SERVER, State.OPEN)
    odd: Headers = (*ANSWER, (b"x-a", b"\xff\x80"), (b"x-b", b""), (b"x-a", b"again"))
    stage.connection.send_headers(1, odd)
    stage.connection.send_headers(1, TRAILERS, end_stream=True)

    assert stage.fields(stage.frames()) == [odd, TRAILERS]
