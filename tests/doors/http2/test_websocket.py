"""WebSockets on streams of HTTP/2 (RFC 8441); the frames are those of a client that is not ours."""

from __future__ import annotations

import json
from collections.abc import Sequence

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.doors.http2.client import Client, Stream, connected
from tests.doors.http2.conftest import Edge

ENABLE_CONNECT_PROTOCOL = 8


class Socket:
    """One WebSocket on a stream."""

    def __init__(
        self,
        client: Client,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        protocol: str = "websocket",
        version: str = "13",
    ) -> None:
        """Sends the handshake."""
        fields = {
            ":method": "CONNECT",
            ":protocol": protocol,
            ":scheme": "http",
            ":path": target,
            ":authority": "edge.test",
            "sec-websocket-version": version,
        }
        self._client = client
        self.stream: Stream = client.send([*fields.items(), *headers], end=False)
        self._protocol = ClientProtocol(parse_uri("ws://edge.test/"), state=State.OPEN)
        self._read = 0

    async def answered(self) -> int:
        """Waits for the answer to the handshake; returns its status."""
        stream = self.stream
        await self._client.until(lambda: stream.status or stream.reset is not None or stream.lost)
        return stream.status

    def send(self, text: str) -> None:
        """Sends a message."""
        self._protocol.send_text(text.encode())
        self._flush()

    def close(self) -> None:
        """Sends a close frame."""
        self._protocol.send_close(1000)
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._client.h2.send_data(self.stream.number, data)
        self._client.flush()

    async def receive(self) -> Frame:
        """Waits for the next frame."""
        frames: list[Frame] = []

        def arrived() -> bool:
            body = bytes(self.stream.body)
            self._protocol.receive_data(body[self._read :])
            self._read = len(body)
            frames.extend(f for f in self._protocol.events_received() if isinstance(f, Frame))
            return bool(frames)

        await self._client.until(arrived)
        assert len(frames) == 1
        return frames[0]


async def test_the_server_says_that_it_has_extended_connect(edge: Edge) -> None:
    """RFC 8441, 3: SETTINGS_ENABLE_CONNECT_PROTOCOL is 1."""
    async with edge() as port, connected(port) as client:
        await client.get("/v1/echo/a")

        assert client.h2.remote_settings[ENABLE_CONNECT_PROTOCOL] == 1


async def test_messages_go_both_ways(edge: Edge) -> None:
    """The exchange is that of HTTP/1.1; the close code says OK, and the stream ends."""
    async with edge() as port, connected(port) as client:
        socket = Socket(client, "/v1/bidi")
        assert await socket.answered() == 200
        for text in ("a", "b"):
            socket.send(json.dumps({"stringField": text}))
            assert json.loads(bytes((await socket.receive()).data)) == {"stringField": text}
        socket.close()
        closed = await socket.receive()
        await client.end_of(socket.stream)

    assert closed.opcode is Opcode.CLOSE
    assert socket.stream.ended
    assert "sec-websocket-accept" not in dict(socket.stream.headers)


async def test_requests_and_websockets_share_a_connection(edge: Edge) -> None:
    """Ten WebSockets and a request between their messages."""
    async with edge() as port, connected(port) as client:
        sockets = [Socket(client, "/v1/bidi") for _ in range(10)]
        for number, socket in enumerate(sockets):
            assert await socket.answered() == 200
            socket.send(json.dumps({"int32Field": number + 1}))
        assert (await client.get("/v1/echo/between")).status == 200
        for number, socket in enumerate(sockets):
            assert json.loads(bytes((await socket.receive()).data)) == {"int32Field": number + 1}


async def test_a_subprotocol_is_chosen(edge: Edge) -> None:
    """As over HTTP/1.1."""
    async with edge() as port, connected(port) as client:
        socket = Socket(client, "/v1/bidi", [("sec-websocket-protocol", "other, grpc-json.v1")])
        assert await socket.answered() == 200

    assert dict(socket.stream.headers)["sec-websocket-protocol"] == "grpc-json.v1"


async def test_a_handshake_is_refused(edge: Edge) -> None:
    """With the status and the body of the error, on this stream alone."""
    async with edge() as port, connected(port) as client:
        missing = Socket(client, "/v1/nowhere")
        foreign = Socket(client, "/v1/bidi", [("origin", "https://other.test")])
        old = Socket(client, "/v1/bidi", version="8")
        unknown = Socket(client, "/v1/bidi", protocol="connect-udp")
        statuses = [await each.answered() for each in (missing, foreign, old, unknown)]
        for each in (missing, foreign, old, unknown):
            await client.end_of(each.stream)
        after = await client.get("/v1/echo/a")

    assert statuses == [404, 403, 400, 501]
    assert json.loads(missing.stream.body)["code"] == 5
    assert after.status == 200


async def test_a_client_that_resets_leaves(edge: Edge, echo: object) -> None:
    """The call upstream is cancelled, and the connection goes on."""
    async with edge() as port, connected(port) as client:
        socket = Socket(client, "/v1/bidi")
        assert await socket.answered() == 200
        client.h2.reset_stream(socket.stream.number, 8)
        client.flush()

        assert (await client.get("/v1/echo/a")).status == 200


async def test_plain_connect_is_malformed(edge: Edge) -> None:
    """The edge is no proxy: CONNECT without :protocol is a stream error."""
    async with edge() as port, connected(port, strict=False) as client:
        stream = client.send([(":method", "CONNECT"), (":authority", "edge.test:443")])
        await client.end_of(stream)
        after = await client.get("/v1/echo/a")

    assert (stream.reset, after.status) == (1, 200)
