"""Heads that differ in what traces a request alone: they mean the same, and each keeps what is its own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.known_heads import Form, KnownHeads, Meaning, Own, Question, find_cut
from gateway.edge.whole_request import WholeHead, WholeRequests
from gateway.testing import ScriptedUpstream
from gateway.transcoding.metadata import DEFAULT_REQUEST_HEADERS, MetadataFilter
from gateway.transcoding.request_head import RequestHead
from tests.edge.asgi import running
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer

_GET = b"GET /v1/names/1 HTTP/1.1\r\nhost: x\r\n%b\r\n"
_TRACE = b"traceparent: 00-%032x-00f067aa0ba902b7-01\r\n"
_OWN_NAMES = (b"traceparent", b"x-request-id")


async def ask(app: FastAPI, upstream: ScriptedUpstream, lines: bytes) -> tuple[Any, bytes]:
    """Asks with these lines in the head; returns the metadata upstream, and the id that is answered."""
    _, headers, _ = await answer(app, _GET % lines)
    return dict(upstream.calls[-1].metadata), headers[b"x-request-id"]


@pytest.mark.parametrize("line", [_TRACE, _TRACE.capitalize()])
async def test_a_trace_is_its_request_s(
    app: FastAPI, upstream: ScriptedUpstream, line: bytes
) -> None:
    """Upstream is told of the trace of each request, once, though their head is read once."""
    asked = [await ask(app, upstream, line % number) for number in range(4)]

    assert [metadata["traceparent"] for metadata, _ in asked] == [
        f"00-{number:032x}-00f067aa0ba902b7-01" for number in range(4)
    ]
    assert all(len(call.metadata) == 2 for call in upstream.calls)
    assert len({request_id for _, request_id in asked}) == 4
    assert all(metadata["x-request-id"].encode() == answered for metadata, answered in asked)
    meanings = [app.state.direct.read(_GET % (line % number))[0] for number in (7, 8)]
    assert meanings[0] is meanings[1]


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-Id", b"X-Request-ID"])
async def test_an_id_is_its_request_s(
    app: FastAPI, upstream: ScriptedUpstream, name: bytes
) -> None:
    """Upstream and the caller are told the id that the request came with, beside a trace or alone."""
    for lines in (b"%b: id-%d\r\n", _TRACE % 1 + b"%b: id-%d\r\n"):
        for number in range(3):
            metadata, answered = await ask(app, upstream, lines % (name, number))
            assert metadata["x-request-id"].encode() == answered == b"id-%d" % number
            assert len(upstream.calls[-1].metadata) == lines.count(b"\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        _TRACE % 1 + _TRACE % 2,
        b"x-request-id: a\r\nX-Request-Id: b\r\n",
        b"traceparent:1\r\n",
        b"traceparent: 1 \r\n",
        b"tracestate: a=1\r\n" + _TRACE % 1,
    ],
)
def test_what_is_unusual_is_not_kept(app: FastAPI, lines: bytes) -> None:
    """Two of a kind, another layout, and what else traces."""
    direct = app.state.direct
    direct.read(_GET % lines)

    assert direct.read(_GET % lines)[0] is not direct.read(_GET % lines)[0]


@pytest.mark.parametrize(
    ("cut", "other"),
    [
        (b"x-request-id: %b\r\n", b"X-REQUEST-ID: %b\r\n"),
        (b"traceparent: %b\r\n", b"Traceparent: %b\r\n"),
        (b"Traceparent: %b\r\n", b"traceparent: %b\r\n"),
        (b"traceparent: %b\r\n", b"Grpc-Metadata-Traceparent: %b\r\n"),
        (b"x-request-id: %b\r\n", b"Grpc-Metadata-X-Request-Id: %b\r\n"),
    ],
)
@pytest.mark.parametrize("passing", [True, False])
async def test_what_is_said_twice_means_what_it_meant(
    make_app: MakeApp, upstream: ScriptedUpstream, cut: bytes, other: bytes, passing: bool
) -> None:
    """By another spelling too, whatever came before, and whether or not upstream is told."""
    options: dict[str, Any] = {} if passing else {"request_headers": ()}

    async def told(app: FastAPI, lines: bytes) -> list[str]:
        metadata, answered = await ask(app, upstream, lines)
        text = repr((sorted(metadata.items()), upstream.calls[-1].metadata, answered))
        return re.sub(r"[0-9a-f]{32}", "an id that was made", text).split(", ")

    async with running(make_app(**options)) as cold, running(make_app(**options)) as warm:
        await ask(warm, upstream, cut % b"b" + other % b"b")
        lines = cut % b"a" + other % b"b"

        assert await told(warm, lines) == await told(cold, lines)


@pytest.mark.parametrize("value", [b"x" * 65, b"x" * 129, b"a b", b"a.b", b"", b"\x80"])
async def test_a_value_of_another_kind_means_what_it_meant(
    make_app: MakeApp, upstream: ScriptedUpstream, value: bytes
) -> None:
    """Where the head is known but for an id that cannot be cut out, the id is judged as ever."""
    replaced = value not in (b"x" * 65, b"a.b")
    async with running(make_app()) as cold, running(make_app()) as warm:
        for _ in range(2):  # the second is cut where the first was
            await ask(
                warm, upstream, b"x-request-id: %b\r\n" % (b"a" * max(1, min(len(value), 64)))
            )
        data = _GET % (b"x-request-id: %b\r\n" % value)

        (status, _, body), expected = await answer(warm, data), await answer(cold, data)
        assert (status, body) == (expected[0], expected[2])
        for app in (warm, cold, warm):  # the last time the head is known
            _, headers, _ = await answer(app, data)
            sent = [v for key, v in upstream.calls[-1].metadata if key == "x-request-id"]
            assert [headers[b"x-request-id"].decode()] == sent
            assert (len(sent[0]) == 32) is replaced


def _cut(data: bytes) -> tuple[Form, Own]:
    _, form_of, own_of = find_cut(data)
    return form_of(data), own_of(data)


@pytest.mark.parametrize("turned", [False, True])
def test_both_are_cut_out_wherever_they_stand(*, turned: bool) -> None:
    """The head is left without them, though the first that is cut out moves the other."""
    lines = [(b"traceparent", b"ab"), (b"x-request-id", b"0123456789")]
    if turned:
        lines.reverse()
    head = _GET % b"".join(b"%b: %b\r\n" % line for line in lines)
    rest = _GET % b"".join(b"%b: \r\n" % name for name, _ in lines)

    form, own = _cut(head + b"body")
    assert b"".join(form) == rest
    assert all(each.endswith(b"%b: " % name) for each, (name, _) in zip(form, lines, strict=False))
    assert own == (b"ab", b"0123456789", b"body")


def test_chunks_are_no_body(app: FastAPI) -> None:
    """A head that announces chunks is not kept: what is behind it is not the body."""
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    direct = app.state.direct

    for _ in range(2):
        assert direct.read(head + b'5\r\n"abc"\r\n0\r\n\r\n')[1][2] == b'"abc"'
        assert direct.read(head + b"0\r\n\r\n")[1][2] == b""


def test_a_line_that_goes_on_is_not_cut() -> None:
    """What is behind it would go on with another line; though httptools refuses such a head."""
    head = _GET % (_TRACE % 1 + b" more\r\n")
    assert _cut(head) == ((b"", b"", head), (b"", b"", b""))


def test_a_trailer_that_closes_leaves_no_parser_behind(app: FastAPI) -> None:
    """The next request, whoever sends it, is parsed as ever."""
    chunked = (
        b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\nConnection: close\r\n\r\n"
    )
    direct = app.state.direct
    assert direct.read(chunked) is not None
    assert direct.read(_GET % b"") is not None


_LINES = st.lists(
    st.sampled_from(
        [
            b"traceparent: %b",
            b"x-request-id: %b",
            b"X-Request-ID: %b",
            b"Traceparent: %b",
            b"traceparent: %b ",
            b"traceparent:%b",
            b"xtraceparent: %b",
            b"host: x",
            b"t-request-id: %b",
            b"xraceparent: %b",
            b"accept: traceparent: 1",
            b" folded %b",
            b"\ttraceparent: %b",
            b"baggage: traceparent",
            b"",
        ]
    ),
    max_size=6,
)
_VALUES = st.lists(st.sampled_from([b"1", b"2-a", b"x" * 64, b"x" * 65, b"a b", b""]), min_size=6)


def _head(lines: list[bytes], values: list[bytes]) -> bytes:
    written = (
        line % value if b"%" in line else line for line, value in zip(lines, values, strict=False)
    )
    return b"\r\n".join([b"GET / HTTP/1.1", *written, b"", b""])


@given(_LINES, _VALUES, _VALUES)
def test_heads_of_one_form_mean_the_same(
    lines: list[bytes], values: list[bytes], others: list[bytes]
) -> None:
    """Whatever a head is made of: if the form is the same, all is that HTTP sees but for its own."""
    one, other = _head(lines, values), _head(lines, others)
    (form, _), (other_form, other_own) = _cut(one), _cut(other)
    if form != other_form:
        return
    parse = WholeRequests().parse
    seen, other_seen = parse(one), parse(other)
    assert (seen is None) == (other_seen is None)
    if seen is None or other_seen is None:
        return
    mine = [(name, value) for name, value in seen[0].headers if name not in _OWN_NAMES]
    its = [(name, value) for name, value in other_seen[0].headers if name not in _OWN_NAMES]
    assert mine == its
    for name, value in zip(_OWN_NAMES, other_own, strict=False):
        if value:
            assert (name, value) in other_seen[0].headers


_CHANGED = st.tuples(
    st.integers(0, 80), st.sampled_from([b"", *(bytes([c]) for c in b"\r\n :-aX")])
)
_ASKED = st.tuples(st.integers(0, 2), _VALUES, st.sampled_from([b"", b"{}", b"\r\n\r\n"]), _CHANGED)


def _keep(heads: KnownHeads, data: bytes) -> None:
    """Keeps what stands for the meaning of a head: the form in its place."""
    form, (_, _, body) = _cut(data)
    headers = [(name, b"") for name in _OWN_NAMES]
    head = WholeHead("GET", repr(form), b"", headers, len(body), keep_alive=True)
    nothing: Any = None
    question = Question(nothing, (), nothing, (), None, None)
    heads.keep(data, body, Meaning(head, RequestHead(), question))


@given(st.lists(_LINES, min_size=3, max_size=3), st.lists(_ASKED, max_size=12))
def test_where_others_were_cut_is_but_tried(forms: list[list[bytes]], asked: list[Any]) -> None:
    """Whatever came before, a request is read as if it were looked through."""
    heads = KnownHeads(MetadataFilter(DEFAULT_REQUEST_HEADERS, ()), 8192)
    kept: dict[Form, int] = {}
    for lines, values, body, (place, byte) in asked:
        data = _head(forms[lines], values) + body
        data = data[:place] + byte + data[place + len(byte) :]
        form, own = _cut(data)
        if form not in kept:
            assert heads.get(data) is None
            _keep(heads, data)
            kept[form] = len(own[2])
        found = heads.get(data)
        assert (found is not None) == (kept[form] == len(own[2]))
        if found is not None:
            assert (found[0].head.path, found[1]) == (repr(form), own)


@pytest.mark.parametrize("byte", [b"~", b"\n", b"0"])
def test_a_request_of_the_same_length_is_not_the_same(byte: bytes) -> None:
    """Whichever byte of one that is known is another: it is known if that is one of its own."""
    heads = KnownHeads(MetadataFilter(DEFAULT_REQUEST_HEADERS, ()), 8192)
    data = _GET % (b"traceparent: 1-1\r\naccept: x\r\nx-request-id: ab\r\nte: y\r\n") + b"body"
    form, _ = _cut(data)
    _keep(heads, data)
    for place in range(len(data)):
        assert heads.get(data) is not None
        other = data[:place] + byte + data[place + 1 :]
        found = heads.get(other)
        assert (found is not None) == (_cut(other)[0] == form)
        assert found is None or found[1] == _cut(other)[1]


@pytest.mark.parametrize("own", [(b"--", b"ab"), (b"1-", b"--"), (b"--", b"--")])
def test_values_of_hyphens_alone(own: tuple[bytes, bytes]) -> None:
    """Are cut out like others, wherever the last request was cut that is as long."""
    heads = KnownHeads(MetadataFilter(DEFAULT_REQUEST_HEADERS, ()), 8192)
    form = _GET % b"traceparent: %b\r\nx-request-id: %b\r\n"
    _keep(heads, form % (b"1-", b"ab"))
    heads.get(form % (b"1-", b"ab"))

    found = heads.get(form % own)
    assert found is not None
    assert found[1] == _cut(form % own)[1] == (*own, b"")


def test_a_long_head_is_not_kept() -> None:
    """What is kept is bounded: in number, and each; but a long body is no long head."""
    heads = KnownHeads(MetadataFilter(DEFAULT_REQUEST_HEADERS, ()), 8192)
    for head, body, known in (
        (b"te: x\r\n", b"b" * 5000, True),
        (b"te: %b\r\n" % (b"x" * 1024), b"", False),
    ):
        _keep(heads, _GET % head + body)
        assert (heads.get(_GET % head + body) is not None) == known


def test_another_value_in_the_same_place_is_not_the_same() -> None:
    """A trace may stand where the id of another request did."""
    heads = KnownHeads(MetadataFilter(DEFAULT_REQUEST_HEADERS, ()), 8192)
    asked = {
        b"te: ab\r\ntraceparent: 1\r\n": (b"1", b"", b""),
        b"te: a\r\nx-request-id: 2\r\n": (b"", b"2", b""),
    }
    for lines in asked:
        _keep(heads, _GET % lines)
    for lines, own in (*asked.items(), *asked.items()):
        found = heads.get(_GET % lines)
        assert found is not None
        assert found[1] == own


def test_what_has_nothing_of_its_own(app: FastAPI) -> None:
    """Is known by its bytes."""
    direct = app.state.direct
    direct.read(_GET % b"")
    assert direct.read(_GET % b"")[1] == (b"", b"", b"")
