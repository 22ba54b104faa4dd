"""CORS on what the HTTP/1.1 door refuses before it is a request: a listed page can read what was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.admission.cors import response_headers
from gateway.admission.cors_settings import CorsSettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.transcoding.metadata import DEFAULT_RESPONSE_HEADERS
from tests.contracts import echo_descriptor_set
from tests.whole.serving import serving

LISTED, THIRD = b"https://app.test", b"https://third.test"
CORS = CorsSettings(origins=(LISTED.decode(),), credentials=True)
GET = b"GET /v1/echo HTTP/1.1\r\n"
HOST = b"host: edge.test\r\n"
CHUNKS = b"POST /v1/echo HTTP/1.1\r\n%btransfer-encoding: chunked\r\n" % HOST
REJECTED = {
    "no Host": (GET + b"%b\r\n", 400),
    "a line that is no header": (GET + b"%b" + HOST + b"no header\r\n\r\n", 400),
    "a head that is too long": (GET + HOST + b"%bx: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    "too many headers": (GET + HOST + b"%b" + b"x: y\r\n" * 120 + b"\r\n", 431),
    "a coding that is not known": (CHUNKS[:-9] + b"gzip\r\n%b\r\n", 400),
    "a head that does not end": (GET + HOST + b"%bx: y\r\n", 408),
    "a chunk that is none": (CHUNKS + b"%b\r\nxyz\r\n", 400),
    "a chunk that is none, in another piece": (CHUNKS + b"%b\r\n|xyz\r\n", 400),
    "a body that does not end": (CHUNKS + b"%b\r\n", 408),
    "behind another request": (GET + HOST + b"\r\n" + GET + b"%b\r\n", 400),
}
"""Name -> pieces with a place for `Origin`, between `|`, and the HTTP status."""
SHARED = {
    b"access-control-allow-origin": LISTED,
    b"access-control-allow-credentials": b"true",
    b"access-control-expose-headers": ", ".join(
        response_headers(CORS, DEFAULT_RESPONSE_HEADERS)
    ).encode(),
    b"vary": b"Origin",
}


@pytest.fixture(scope="module")
async def port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """An edge that waits for nothing long; no request here has a call."""
    folder: Path = tmp_path_factory.mktemp("cors")
    (folder / "echo.binpb").write_bytes(echo_descriptor_set())
    settings = Settings(
        descriptor_set=folder / "echo.binpb",
        upstream="127.0.0.1:1",
        cors=CORS,
        head_timeout_seconds=0.2,
        body_timeout_seconds=0.2,
        timeout_seconds=5,
        log_level="critical",
    )
    async with serving(create_app(settings), settings) as listening:
        yield listening


async def last_answer(port: int, pieces: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Sends pieces, and returns status and headers of CORS of the last answer before the connection ends."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces.split(b"|"):
                writer.write(piece)
                await asyncio.sleep(0.02)  # so that they mostly are pieces; the answer is the same
            answers = await reader.read()
        finally:
            writer.close()
    head = answers[answers.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")[0]
    status, *lines = head.split(b"\r\n")
    pairs = [line.split(b": ", 1) for line in lines]
    cors = [(n, v) for n, v in pairs if n.startswith(b"access-control-") or n == b"vary"]
    assert len(dict(cors)) == len(cors)
    return int(status.split()[1]), dict(cors)


@pytest.mark.parametrize("name", REJECTED)
async def test_a_listed_page_reads_what_was_wrong(port: int, name: str) -> None:
    """As it reads every other error; another page does not, nor does one whose `Origin` never came."""
    pieces, status = REJECTED[name]

    listed = await last_answer(port, pieces % (b"origin: %b \r\n" % LISTED))
    third = await last_answer(port, pieces % (b"origin: %b\r\n" % THIRD))
    nobody = await last_answer(port, pieces % b"")

    assert listed == (status, SHARED)
    assert nobody == (status, {b"vary": b"Origin"})
    assert third in (nobody, (403, {b"vary": b"Origin"}))  # of which the latter is the policy's


async def test_an_origin_is_that_of_the_request_that_is_refused(port: int) -> None:
    """Not of the one before, which was answered."""
    first = GET + HOST + b"origin: %b\r\n\r\n" % LISTED

    assert await last_answer(port, first + b"|no request\r\n\r\n") == (400, {b"vary": b"Origin"})


async def test_two_origins_are_none(port: int) -> None:
    """As in a request."""
    head = GET + b"origin: %b\r\norigin: %b\r\n\r\n" % (LISTED, LISTED)

    assert await last_answer(port, head) == (400, {b"vary": b"Origin"})
