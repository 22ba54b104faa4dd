"""Steady load from a process of its own: `python -m tests.whole.load URL RATE REQUESTS`, ended by SIGTERM.

REQUESTS is a JSON array of those that are sent in turn, each `[name, HTTP method, path, body]`.

It sends requests at fixed times, whether earlier ones are answered or not, over connections that are kept.
A client that waits for responses would send less to a server that is slow, and so hide that it is. At the end
it prints a JSON object: how often each answer came, the slowest one, and how late it sent itself.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.whole.conftest import ROOT

TIMEOUT_SECONDS = 60
Request = tuple[str, str, str, str]
"""Name, HTTP method, path, and body."""


class Sender:
    """The process, for those who start it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def stop(self) -> Any:
        """Ends it; returns what it tells."""
        self.process.terminate()
        said, _ = await self.process.communicate()
        return json.loads(said)


@asynccontextmanager
async def sending(url: str, rate: float, requests: Sequence[Request]) -> AsyncIterator[Sender]:
    """Sends within the block."""
    command = sys.executable, "-m", "tests.whole.load", url, str(rate), json.dumps(requests)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe)
    try:
        yield Sender(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Load:
    """Requests, and what became of them."""

    def __init__(self, host: str, port: int, requests: Sequence[Request]) -> None:
        """Takes where they go."""
        self._address = host, port
        self._requests = [(name, _written(*rest)) for name, *rest in requests]
        self._idle: list[tuple[StreamReader, StreamWriter]] = []
        self.answers: Counter[str] = Counter()
        self.slowest = (0.0, 0.0)
        """Its duration, and when it was sent."""
        self.latest = 0.0
        """Seconds behind its time at which a request was sent."""

    async def run(self, rate: float, stop: asyncio.Event) -> float:
        """Sends a request each 1 / `rate` s; returns for how long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while not stop.is_set():
                due = began + number / rate
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                self.latest = max(self.latest, loop.time() - due)
                tasks.create_task(self._ask(*self._requests[number % len(self._requests)]))
                number += 1
        for _, writer in self._idle:
            writer.close()
        return loop.time() - began

    async def _ask(self, name: str, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._exchange(request)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            answer = repr(error)
        self.answers[f"{name} {answer}"] += 1
        self.slowest = max(self.slowest, (loop.time() - sent, sent))

    async def _exchange(self, request: bytes) -> str:
        reader, writer = await self._connection()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            fields = dict(line.split(b": ", 1) for line in lines[1:] if line)
            if fields.get(b"transfer-encoding") == b"chunked":
                await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                await reader.readexactly(int(fields[b"content-length"]))
        except BaseException:
            writer.close()
            raise
        if fields.get(b"connection") == b"close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return lines[0].split()[1].decode()

    async def _connection(self) -> tuple[StreamReader, StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._address)


def _written(http_method: str, path: str, body: str) -> bytes:
    """Returns a request as it travels."""
    lines = f"{http_method} {path} HTTP/1.1\r\nHost: x\r\n"
    if body:
        lines += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    return f"{lines}\r\n{body}".encode()


async def main(url: str, rate: float, requests: Sequence[Request]) -> None:
    """Sends until SIGTERM, then prints."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    load = Load(parts.hostname, parts.port, requests)
    seconds = await load.run(rate, stop)
    told: dict[str, Any] = {
        "answers": load.answers,
        "seconds": seconds,
        "slowest": load.slowest,
        "latest": load.latest,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])))
