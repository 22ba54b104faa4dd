"""Pipelines that mix all ways in which a request is answered, cut anywhere: each answer is its request's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole.serving import serving

ROUNDS = 25
LENGTH = 12


def _get(target: str, http_method: str = "GET") -> bytes:
    return f"{http_method} {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def _chunked(target: str, body: str) -> bytes:
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:3], body[3:]))
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return f"{head}{chunks}0\r\n\r\n".encode()


def _post(target: str, body: str) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def _asked(kind: int, name: str) -> tuple[bytes, str, int, str]:
    """Returns a request, and of its answer: method, status, what its body has."""
    message = f'{{"stringField":"{name}"}}'
    return (
        (_get(f"/v1/names/{name}"), "GET", 200, name),
        (_get(f"/v1/names/{name}", "HEAD"), "HEAD", 200, ""),
        (_get(f"/v1/pairs/{name}/ONE"), "GET", 400, name),
        (_post("/v1/echo", message), "POST", 200, name),
        (_chunked("/v1/echo", message), "POST", 200, name),
        (_get(f"/v1/stream/{name}?int32Field=2"), "GET", 200, name),
        (_chunked("/v1/bidi", message), "POST", 200, name),
        (_get("/healthz"), "GET", 200, "SERVING"),
        (_get(f"/nowhere/{name}"), "GET", 404, ""),
        (_get("/v1/echo", "OPTIONS"), "OPTIONS", 204, ""),
    )[kind]


async def _answer(reader: asyncio.StreamReader, http_method: str) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, body = int(head[9:12]), b""
    if http_method == "HEAD" or status == 204:
        return status, b""
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return status, body
    size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return status, await reader.readexactly(size)


@pytest.mark.parametrize("seed", range(3))
async def test_each_answer_is_that_of_its_request(tmp_path: Path, seed: int) -> None:
    """Whatever stands before it, and wherever what comes is cut."""
    random = Random(seed)
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    async with echo_server() as echo:
        settings = Settings(
            descriptor_set=path, log_level="error", upstream=echo.address, transport="wire"
        )
        async with serving(create_app(settings), settings) as port:
            for turn in range(ROUNDS):
                asked = [_asked(random.randrange(10), f"n{turn}x{n}") for n in range(LENGTH)]
                data = b"".join(request for request, *_ in asked)
                cuts = sorted(random.sample(range(len(data)), random.randrange(6)))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    writer.write(data[start:end])
                    await asyncio.sleep(0)
                for _, http_method, status, part in asked:
                    answered = await asyncio.wait_for(_answer(reader, http_method), 10)
                    assert answered[0] == status
                    assert part.encode() in answered[1]
                writer.close()
