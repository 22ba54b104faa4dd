"""One WebSocket, without I/O: websockets' sans-IO protocol reads the frames, the limits are held around it.

The handshake was read as a request over HTTP; the library is asked what it says to it, and starts open.
Received bytes are parsed in pieces, so that no turn of an event loop is long; fragments are joined as they
come. Frames that carry next to nothing have a rate: pings, pongs, empty and small fragments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.exceptions import InvalidState
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as WebSocketRequest
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter

from gateway.doors.http.limits import WebSocketLimits
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers, Request
from grpc_wire.call.message import max_inflated

MIN_PIECE: Final = 256
MAX_PIECE: Final = 16 * 1024
"""Least and most bytes that are parsed at once."""
_FRAME_COST: Final = 512
"""Bytes that the parsing of a frame counts for, besides those that it carries."""
_PIECE_COST: Final = 64 * 1024
"""Beyond it the next piece is half as large; below a quarter of it, twice."""
SMALL_FRAGMENT: Final = 64
"""Bytes below which a fragment that is not the last has a rate."""
BURST: Final = 10
"""Seconds for which the rate may be used up at once."""
_WINDOW_BITS: Final = 12
_HANDSHAKE_HEADERS: Final = frozenset({"date", "sec-websocket-protocol"})
"""Headers of the library's response to a handshake that are set here instead."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The client has started the closing handshake or finished it, or broken the protocol."""

    code: int
    reason: str


Received: TypeAlias = Message | Pong | Closed


class WebSocketConnection:
    """One WebSocket, from the server's side.

    Attributes:
        events: what has been parsed; their owner removes them.
        close_sent: whether a close frame was sent.
    """

    __slots__ = (
        "_allowance",
        "_allowed_at",
        "_at",
        "_cost",
        "_limits",
        "_message",
        "_piece",
        "_protocol",
        "_text",
        "_unparsed",
        "events",
    )

    def __init__(self, limits: WebSocketLimits) -> None:
        self._limits = limits
        self._cost = _Cost()
        factories = [_BoundedDeflateFactory(self._cost)] if limits.compression else []
        self._protocol = ServerProtocol(
            state=State.OPEN, extensions=factories, max_size=limits.max_message
        )
        self.events: deque[Received] = deque()
        self._unparsed = b""
        self._at = 0
        self._piece = MAX_PIECE // 4
        self._message = bytearray()
        self._text = False
        self._allowance = float(limits.small_frames * BURST)
        self._allowed_at: float | None = None

    # The handshake.

    def handshake(self, request: Request) -> Headers:
        """Returns the headers of the response that accepts a handshake.

        Raises:
            Rejection: it is none (RFC 6455, section 4.2.1).
        """
        headers = WebSocketHeaders()
        for name, value in request.headers:
            if name not in (b"connection", b"upgrade"):
                headers[name.decode("latin-1")] = value.decode("latin-1")
        # of several protocols that were asked for only this one is spoken here
        headers["Connection"], headers["Upgrade"] = "Upgrade", "websocket"
        response = self._protocol.accept(WebSocketRequest(request.path, headers))
        if response.status_code != 101:
            named = ((b"sec-websocket-version", b"13"),)
            raise Rejection(response.status_code, "the handshake is not that of a WebSocket", named)
        return [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in response.headers.raw_items()
            if name.lower() not in _HANDSHAKE_HEADERS
        ]

    # What came.

    @property
    def has_unparsed(self) -> bool:
        """Whether something was received that is not parsed yet."""
        return bool(self._unparsed)

    @property
    def close_sent(self) -> bool:
        """Whether a close frame was sent; no other frame may follow it."""
        return self._protocol.close_sent is not None

    @property
    def failed(self) -> bool:
        """Whether the connection is to be closed at once: the client has broken the protocol."""
        return self._protocol.parser_exc is not None

    def receive(self, data: bytes) -> None:
        """Keeps what was received, until `parse`."""
        self._unparsed, self._at = self._unparsed[self._at :] + data, 0

    def drop(self) -> None:
        """Drops what was received."""
        self._unparsed = b""

    def parse(self, now: float) -> None:
        """Parses one piece of what was received; its size follows what the last one has cost.

        Args:
            now: the time in seconds, of a clock that does not go back.
        """
        end = self._at + self._piece
        whole = self._at == 0 and end >= len(self._unparsed)
        piece = self._unparsed if whole else self._unparsed[self._at : end]
        self._at = end
        if end >= len(self._unparsed):
            self._unparsed, self._at = b"", 0
        self._cost.inflated = 0
        self._protocol.receive_data(piece)
        frames = 0
        for frame in self._protocol.events_received():
            frames += 1
            if isinstance(frame, Frame):
                self._take_frame(frame, now)
        cost = frames * _FRAME_COST + len(piece) + self._cost.inflated
        if cost > _PIECE_COST:
            self._piece = max(self._piece // 2, MIN_PIECE)
        elif cost * 4 < _PIECE_COST:
            self._piece = min(self._piece * 2, MAX_PIECE)
        failure = self._protocol.close_sent
        if self._protocol.parser_exc is not None and failure is not None:
            self._fail(failure.code, failure.reason)

    def _take_frame(self, frame: Frame, now: float) -> None:
        opcode = frame.opcode
        if opcode is Opcode.CLOSE:
            received = self._protocol.close_rcvd
            self.events.append(
                Closed(received.code if received else 1005, received.reason if received else "")
            )
        elif opcode is Opcode.PING or opcode is Opcode.PONG:
            self._spend(now)
            if opcode is Opcode.PONG:
                self.events.append(Pong(bytes(frame.data)))
        else:
            if opcode is not Opcode.CONT:
                self._text = opcode is Opcode.TEXT
            if frame.fin and not self._message:
                self._end_message(bytes(frame.data))
            else:
                self._message += frame.data
                if frame.fin:
                    message, self._message = self._message, bytearray()
                    self._end_message(bytes(message))
                elif len(frame.data) < SMALL_FRAGMENT:
                    self._spend(now)

    def _end_message(self, data: bytes) -> None:
        if not self._text:
            self.events.append(Message(data))
            return
        try:
            self.events.append(Message(data.decode()))
        except UnicodeDecodeError:
            self._break(1007, "a text is not UTF-8")

    def _spend(self, now: float) -> None:
        """Counts a frame that carries next to nothing."""
        rate = self._limits.small_frames
        if self._allowed_at is not None:
            earned = (now - self._allowed_at) * rate
            self._allowance = min(self._allowance + earned, float(rate * BURST))
        self._allowed_at = now
        self._allowance -= 1
        if self._allowance < 0:
            self._break(1008, "too many small frames")

    def _break(self, code: int, reason: str) -> None:
        """Ends a connection whose client does what it must not."""
        if not self.close_sent:
            self._protocol.fail(code, reason)
        self._fail(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        self._unparsed = b""
        if not any(isinstance(event, Closed) for event in self.events):
            self.events.append(Closed(code, reason))

    # What is sent.

    def send(self, data: str | bytes) -> None:
        """Sends a message; nothing where the closing handshake has started."""
        try:
            if isinstance(data, str):
                self._protocol.send_text(data.encode())
            else:
                self._protocol.send_binary(data)
        except InvalidState:
            return

    def ping(self, payload: bytes) -> None:
        """Sends a ping."""
        self._protocol.send_ping(payload)

    def close(self, code: int, reason: str) -> None:
        """Starts the closing handshake, unless it has started."""
        if not self.close_sent:
            self._protocol.send_close(code, reason)

    def data_to_send(self) -> bytes:
        """Returns what is to be written."""
        return b"".join(self._protocol.data_to_send())


class _Cost:
    """What the frames of one piece have become by decompression."""

    __slots__ = ("inflated",)

    def __init__(self) -> None:
        self.inflated = 0


class _BoundedDeflate(Extension):
    """permessage-deflate whose frames become no larger than `max_inflated` says."""

    def __init__(self, deflate: Extension, cost: _Cost) -> None:
        self.name = deflate.name
        self._deflate = deflate
        self._cost = cost

    def encode(self, frame: Frame) -> Frame:
        """Compresses a frame."""
        return self._deflate.encode(frame)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompresses a frame; websockets closes with 1009 where it becomes too large."""
        inflated = max_inflated(len(frame.data))
        most = inflated if max_size is None else min(max_size, inflated)
        decoded = self._deflate.decode(frame, max_size=most)
        self._cost.inflated += len(decoded.data)
        return decoded


class _BoundedDeflateFactory(ServerExtensionFactory):
    """Negotiates permessage-deflate (RFC 7692), and bounds what it inflates."""

    def __init__(self, cost: _Cost) -> None:
        self._factory = ServerPerMessageDeflateFactory(
            server_max_window_bits=_WINDOW_BITS,
            client_max_window_bits=_WINDOW_BITS,
            compress_settings={"memLevel": 5},
        )
        self.name = self._factory.name
        self._cost = cost

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Returns the parameters that were agreed on, and the extension."""
        agreed, deflate = self._factory.process_request_params(params, accepted_extensions)
        return agreed, _BoundedDeflate(deflate, self._cost)
