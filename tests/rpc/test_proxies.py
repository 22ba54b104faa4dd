"""gRPC by grpcio through a proxy before an edge: nginx's `grpc_pass`, and Envoy with HTTP/2 to the edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc import aio

from tests.doors.http2.conftest import Edge
from tests.echo_server import Everything, FailRequest, Summary
from tests.parity.edges import why_no_envoy
from tests.whole.conftest import free_ports
from tests.whole.nginx import nginx_path, running_nginx
from tests.wire.interop.proxy import proxied

_SECONDS = 20
_NGINX = """
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{ grpc_pass grpc://127.0.0.1:{edge}; }}
    }}
"""


@asynccontextmanager
async def _nginx(folder: Path, edge: int) -> AsyncIterator[str]:
    if nginx_path() is None:
        pytest.skip("no nginx here")
    (port,) = free_ports(1)
    async with running_nginx(folder, port, _NGINX.format(port=port, edge=edge)):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def _envoy(folder: Path, edge: int) -> AsyncIterator[str]:
    if reason := why_no_envoy():
        pytest.skip(reason)
    async with proxied(folder, {f"127.0.0.1:{edge}": None}) as (address,):
        yield address


_PROXIES = {"nginx": _nginx, "envoy": _envoy}


@pytest.fixture(params=_PROXIES)
async def channel(request: pytest.FixtureRequest, edge: Edge, tmp_path: Path) -> AsyncIterator[Any]:
    """A channel to a proxy in front of an edge."""
    async with (
        edge() as port,
        _PROXIES[request.param](tmp_path, port) as address,
        aio.insecure_channel(address) as opened,
    ):
        yield opened


def _message(text: str, number: int = 0) -> bytes:
    return bytes(Everything(string_field=text, int32_field=number).SerializeToString())


async def test_the_four_types(channel: Any) -> None:
    """Messages pass, in each direction, and a stream of both goes turn by turn."""
    texts = [_message(text) for text in "xyz"]
    unary = await channel.unary_unary("/echo.v1.Echo/Unary")(texts[0], timeout=_SECONDS)
    call = channel.unary_stream("/echo.v1.Echo/ServerStream")(_message("b", 3), timeout=_SECONDS)
    down = [message async for message in call]
    up = await channel.stream_unary("/echo.v1.Echo/ClientStream")(iter(texts), timeout=_SECONDS)
    both = channel.stream_stream("/echo.v1.Echo/Bidi")(timeout=_SECONDS)
    for text in texts:
        await both.write(text)
        assert await both.read() == text
    await both.done_writing()

    assert unary == texts[0]
    assert down == [_message("b", 3)] * 3
    assert Summary.FromString(up).strings == ["x", "y", "z"]
    assert await both.read() is aio.EOF


async def test_metadata_and_errors(channel: Any) -> None:
    """Metadata pass both ways; a status has its message in any script, and its details."""
    call = channel.unary_unary("/echo.v1.Echo/Unary")(
        _message("a"), metadata=(("x-given", "one"), ("x-bytes-bin", b"\0\xff")), timeout=_SECONDS
    )
    await call
    request = FailRequest(code=9, message="schlecht: 100 % 🙈", details=True)
    with pytest.raises(aio.AioRpcError) as caught:
        await channel.unary_unary("/echo.v1.Echo/Fail")(
            request.SerializeToString(), timeout=_SECONDS
        )
    status = Status.FromString(caught.value.trailing_metadata()["grpc-status-details-bin"])

    initial = await call.initial_metadata()
    assert (initial["x-given"], initial["x-bytes-bin"]) == ("one", b"\0\xff")
    assert (await call.trailing_metadata())["cost"] == "3"
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == request.message
    assert [each.type_url for each in status.details] == [
        "type.googleapis.com/google.rpc.ErrorInfo"
    ]


async def test_a_deadline(channel: Any) -> None:
    """It passes the proxy, and ends the call."""
    with pytest.raises(aio.AioRpcError) as caught:
        await channel.unary_unary("/echo.v1.Echo/Hang")(b"", timeout=0.3)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
