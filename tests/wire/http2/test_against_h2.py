"""Random conversations between ours and h2, in both roles, and between two of ours; cut anywhere.

What either says arrives whole, in order and once; ends agree; neither finds a fault in the other (h2 raises
one for every window that is exceeded); and in the end all windows are as they were.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2.sides import Ours, Side, Talk, Theirs, Words
from tests.wire.http2.stage import ANSWER, REQUEST, TRAILERS

LONG = "FUZZ_SECONDS" in os.environ
EXAMPLES = int(float(os.environ["FUZZ_SECONDS"]) * 2) if LONG else 12
"""Some are part of every test run, always the same ones; `make fuzz` goes on with new ones."""
SIZES = (0, 1, 5, 100, 3_000, 16_384, 16_385, 70_000)
FIELDS: tuple[Headers, ...] = (
    (),
    ((b"grpc-timeout", b"1S"),),
    ((b"x-request-id", b"0123456789abcdef"), (b"user-agent", b"me")),
    ((b"x-long", b"y" * 5_000),),
    ((b"x-very-long", b"z" * 9_000), (b"x-b-bin", bytes(range(0x80, 0x100)))),
)
ACTS = (
    "open",
    "ask",
    "answer",
    "whole answer",
    "data",
    "data",
    "trailers",
    "reset",
    "read",
    "ping",
    "settings",
    "flow",
    "flow",
    "flow",
)
Act = tuple[str, int, int, int]
acts = st.lists(
    st.tuples(
        st.sampled_from(ACTS), st.integers(0, 1), st.integers(0, 255), st.integers(0, 70_000)
    ),
    min_size=15,
    max_size=60,
)


def _data(number: int) -> bytes:
    return bytes([number % 251]) * SIZES[number % len(SIZES)]


class Conversation:
    """Two sides, and the bytes between them."""

    def __init__(self, client: Side, server: Side) -> None:
        self.sides = (client, server)
        self.wires = (bytearray(), bytearray())
        """What either side has sent and the other has not heard yet."""
        self.pings = 0

    def act(self, act: Act) -> None:
        """Does one thing, if it can be done now."""
        name, who, choice, number = act
        side = self.sides[who]
        if name == "open":
            self._open(choice, end=number % 3 == 0)
        elif name == "ask":
            self._ask(choice, number)
        elif name == "flow":
            self._flow(who, number if choice % 2 else 70_000)
        elif name == "ping":
            self.pings += 1
            side.ping(b"%08d" % self.pings)
        elif name == "settings":
            side.settings(choice)
        else:
            self._on_stream(name, side, choice, number)

    def _open(self, choice: int, *, end: bool) -> None:
        client = self.sides[0]
        if client.can_open():
            head = REQUEST + FIELDS[choice % len(FIELDS)]
            stream = client.open(head, end=end)
            assert stream not in client.talks
            client.talks[stream] = Talk(said=Words(head, ended=end))

    def _ask(self, choice: int, number: int) -> None:
        client = self.sides[0]
        if client.can_open():
            head, body = REQUEST + FIELDS[choice % len(FIELDS)], _data(number)
            stream = client.ask(head, body)
            assert stream not in client.talks
            client.talks[stream] = Talk(said=Words(head, bytearray(body), ended=True))

    def _on_stream(self, name: str, side: Side, choice: int, number: int) -> None:
        if not side.talks:
            return
        stream = sorted(side.talks)[choice % len(side.talks)]
        talk = side.talks[stream]
        if name == "read":
            side.read(stream)
        elif name == "reset":
            if talk.reset is None and not (talk.said.ended and talk.heard.ended):
                side.reset(stream)
                talk.reset = 8
        elif "answer" in name:
            if side is self.sides[1] and talk.said.head is None and talk.reset is None:
                head = ANSWER + FIELDS[number % len(FIELDS)]
                if name == "answer":
                    talk.said = Words(head, ended=number % 5 == 0)
                    side.headers(stream, head, end=talk.said.ended)
                else:
                    talk.said = Words(head, bytearray(_data(number)), TRAILERS, ended=True)
                    side.send_response(stream, head, _data(number), TRAILERS)
        elif talk.may_say:
            self._say(name, side, stream, number)

    def _say(self, name: str, side: Side, stream: int, number: int) -> None:
        said = side.talks[stream].said
        if name == "trailers":
            said.trailers = TRAILERS + FIELDS[number % len(FIELDS)]
            said.ended = True
            side.headers(stream, said.trailers, end=True)
        else:
            data = _data(number)
            said.body += data
            said.ended = number % 7 == 0
            side.data(stream, data, end=said.ended)

    def _flow(self, who: int, most: int) -> None:
        """Lets some of what one side has sent be heard."""
        wire = self.wires[who]
        wire += self.sides[who].output()
        heard = bytes(wire[:most])
        del wire[:most]
        if heard:
            self.sides[1 - who].hear(heard)

    def settle(self) -> None:
        """Lets everything flow, and everybody read, until nothing more happens."""
        for _ in range(1000):
            for who in (0, 1):
                self._flow(who, 1 << 30)
                for stream in self.sides[who].talks:
                    self.sides[who].read(stream)
            if not any(self.wires) and all(side.idle() for side in self.sides):
                still = [side.output() for side in self.sides]
                if not any(still):
                    return
                for wire, octets in zip(self.wires, still, strict=True):
                    wire.extend(octets)
        pytest.fail("the conversation does not come to rest")

    def finish(self) -> None:
        """Ends what is open, and sees that both sides know the same."""
        for side in self.sides:
            side.settings(2)  # windows that were taken away come back
        self.settle()
        for side in self.sides:
            for stream, talk in side.talks.items():
                if side is self.sides[1] and talk.said.head is None and talk.reset is None:
                    talk.said.head = ANSWER
                    side.headers(stream, ANSWER, end=False)
                if talk.may_say:
                    talk.said.ended = True
                    side.data(stream, b"", end=True)
        self.settle()
        self._agree()

    def _agree(self) -> None:
        client, server = self.sides
        assert sum(client.pongs.values()) + sum(server.pongs.values()) == self.pings
        for stream, asked in client.talks.items():
            answered = server.talks.get(stream, Talk())
            given_up = {asked.reset, answered.reset} - {None, 0}
            # an answer that is whole is followed by a reset without error, and is not less whole for it
            cut_short = bool(given_up) or 0 in {asked.reset, answered.reset}
            cut_short |= server.needs_no_more and answered.said.ended
            _compare(asked.said, answered.heard, whole=not cut_short)
            _compare(answered.said, asked.heard, whole=not given_up)

    def windows_are_whole(self) -> None:
        """Sees that as much as at the beginning can be sent, both ways."""
        client, server = self.sides
        self.settle()
        if not client.can_open():
            return
        stream = client.open(REQUEST, end=False)
        client.talks[stream] = Talk(said=Words(REQUEST))
        client.data(stream, bytes(65_535), end=False)
        self._flow(0, 1 << 30)
        # the window of the connection may be given back by halves
        assert len(server.talks[stream].heard.body) >= min(32_768, server.window)
        server.headers(stream, ANSWER, end=False)
        server.data(stream, bytes(65_535), end=False)
        self._flow(1, 1 << 30)
        assert len(client.talks[stream].heard.body) >= min(32_768, client.window)

    def part(self, who: int) -> None:
        """One side goes away, and the other hears of it."""
        self.sides[who].go()
        self._flow(who, 1 << 30)
        ((last, code),) = self.sides[1 - who].gone
        assert code == 0
        assert last == (max(self.sides[1].talks, default=0) if who else 0)


def _compare(said: Words, heard: Words, *, whole: bool) -> None:
    if whole:
        assert heard == said
        return
    assert heard.head in (None, said.head)
    assert heard.trailers in (None, said.trailers)
    assert said.body.startswith(heard.body)


SMALL = replace(
    DEFAULT, output=20_000, connection_window=65_535, header_table=0, stream_window=20_000
)
LARGE = replace(
    DEFAULT, stream_window=1 << 20, frame=1 << 18, header_table=8192, concurrent_streams=2
)
PAIRS: dict[str, Callable[[], tuple[Side, Side]]] = {
    "ours-to-h2": lambda: (Ours(Role.CLIENT), Theirs(Role.SERVER)),
    "h2-to-ours": lambda: (Theirs(Role.CLIENT), Ours(Role.SERVER)),
    "ours-to-ours": lambda: (Ours(Role.CLIENT), Ours(Role.SERVER)),
    "ours-to-h2-small": lambda: (Ours(Role.CLIENT, SMALL), Theirs(Role.SERVER)),
    "h2-to-ours-small": lambda: (Theirs(Role.CLIENT), Ours(Role.SERVER, SMALL)),
    "small-to-large": lambda: (Ours(Role.CLIENT, SMALL), Ours(Role.SERVER, LARGE)),
    "large-to-small": lambda: (Ours(Role.CLIENT, LARGE), Ours(Role.SERVER, SMALL)),
    "h2-to-ours-large": lambda: (Theirs(Role.CLIENT), Ours(Role.SERVER, LARGE)),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_conversation(pair: Callable[[], tuple[Side, Side]]) -> None:
    """Whatever both do that is legal, and however the bytes are cut, they understand each other."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(acts)
    def holds(acts: list[Act]) -> None:
        conversation = Conversation(*pair())
        for act in acts:
            conversation.act(act)
        conversation.finish()
        conversation.windows_are_whole()
        conversation.part(len(acts) % 2)

    holds()
