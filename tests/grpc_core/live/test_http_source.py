"""Fetching, from servers that mean no good."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import tracemalloc
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest

from grpc_core.live.http_source import FetchError, HttpSource
from tests.grpc_core.live.rates_server import Answer, RatesServer, answering, head, rates_server
from tests.whole.certificates import Issuer

MAX_BYTES = 1000
XML = {"content_type": "text/xml"}
SECONDS = 20.0
"""Longer than anything here takes that does not wait on purpose."""


def source_of(server: RatesServer, seconds: float = SECONDS) -> HttpSource:
    """Returns a source of what a server publishes."""
    return HttpSource(server.url, seconds, MAX_BYTES)


async def test_what_has_not_changed_is_not_sent_again() -> None:
    """The second request has both validators, no content coding is asked for, and 304 is no document."""
    async with rates_server("one") as server:
        source = source_of(server)
        first = await source.fetch({})
        assert first is not None
        assert first.body == b"one"
        again = await source.fetch(first.validators)
        server.document = "other"
        other = await source.fetch(first.validators)

    assert again is None
    assert other is not None
    assert other.body == b"other"
    one, two, _ = server.requests
    assert one["accept-encoding"] == "identity"
    assert not {"if-none-match", "if-modified-since"} & one.keys()
    assert two["if-none-match"] == first.validators["if-none-match"]
    assert two["if-modified-since"] == "Mon, 30 Nov 2026 15:00:00 GMT"


@pytest.mark.parametrize("tag", ['"\xff"', f'"{"x" * 300}"', ""])
async def test_a_validator_that_cannot_be_sent_back_is_left_out(tag: str) -> None:
    """Or a server could keep the next request from being made."""
    async with rates_server() as server:
        server.answer = answering(200, b"one", etag=tag, last_modified="never", **XML)
        document = await source_of(server).fetch({})
        assert document is not None
        await source_of(server).fetch(document.validators)

    assert document.validators == {"if-modified-since": "never"}
    assert "if-none-match" not in server.requests[1]


async def for_ever(fields: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
    """Writes a body that does not end."""
    writer.write(head(200, **{"content-type": "text/xml"}))
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def drip(fields: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
    """Writes a byte, and soon another one."""
    writer.write(head(200, **{"content-type": "text/xml"}))
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_a_head(fields: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
    """Writes a field, and soon another one."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in count():
        writer.write(b"x-%d: y\r\n" % number)
        await writer.drain()
        await asyncio.sleep(0.05)


async def nothing(fields: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
    """Closes."""


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (for_ever, "answers with more than 1000 bytes"),
        (answering(200, b"x" * 1001, **XML), "answers with more than 1000 bytes"),
        (
            answering(200, b"3E9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", transfer_encoding="chunked", **XML),
            "answers with more than 1000 bytes",
        ),
        (
            answering(200, gzip.compress(bytes(10**7)), content_encoding="gzip", **XML),
            "answers with a content coding, which was not asked for",
        ),
        (answering(301, location="http://127.0.0.1:1/"), "answers with a redirect"),
        (answering(302, location="https://127.0.0.1/other.xml"), "answers with a redirect"),
        (answering(304), "answers 304"),
        (answering(204), "answers 204"),
        (answering(404, b"no", content_type="text/html"), "answers 404"),
        (answering(500), "answers 500"),
        (answering(503, retry_after="9"), "answers 503"),
        (answering(200, b"<x/>"), "answers with 'no media type'"),
        (answering(200, b"<x/>", content_type="text/html; charset=utf-8"), "answers with 'text/html'"),
        (answering(200, b"<x", content_length="50", **XML), "peer closed connection"),
        (answering(200, b"9\r\n<x", transfer_encoding="chunked", **XML), "peer closed connection"),
        (answering(200, b"", x="y" * 200_000), "Receive buffer too long"),
        (answering(200, content_type="x" * 9000), "answers with 'x{200}'"),
        (nothing, "[Ss]erver disconnected"),
    ],
)  # fmt: skip
async def test_what_is_no_document_is_refused(answer: Answer, problem: str) -> None:
    """No answer is read beyond its limit, decompressed, or followed to elsewhere."""
    async with rates_server() as server:
        server.answer = answer
        with pytest.raises(FetchError, match=problem):
            await source_of(server).fetch({})

    assert len(server.requests) == 1


async def test_a_body_without_end_takes_no_memory() -> None:
    """It is counted while it is read."""
    async with rates_server() as server:
        server.answer = for_ever
        source = source_of(server)
        tracemalloc.start()
        with pytest.raises(FetchError, match="more than 1000 bytes"):
            await source.fetch({})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 20_000_000


@pytest.mark.parametrize("answer", [drip, drip_a_head])
async def test_who_drips_is_left(answer: Answer) -> None:
    """The timeout is of the whole fetch, not of the next byte."""
    async with rates_server() as server:
        server.answer = answer
        with pytest.raises(FetchError, match=r"no answer within 0\.5 s"):
            await source_of(server, 0.5).fetch({})


async def test_nobody_there() -> None:
    """A connection that is refused is an error like any other."""
    async with rates_server() as server:
        source = source_of(server)
    with pytest.raises(FetchError, match=r"attempts failed|refused"):
        await source.fetch({})


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_known: bool
) -> None:
    """By name and by CA; `SSL_CERT_FILE` names other CAs than the system's."""
    issuer, stranger = Issuer(tmp_path / "one"), Issuer(tmp_path / "other")
    certificate = issuer.issue("rates", dns_names=[name])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str((issuer if is_known else stranger).ca))

    async with rates_server("one", tls) as server:
        if is_known and name == "localhost":
            document = await source_of(server).fetch({})
            assert document is not None
            assert document.body == b"one"
        else:
            with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
                await source_of(server).fetch({})
