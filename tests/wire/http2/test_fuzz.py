"""Bytes that no peer would send, to either role: nothing is raised, and what is kept is bounded.

Some are part of every test run, always the same ones; `make fuzz` (`FUZZ_SECONDS=600`) goes on with new ones
for as long as that says. A failure names the seed of its bytes. Hypothesis has no part in it: most of
these examples are small as they are, and number is what finds the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random, SystemRandom

import pytest

from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionEvent,
    ConnectionFailed,
    DataReceived,
    HeadersReceived,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT
from tests.wire.driving import heard
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import ANSWER, BOTH, REQUEST, TRAILERS

LONG = "FUZZ_SECONDS" in os.environ
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0")) / 6
"""The time of each of the tests below."""
EXAMPLES = 250
LIMITS = replace(DEFAULT, concurrent_streams=20, unsent=20_000, output=20_000)
pytestmark = pytest.mark.timeout(SECONDS + 300)


def seeds() -> Iterator[int]:
    """Yields always the same ones, or new ones until the time is up."""
    if not LONG:
        yield from range(EXAMPLES)
        return
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield SystemRandom().getrandbits(48)


class Driver:
    """A connection, and an application that answers whatever it hears, and looks at what it is told."""

    def __init__(self, role: Role, random: Random) -> None:
        self.role, self.random = role, random
        self.connection = Connection(role, LIMITS, clock=lambda: 0.0)
        self.alive: set[int] = set()
        """Streams of which something may be told."""
        self.failed = False
        self.seen = 0
        if role is Role.CLIENT:
            for _ in range(4):
                self.alive.add(self.connection.open_stream(REQUEST))

    def hear(self, octets: bytes) -> None:
        """Takes bytes, sees that what comes of them makes sense, and acts upon some of it."""
        events = heard(self.connection, octets)
        for event in events:
            self.seen += 1
            assert not self.failed
            self._look_at(event)
        for event in events:
            self._act(event)
        assert self.connection.open_streams <= LIMITS.concurrent_streams + 4
        if self.random.random() < 0.7:
            self._take()

    def _look_at(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionFailed):
            self.failed = True
        elif isinstance(event, HeadersReceived):
            assert event.is_trailers == (event.stream_id in self.alive) or self.role is Role.CLIENT
            self.alive.add(event.stream_id)
            assert sum(32 + len(n) + len(v) for n, v in event.headers) <= LIMITS.header_list
            assert not (event.is_trailers and (event.data or event.trailers is not None))
        elif isinstance(event, DataReceived | StreamReset):
            assert event.stream_id in self.alive
        if isinstance(event, StreamReset):
            self.alive.remove(event.stream_id)

    def _act(self, event: ConnectionEvent) -> None:
        connection, chance = self.connection, self.random.random()
        if isinstance(event, HeadersReceived) and event.data and self.random.random() < 0.8:
            connection.consumed(event.stream_id, len(event.data))
        if isinstance(event, HeadersReceived) and self.role is Role.SERVER and chance < 0.8:
            connection.send_headers(event.stream_id, ANSWER)
            connection.send_data(event.stream_id, bytes(self.random.randrange(30_000)))
            if chance < 0.5:
                connection.send_headers(event.stream_id, TRAILERS, end_stream=True)
        elif isinstance(event, DataReceived) and chance < 0.8:
            connection.consumed(event.stream_id, len(event.data))
        elif isinstance(event, HeadersReceived | DataReceived) and chance < 0.85:
            connection.reset(event.stream_id, ErrorCode.CANCEL)
            self.alive.discard(event.stream_id)

    def _take(self) -> None:
        octets = self.connection.take_output()
        assert len(octets) <= LIMITS.unsent + LIMITS.output + 60_000
        self.connection.take_events()
        h2.parse(octets.removeprefix(h2.PREFACE))


def conversation(role: Role, random: Random) -> list[bytes]:
    """Returns the frames of a peer that does nothing wrong, some of them seldom seen."""
    streams = [1, 3, 5, 7]
    head = REQUEST if role is Role.SERVER else ANSWER
    frames = [h2.settings((4, random.choice([0, 100, 1 << 20])), (1, random.choice([0, 4096])))]
    for stream in streams:
        block = h2.block(head[:-1]) + h2.remembered(*head[-1])
        at = random.randrange(len(block))
        frames += random.choice(
            [
                [h2.headers(stream, block)],
                [h2.headers(stream, block, pad=random.randrange(256), priority=bytes(5))],
                [h2.headers(stream, block[:at], more=True) + h2.continuation(stream, block[at:])],
            ]
        )
    for _ in range(random.randrange(12)):
        stream = random.choice(streams)
        frames.append(
            random.choice(
                [
                    h2.data(stream, random.randbytes(random.randrange(2000))),
                    h2.data(stream, b"x", pad=random.randrange(256)),
                    h2.window(random.choice([0, stream]), random.randrange(1, 1 << 20)),
                    h2.ping(),
                    h2.settings(flags=h2.ACK),
                    h2.priority(stream, on=0),
                    h2.frame(0xFA, 0, stream, b"?"),
                ]
            )
        )
    for stream in streams:
        ends = [h2.data(stream, end=True), h2.headers(stream, TRAILERS, end=True), h2.reset(stream)]
        frames.append(random.choice(ends))
    frames.append(h2.goaway(7))
    return frames


def mutated(role: Role, random: Random) -> bytes:
    """Returns a conversation in which frames, or bytes, are lost, doubled, moved or changed."""
    frames = conversation(role, random)
    for _ in range(random.randrange(4)):
        at, to = random.randrange(len(frames)), random.randrange(len(frames))
        act = random.randrange(3)
        if act == 0:
            frames.insert(to, frames[at])
        elif act == 1 and len(frames) > 1:
            del frames[at]
        else:
            frames[at], frames[to] = frames[to], frames[at]
    octets = bytearray(b"".join(frames))
    for _ in range(random.randrange(4)):
        at = random.randrange(len(octets))
        act = random.randrange(4)
        if act == 0:
            octets[at] = random.randrange(256)
        elif act == 1:
            octets[at] ^= 1 << random.randrange(8)
        elif act == 2:
            del octets[at : at + random.randrange(20)]
        else:
            octets[at:at] = random.randbytes(random.randrange(20))
        octets = octets or bytearray(b"\0")
    return bytes(octets)


def random_frames(role: Role, random: Random) -> bytes:
    """Returns frames of any kind, flags, stream and content, of sizes that are often right."""
    frames = [h2.settings()]
    blocks = [b"", h2.block(REQUEST), h2.block(ANSWER), h2.block(TRAILERS), h2.indexed(62)]
    sizes = {Kind.PRIORITY: 5, Kind.RST_STREAM: 4, Kind.PING: 8, Kind.WINDOW_UPDATE: 4}
    for _ in range(random.randrange(1, 80)):
        kind = random.choice([*range(10), Kind.HEADERS, Kind.DATA, 77])
        flags = random.choice([0, 0, 1, 4, 5, 5, random.randrange(256)])
        size = sizes.get(Kind(kind), 6 * random.randrange(3)) if kind < 10 else 3
        size += random.random() < 0.02
        payload = bytes(size - 2) + random.randbytes(2) if size > 2 else random.randbytes(size)
        if kind in {Kind.HEADERS, Kind.CONTINUATION}:
            payload = random.choice([*blocks, random.randbytes(random.randrange(30))])
        on_stream = kind not in {Kind.SETTINGS, Kind.PING, Kind.GOAWAY}
        stream = random.choice([1, 1, 3, 5, 7, 9, random.randrange(12)]) if on_stream else 0
        frames.append(h2.frame(kind, flags, stream, payload))
    return b"".join(frames)


def random_bytes(role: Role, random: Random) -> bytes:
    """Returns settings, and then anything."""
    return h2.settings() + random.randbytes(random.randrange(400))


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
@pytest.mark.parametrize("make", [mutated, random_frames, random_bytes])
def test_no_bytes_break_a_connection(make: Callable[[Role, Random], bytes], role: Role) -> None:
    """`receive` raises nothing and returns soon; what is told follows the rules of streams."""
    seen = 0
    for seed in seeds():
        random = Random(seed)
        octets = make(role, random)
        if role is Role.SERVER and random.random() < 0.98:
            octets = h2.PREFACE + octets
        driver = Driver(role, random)
        started = time.process_time()
        try:
            at = 0
            while at < len(octets):
                size = random.choice([1, 9, 50, 1 << 20])
                driver.hear(octets[at : at + size])
                at += size
        except Exception as error:
            raise AssertionError(f"{make.__name__}, seed {seed}: {error!r}") from error
        assert time.process_time() - started < 5, f"{make.__name__}, seed {seed}"
        seen += driver.seen
    assert seen
