"""What a client of gRPC-Web or Connect sends and reads, by hand: frames and their ends."""

from __future__ import annotations

import struct
from typing import Any

import httpx
import orjson

_HEAD = struct.Struct(">BL")
COMPRESSED, END, TRAILERS = 1, 2, 0x80


def framed(*messages: bytes, flags: int = 0) -> bytes:
    """Returns messages with their prefixes."""
    return b"".join(_HEAD.pack(flags, len(message)) + message for message in messages)


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Returns flags and payload of each frame."""
    found = []
    while body:
        flags, size = _HEAD.unpack_from(body)
        assert len(body) >= _HEAD.size + size
        found.append((flags, body[_HEAD.size : _HEAD.size + size]))
        body = body[_HEAD.size + size :]
    return found


def web_trailers(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Returns the messages of a response of gRPC-Web, and its trailers."""
    *messages, (flags, text) = frames(body)
    assert flags == TRAILERS
    assert all(not flag for flag, _ in messages)
    lines = text.decode().removesuffix("\r\n").split("\r\n")
    return [payload for _, payload in messages], dict(line.split(": ", 1) for line in lines)


def connect_end(body: bytes) -> tuple[list[bytes], dict[str, Any]]:
    """Returns the messages of a stream of Connect, and its end."""
    *messages, (flags, text) = frames(body)
    assert flags == END
    return [payload for _, payload in messages], orjson.loads(text)


async def post(
    port: int, method: str, body: bytes, content_type: str, *, http2: bool = False, **headers: str
) -> httpx.Response:
    """Sends a request to a method of the tests' contract; `_` in names of headers is `-`."""
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=20) as client:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post(
            f"http://127.0.0.1:{port}/echo.v1.Echo/{method}",
            content=body,
            headers={"content-type": content_type, **given},
        )
