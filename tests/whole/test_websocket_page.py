"""docs/reference/wires.md, "WebSocket", read by a stranger: two clients that know nothing but that page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.echo_server import EchoServer, echo_server
from tests.whole.conftest import ROOT, Demo, edge_process

Json = Any

USD, EUR = (
    {"fromCurrency": "USD", "toCurrency": "EUR"},
    {"fromCurrency": "EUR", "toCurrency": "USD"},
)


class CallError(Exception):
    """A call that ended with another code than 0."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PlainCall:
    """One call in `grpc-json.v1`; iterating it yields the answers."""

    def __init__(self, url: str) -> None:
        self._connecting = connect(url, subprotocols=[Subprotocol("grpc-json.v1")])

    async def __aenter__(self) -> Self:
        self._socket: ClientConnection = await self._connecting
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def send(self, message: Json) -> None:
        """Sends a message."""
        await self._socket.send(json.dumps(message))

    async def half_close(self) -> None:
        """Says that there are no more messages."""
        await self._socket.send("")

    async def __aiter__(self) -> AsyncIterator[Json]:
        try:
            while True:
                yield json.loads(await self._socket.recv())
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise  # the connection was cut: nobody knows how the call ended
            if closed.rcvd.code >= 4000:
                raise CallError(closed.rcvd.code - 4000, closed.rcvd.reason) from None
            if closed.rcvd.code != 1000:
                raise  # 1001, 1009, 1011


class EnvelopeCall:
    """One call in `grpc-json-envelope.v1`; iterating it yields the answers."""

    def __init__(self, url: str, metadata: Json = None) -> None:
        self._connecting = connect(url, subprotocols=[Subprotocol("grpc-json-envelope.v1")])
        self._metadata = metadata or {}
        self.headers: Json = None
        self.status: Json = None
        self.close_code: int | None = None

    async def __aenter__(self) -> Self:
        self._socket: ClientConnection = await self._connecting
        await self._send("headers", self._metadata)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def _send(self, kind: str, value: Json) -> None:
        await self._socket.send(json.dumps({kind: value}))

    async def send(self, message: Json) -> None:
        """Sends a message."""
        await self._send("message", message)

    async def half_close(self) -> None:
        """Says that there are no more messages."""
        await self._send("half_close", {})

    async def __aiter__(self) -> AsyncIterator[Json]:
        while self.status is None:
            ((kind, value),) = json.loads(await self._socket.recv()).items()
            if kind == "headers":
                self.headers = value
            elif kind == "message":
                yield value
            elif kind == "status":
                self.status = value
        await self._socket.wait_closed()
        self.close_code = self._socket.close_code
        if code := self.status.get("code", 0):
            raise CallError(code, self.status["message"])


Call = PlainCall | EnvelopeCall
BOTH = pytest.mark.parametrize("kind", [PlainCall, EnvelopeCall])


@BOTH
async def test_both_sides_stream(demo: Demo, kind: type[Call]) -> None:
    """Each message is answered as it comes, and the half-close ends the call."""
    async with kind(f"{demo.websocket}/convert:live") as call:
        answers = aiter(call)
        for amount in (100, 200):
            await call.send({**USD, "amount": amount})
            answer = await anext(answers)
            assert answer["convertedAmount"] == pytest.approx(amount * answer["rate"], rel=1e-3)
        await call.half_close()

        assert [answer async for answer in answers] == []


@BOTH
async def test_the_client_streams(demo: Demo, kind: type[Call]) -> None:
    """The one answer comes after the half-close."""
    async with kind(f"{demo.websocket}/convert:batch") as call:
        for message in (USD, EUR, USD):
            await call.send({**message, "amount": 10})
        await call.half_close()
        (answer,) = [answer async for answer in call]

    assert answer["count"] == 3


@BOTH
async def test_the_server_streams(demo: Demo, kind: type[Call]) -> None:
    """Path and query are the request, nothing has to be sent, and leaving ends it."""
    async with kind(f"{demo.websocket}/rates/USD?target_currencies=EUR") as call:
        answers = aiter(call)
        seen = [await anext(answers) for _ in range(2)]

    assert [answer["currency"] for answer in seen] == ["EUR", "EUR"]


@BOTH
async def test_the_server_refuses(demo: Demo, kind: type[Call]) -> None:
    """What the server refuses ends the call with its status."""
    async with kind(f"{demo.websocket}/convert:live") as call:
        answers = aiter(call)
        await call.send({**USD, "amount": 1})
        await anext(answers)
        await call.send({"fromCurrency": "USD", "toCurrency": "NIX", "amount": 1})
        with pytest.raises(CallError, match="request 1: unknown currency") as caught:
            await anext(answers)

    assert caught.value.code == 3


@BOTH
async def test_the_edge_refuses(demo: Demo, kind: type[Call]) -> None:
    """A message that the contract does not know is named by its number."""
    async with kind(f"{demo.websocket}/convert:batch") as call:
        await call.send({**USD, "amount": 1})
        await call.send({**USD, "amuont": 1})
        with pytest.raises(CallError, match=r"\[1\]\.amuont: unknown field") as caught:
            await anext(aiter(call))

    assert caught.value.code == 3


async def test_an_envelope_has_the_whole_status(demo: Demo) -> None:
    """Details come with the status, and the close code says the same in short."""
    async with EnvelopeCall(f"{demo.websocket}/convert:live") as call:
        await call.send({**USD, "toCurrency": "NIX", "amount": 1})
        with pytest.raises(CallError):
            await anext(aiter(call))

    (detail,) = call.status["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert [violation["field"] for violation in detail["fieldViolations"]] == ["to_currency"]
    assert call.status["trailers"] == {}
    assert (call.headers, call.close_code) == (None, 4003)


async def test_the_conversation_on_the_page(demo: Demo) -> None:
    """Frame by frame, the demo says what the page says that it does; but for the rates."""
    section = (
        (ROOT / "docs" / "reference" / "wires.md").read_text().split("A conversation:\n\n```\n")[1]
    )
    subprotocols = [Subprotocol("grpc-json-envelope.v1")]
    async with connect(f"{demo.websocket}/convert:live", subprotocols=subprotocols) as socket:
        for line in section.split("\n```")[0].splitlines():
            side, text = line.split(" ", 1)
            if side == ">":
                await socket.send(text)
            elif text.startswith("close"):
                await socket.wait_closed()
                assert f"close {socket.close_code}" == text
            else:
                said, expected = json.loads(await socket.recv()), json.loads(text)
                assert said.keys() == expected.keys()
                if "message" in said:
                    assert said["message"].keys() == expected["message"].keys()
                else:
                    assert said == expected


async def test_an_envelope_has_a_deadline(demo: Demo) -> None:
    """`grpc-timeout` in the headers ends a stream that has no end."""
    url = f"{demo.websocket}/rates/USD?target_currencies=EUR"
    async with EnvelopeCall(url, {"grpc-timeout": "300m"}) as call:
        with pytest.raises(CallError) as caught:
            async for _ in call:
                pass

    assert (caught.value.code, call.close_code) == (4, 4004)
    assert call.headers == {}


class TellingServer(EchoServer):
    """A server that says what it was told, first and last."""

    async def bidi(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answers each request with itself, and ends with the metadata that it was given."""
        await context.send_initial_metadata((("etag", '"e"'), ("secret", "x")))
        async for request in requests:
            yield request
        told = [(k, v) for k, v in context.invocation_metadata() if k in ("authorization", "tag")]
        context.set_trailing_metadata((*told, ("key-bin", b"\xff")))


async def test_an_envelope_has_metadata(tmp_path: Path) -> None:
    """Keys pass both ways, as the page lists them."""
    metadata = {"authorization": "Bearer abc", "grpc-metadata-tag": ["a", "b"], "cookie": "no"}
    async with (
        echo_server(TellingServer) as echo,
        edge_process(tmp_path, echo.address) as base,
        EnvelopeCall(f"{base.replace('http', 'ws', 1)}/v1/bidi", metadata) as call,
    ):
        await call.send({"stringField": "x"})
        await call.half_close()
        answers = await asyncio.wait_for(collect(call), 10)

    assert answers == [{"stringField": "x"}]
    assert call.headers == {"etag": '"e"'}
    assert call.status == {
        "trailers": {"authorization": "Bearer abc", "tag": ["a", "b"], "key-bin": "/w=="}
    }


async def collect(call: Call) -> list[Json]:
    """Returns all answers."""
    return [answer async for answer in call]
