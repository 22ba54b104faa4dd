"""Readers of shared streams in processes of their own: `python -m tests.whole.roaming`.

Each holds all that a reader is told against what the server's messages say of themselves: a number, and the
call that brought it. A command is a JSON line on standard input, and so is its answer:

- `{"edges": {"0": ["127.0.0.1", 8080]}}`: where a reader that connects may be led to, at random, as by a
  balancer that knows no sessions.
- `{"readers": [[0, "/shared-ids/topic0", true]]}`: number and path of new readers, and whether the server
  gives ids. They read, and come back, until the process ends.
- `{"roam": 0.1}`: so many of the readers disconnect, and come back.
- `{"report": true}`: what has been told to each reader; see `Report`.

One process reads 1,000 streams of ten events a second with a third of a CPU: its parser does what it must.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

Edges: TypeAlias = Mapping[int, tuple[str, int]]
"""Number of an edge -> host and port."""

_ROOT: Final = Path(__file__).parents[2]
_RETRY_SECONDS: Final = 0.05
_HISTORY: Final = 20


class Report(NamedTuple):
    """What one reader has been told."""

    number: int
    path: str
    edge: int
    """That it reads now, or has read last; -1: none yet."""
    connections: int
    events: int
    last: int
    """Number of its last message; -1: none yet."""
    call: int
    """Call of its last message; 0: none yet."""
    restarts: int
    """Gaps that say `restarted`."""
    missed: int
    """Messages of other gaps."""
    problems: list[str]
    """What it should not have been told, or should have been."""
    gaps: list[str]
    """The newest gaps of all kinds, and what was around them."""


class ReadersOfOneProcess:
    """All readers of this process."""

    def __init__(self) -> None:
        self.edges: dict[int, tuple[str, int]] = {}
        self.readers: list[Reader] = []
        self.numbers: dict[tuple[str, bytes], int] = {}
        """Path and id of an event -> its message, to see that none is given twice."""
        self.random = Random(7)

    def obey(self, command: Mapping[str, Any]) -> Any:
        """Does what a line says; returns the answer."""
        if "edges" in command:
            self.edges = {int(n): (host, port) for n, (host, port) in command["edges"].items()}
        for number, path, has_ids in command.get("readers", ()):
            reader = Reader(self, number, path, has_ids=has_ids)
            self.readers.append(reader)
            reader.connect()
        if "roam" in command:
            for reader in self.readers:
                if self.random.random() < command["roam"]:
                    reader.leave()
        if "report" in command:
            return {
                "readers": [reader.report() for reader in self.readers],
                "cpu": time.process_time(),
            }
        if "last" in command:
            return min((reader.last for reader in self.readers), default=sys.maxsize)
        return None


class Reader(asyncio.Protocol):
    """One reader: a connection at a time, with the last id that it has heard (HTML, 9.2)."""

    def __init__(
        self, process: ReadersOfOneProcess, number: int, path: str, *, has_ids: bool
    ) -> None:
        self._process = process
        self._number, self._path, self._has_ids = number, path, has_ids
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._edge = -1
        self._connections = self._events = self._restarts = self._missed = 0
        self._last_id = b""
        self.last = -1
        self._call = b""
        self._told: list[dict[str, Any]] = []
        """Gaps since the last message, by this connection."""
        self._problems: list[str] = []
        self._gaps: list[str] = []
        self._raw = self._text = b""
        self._has_head = False

    def connect(self) -> None:
        """Connects to any edge, again and again, until there is a connection."""
        self._connecting = asyncio.create_task(self._connect())

    def leave(self) -> None:
        """Disconnects."""
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        process = self._process
        while True:
            await asyncio.sleep(_RETRY_SECONDS * process.random.uniform(0.5, 1.5))
            if not process.edges:
                continue
            edge, address = process.random.choice([*process.edges.items()])
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, *address)
            except OSError:
                continue
            self._edge = edge
            return

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections += 1
        self._raw = self._text = b""
        self._has_head = False
        self._told = []
        resume = b"Last-Event-ID: %b\r\n" % self._last_id if self._last_id else b""
        transport.write(
            b"GET %b HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%b\r\n"
            % (self._path.encode(), resume)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Comes back."""
        self._transport = None
        self.connect()

    def data_received(self, data: bytes) -> None:
        """Reads the head, then chunks (RFC 9112, 7.1) of events."""
        raw = self._raw + data
        if not self._has_head:
            head, separator, rest = raw.partition(b"\r\n\r\n")
            if not separator:
                self._raw = raw
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self._gaps.append(f"{_clock()} {head[:200]!r}")
                self.leave()
                return
            self._has_head, raw = True, rest
        at, parts = 0, [self._text]
        while (line := raw.find(b"\r\n", at)) > 0:
            size = int(raw[at:line], 16)
            if len(raw) < line + size + 4:
                break
            if not size:
                self._gaps.append(f"{_clock()} the stream has ended")
                self.leave()
                return
            parts.append(raw[line + 2 : line + 2 + size])
            at = line + size + 4
        self._raw = raw[at:]
        *blocks, self._text = b"".join(parts).split(b"\n\n")
        for block in blocks:
            self._take(block)

    def _take(self, block: bytes) -> None:
        """Takes an event."""
        kind, data, event_id = b"message", b"", None
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"data":
                data = value
            elif name == b"id":
                event_id = value
            elif name == b"event":
                kind = value
        if event_id is not None:
            self._last_id = event_id
        if not data:
            return
        told = json.loads(data)
        if kind == b"message":
            self._events += 1
            self._take_message(int(told["number"]), told["item"]["name"].encode())
        elif kind == b"gap":
            self._take_gap(told)
        else:
            self._gaps.append(f"{_clock()} {block!r}")

    def _take_gap(self, gap: dict[str, Any]) -> None:
        restarted = bool(gap.get("restarted"))
        self._restarts += restarted
        self._missed += 0 if restarted else int(gap.get("missed", 0))
        self._note(f"{gap} from {self._edge}, connection {self._connections}")
        if self._has_ids:
            self._wrong(f"{gap} where the server gives ids")
        if self._told:
            self._wrong(f"{gap} behind {self._told}")
        self._told.append(gap)

    def _take_message(self, number: int, call: bytes) -> None:
        is_next = number == self.last + 1 and (self._has_ids or call == self._call)
        if self._told:
            (gap, *_), self._told = self._told, []
            counted = number == self.last + 1 + int(gap.get("missed", 0)) and call == self._call
            if not gap.get("restarted") and not counted:
                self._wrong(f"{number} of call {call!r} behind {gap}")
            self._note(f"{number} of {call!r}")
        elif not is_next and self.last >= 0:
            self._wrong(f"{number} of call {call!r} untold")
        if not self._has_ids and self._last_id:
            given = self._process.numbers.setdefault((self._path, self._last_id), number)
            if given != number:
                self._wrong(f"{number} has the id {self._last_id!r} of {given}")
        self.last, self._call = number, call

    def _wrong(self, problem: str) -> None:
        self._problems.append(f"{_clock()} edge {self._edge}: {problem}, after {self.last}")

    def _note(self, text: str) -> None:
        self._gaps = [*self._gaps[1 - _HISTORY :], f"{_clock()} after {self.last}: {text}"]

    def report(self) -> Report:
        """Returns what it was told."""
        return Report(
            *(self._number, self._path, self._edge, self._connections, self._events, self.last),
            *(int(self._call or 0), self._restarts, self._missed, self._problems, self._gaps),
        )


def _clock() -> str:
    return f"{time.time() % 10_000:.3f}"


class Readers:
    """The readers of some processes, seen from the test."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._lock = asyncio.Lock()
        self.cpu: list[float] = []
        """Seconds of CPU that each process has taken, at the last report."""

    async def lead_to(self, edges: Edges) -> None:
        """Says where readers that connect may be led to."""
        await self._tell({"edges": edges})

    async def start(self, readers: Iterable[tuple[int, str, bool]]) -> None:
        """Starts readers: number, path, and whether the server gives ids."""
        given: list[list[tuple[int, str, bool]]] = [[] for _ in self._processes]
        for reader in readers:
            given[reader[0] % len(given)].append(reader)
        async with self._lock:
            for process, some in zip(self._processes, given, strict=True):
                await _ask(process, {"readers": some})

    async def roam(self, part: float) -> None:
        """Lets so many of them disconnect and come back; 1: all."""
        await self._tell({"roam": part})

    async def last(self) -> int:
        """Returns the number of the last message of who is furthest behind; -1: somebody has none."""
        numbers: list[int] = await self._tell({"last": True})
        return min(numbers)

    async def report(self) -> list[Report]:
        """Returns what all were told."""
        answers = await self._tell({"report": True})
        self.cpu = [answer["cpu"] for answer in answers]
        return [Report(*each) for answer in answers for each in answer["readers"]]

    async def _tell(self, command: Mapping[str, Any]) -> list[Any]:
        async with self._lock:
            return await asyncio.gather(*(_ask(process, command) for process in self._processes))


async def _ask(process: asyncio.subprocess.Process, command: Mapping[str, Any]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(command).encode() + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    assert line, "a process of readers has ended"
    return json.loads(line)


@asynccontextmanager
async def roaming(count: int) -> AsyncIterator[Readers]:
    """Runs some processes within the block."""
    pipe = asyncio.subprocess.PIPE
    command = sys.executable, "-m", "tests.whole.roaming"
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=_ROOT, stdin=pipe, stdout=pipe, limit=1 << 26
            )
            stack.push_async_callback(_end, process)
            processes.append(process)
        yield Readers(processes)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def main() -> None:
    """Obeys lines until there are no more."""
    lines = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    readers = ReadersOfOneProcess()
    while line := await lines.readline():
        print(json.dumps(readers.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
