"""An HTTP server on loopback that publishes rates, or whatever a test makes it answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

Answer: TypeAlias = Callable[[Mapping[str, str], asyncio.StreamWriter], Awaitable[None]]
"""Takes the fields of a request, in lower case, and writes all of a response."""
MODIFIED = "Mon, 30 Nov 2026 15:00:00 GMT"


@dataclass
class RatesServer:
    """What it answers, and what it was asked.

    Attributes:
        url: Where it is.
        document: The body of a good answer.
        answer: Answers instead; None: the document, with validators, or 304.
        requests: Fields of each request.
    """

    url: str = ""
    document: str = ""
    answer: Answer | None = None
    requests: list[Mapping[str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, and closes."""
        with suppress(OSError, asyncio.IncompleteReadError):
            _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines if line)
            }
            self.requests.append(fields)
            await (self.answer or self._publish)(fields, writer)
            await writer.drain()
        writer.close()

    async def _publish(self, fields: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
        tag = f'"{sha256(self.document.encode()).hexdigest()[:16]}"'
        validators = {"etag": tag, "last-modified": MODIFIED}
        if fields.get("if-none-match") == tag:
            writer.write(head(304, **validators))
        else:
            body = self.document.encode()
            writer.write(
                head(200, **{**XML, **validators, "content-length": str(len(body))}) + body
            )


XML = {"content-type": "text/xml"}


def head(status: int, **fields: str) -> bytes:
    """Returns the head of a response."""
    lines = [f"HTTP/1.1 {status} x", *(f"{k}: {v}" for k, v in fields.items()), "connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answering(status: int, body: bytes = b"", /, **fields: str) -> Answer:
    """Returns an answer that is written at once; without a length it ends with the connection."""

    async def answer(_: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(
            head(status, **{name.replace("_", "-"): v for name, v in fields.items()}) + body
        )

    return answer


@asynccontextmanager
async def rates_server(
    document: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RatesServer]:
    """Runs one until the block is left."""
    found = RatesServer(document=document)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    found.url = f"{'https' if tls else 'http'}://localhost:{port}/eurofxref-daily.xml"
    try:
        yield found
    finally:
        server.close()
