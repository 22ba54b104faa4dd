"""Which methods the wires of RPC reach: the setting `rpc`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from grpc import aio

from gateway.app import create_app
from gateway.cli import main
from gateway.settings import Settings
from tests.contracts import compile_text
from tests.echo_server import EchoServer, Everything, FailRequest, Summary
from tests.rpc.wire_client import connect_end, framed, post, web_trailers
from tests.whole.serving import serving

_CONTRACT = """
syntax = "proto3";
package echo.v1;
import "google/api/annotations.proto";
service Echo {
  rpc Unary(Message) returns (Message) { option (google.api.http) = {post: "/unary" body: "*"}; }
  rpc ServerStream(Message) returns (stream Message);
}
message Message { string string_field = 14; }
"""
"""A part of what the server has: of its methods one with a rule, one without, and none of the others."""
_SECONDS = 20


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """The contract."""
    file = tmp_path / "part.binpb"
    file.write_bytes(compile_text(_CONTRACT))
    return file


def _settings(part: Path, echo: EchoServer, **more: Any) -> Settings:
    return Settings(
        descriptor_set=part,
        upstream=echo.address,
        **{"log_level": "critical", "access_log": "off", **more},
    )


@asynccontextmanager
async def _channel(port: int) -> AsyncIterator[Any]:
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def _message(text: str, number: int = 0) -> bytes:
    return bytes(Everything(string_field=text, int32_field=number).SerializeToString())


async def _code(channel: Any, method: str) -> grpc.StatusCode:
    """Returns how a call ends, of one message and any number of answers."""
    call = channel.unary_stream(f"/echo.v1.Echo/{method}")(_message("a", 1), timeout=_SECONDS)
    try:
        async for _ in call:
            pass
    except aio.AioRpcError as error:
        return error.code()
    code: grpc.StatusCode = await call.code()
    return code


@pytest.mark.parametrize(
    ("rpc", "reached"),
    [
        ("contract", ["Unary", "ServerStream"]),
        ("annotated", ["Unary"]),
        ("upstream", ["Unary", "ServerStream", "Bidi"]),
        ("off", []),
    ],
)
async def test_the_methods_that_are_reached(
    rpc: str, reached: list[str], part: Path, echo: EchoServer
) -> None:
    """Any other is UNIMPLEMENTED; REST is what it was."""
    settings = _settings(part, echo, rpc=rpc)
    async with (
        serving(create_app(settings), settings) as port,
        _channel(port) as channel,
        httpx.AsyncClient() as client,
    ):
        codes = {name: await _code(channel, name) for name in ("Unary", "ServerStream", "Bidi")}
        rest = await client.post(f"http://127.0.0.1:{port}/unary", json={"stringField": "a"})
        health = await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") if reached else b""

    assert [name for name, code in codes.items() if code is grpc.StatusCode.OK] == reached
    assert {*codes.values()} <= {grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED}
    assert rest.json() == {"stringField": "a"}
    assert health == (b"\x08\x01" if reached else b"")


async def test_what_is_off_says_so(part: Path, echo: EchoServer) -> None:
    """Each wire in its own words; the path itself is that of REST, where REST has it."""
    settings = _settings(part, echo, rpc="off", auto_mapping=True)
    async with serving(create_app(settings), settings) as port:
        connect = await post(port, "None", b"", "application/proto")
        rest = await post(port, "ServerStream", b"{}", "application/json")
        async with _channel(port) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")

    assert (connect.status_code, connect.json()["code"]) == (404, "unimplemented")
    assert rest.status_code == 200
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "switched off" in (caught.value.details() or "")


@pytest.fixture
async def through(part: Path, echo: EchoServer) -> AsyncIterator[int]:
    """The port of an edge that passes what its contract does not know."""
    settings = _settings(part, echo, rpc="upstream")
    async with serving(create_app(settings), settings) as port:
        yield port


async def test_the_four_kinds_of_call_of_unknown_methods(through: int) -> None:
    """Bytes pass as they are, with metadata, status and details."""

    async def uploaded() -> AsyncIterator[bytes]:
        for text in "xyz":
            yield _message(text)

    failing = FailRequest(code=9, message="no", details=True).SerializeToString()
    async with _channel(through) as channel:
        upload = await channel.stream_unary("/echo.v1.Echo/ClientStream")(uploaded())
        both = channel.stream_stream("/echo.v1.Echo/Bidi")(timeout=_SECONDS)
        for text in "ab":
            await both.write(_message(text))
            assert await both.read() == _message(text)
        await both.done_writing()
        assert await both.code() is grpc.StatusCode.OK
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Fail")(failing)
        with pytest.raises(aio.AioRpcError) as none:
            await channel.unary_unary("/no.Such/Method")(b"")

    assert Summary.FromString(upload).strings == ["x", "y", "z"]
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert Status.FromString(caught.value.trailing_metadata()["grpc-status-details-bin"]).details
    assert none.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_other_wires_of_unknown_methods(through: int) -> None:
    """Unary calls of Connect, streams of it, and gRPC-Web; JSON would have to be read, and is refused."""
    failing = FailRequest(code=5, message="no").SerializeToString()
    unary = await post(through, "Fail", failing, "application/proto")
    stream = await post(through, "Bidi", framed(b"\x72\x01a"), "application/connect+proto")
    web = await post(through, "Bidi", framed(b"\x72\x01a"), "application/grpc-web+proto")
    json_ = await post(through, "Bidi", b"{}", "application/json", connect_protocol_version="1")

    assert (unary.status_code, unary.json()) == (404, {"code": "not_found", "message": "no"})
    assert connect_end(stream.content) == ([b"\x72\x01a"], {})
    assert web_trailers(web.content)[0] == [b"\x72\x01a"]
    assert (json_.status_code, json_.json()["code"]) == (404, "unimplemented")


async def test_paths_that_are_no_methods(through: int) -> None:
    """They do not go upstream, however they are written."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{through}") as client:
        for path in ("/a", "/a/b/c", "/a%2Fb/c", "/a.B/c%20d", "/a..B/c", "/.b/c", "/a/é"):
            response = await client.post(
                path, content=b"", headers={"content-type": "application/proto"}
            )
            assert response.status_code == 404, path
            assert "no method" in response.json()["message"], path


@pytest.mark.parametrize(
    ("requests", "code"),
    [
        (["echo.v1.Echo/Unary"], grpc.StatusCode.UNAUTHENTICATED),
        (["echo.v1.Echo/Bidi"], grpc.StatusCode.OK),
        (["echo.v1.*"], grpc.StatusCode.OK),
        (["other.Service/*"], grpc.StatusCode.UNAUTHENTICATED),
        (["*"], grpc.StatusCode.OK),
    ],
)
async def test_rights_to_unknown_methods(
    requests: list[str], code: grpc.StatusCode, part: Path, echo: EchoServer
) -> None:
    """Rules see the full name; what none takes in is closed."""
    rules = [{"requests": requests, "anonymous": True}]
    settings = _settings(part, echo, rpc="upstream", rights={"rules": rules})
    async with (
        serving(create_app(settings), settings) as port,
        _channel(port) as channel,
    ):
        assert await _code(channel, "Bidi") is code


async def test_limits_and_upstreams_may_name_unknown_methods(part: Path, echo: EchoServer) -> None:
    """A limit of one counts it; an upstream of one takes it."""
    rule = {"name": "few", "methods": ["echo.v1.Echo/Bidi"], "limit": 1, "seconds": 3600}
    upstream = {"name": "other", "methods": ["gone.v1.*"], "addresses": ["127.0.0.1:1"]}
    settings = _settings(part, echo, rpc="upstream", limits={"rules": [rule]}, upstreams=[upstream])
    async with (
        serving(create_app(settings), settings) as port,
        _channel(port) as channel,
    ):
        assert await _code(channel, "Bidi") is grpc.StatusCode.OK
        assert await _code(channel, "Bidi") is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/gone.v1.Any/Method")(b"")

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_labels_are_the_contracts(
    part: Path, echo: EchoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """All unknown methods are one label; the log has their names."""
    settings = _settings(part, echo, rpc="upstream", admin_port=0, access_log="json")
    app = create_app(settings)
    async with (
        serving(app, settings) as port,
        _channel(port) as channel,
    ):
        for name in ("A", "B", "C"):
            with pytest.raises(aio.AioRpcError):
                await channel.unary_unary(f"/made.up.{name}/Method")(b"")
        app.state.edge.observation.tell_ends()
        metrics = app.state.metrics
        calls = [labels for labels, _ in metrics.calls.started()]
        routes = [labels for labels, _ in metrics.requests.durations()]
        kept = metrics.requests._series

    assert [labels for labels in calls if "made" in str(labels)] == []
    assert ("bidi_stream", "_OTHER", "_OTHER") in calls
    assert routes == [("_OTHER", "POST", "200")]
    assert not kept
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "made.up" in line]
    assert [line["rpc"] for line in lines] == [f"made.up.{name}/Method" for name in "ABC"]
    assert not any("route" in line for line in lines)
    assert {(line["wire"], line["http_version"]) for line in lines} == {("grpc", "2")}


def test_routes_shows_them(part: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Methods that only RPCs reach have a row; a line says which methods those are, unless all."""
    shown = {}
    for rpc in ("contract", "annotated", "upstream", "off"):
        assert main(["routes", "--descriptor-set", str(part), "--rpc", rpc]) == 0
        _, *rows = capsys.readouterr().out.splitlines()
        shown[rpc] = [" ".join(row.split()) for row in rows]

    unary = "POST /unary echo.v1.Echo.Unary *"
    stream = "POST /echo.v1.Echo/ServerStream echo.v1.Echo.ServerStream * server"
    assert shown["contract"] == [unary, stream]
    assert shown["annotated"][:-1] == [unary]
    assert shown["upstream"][:-1] == [unary, stream]
    assert shown["off"] == [unary, "gRPC, gRPC-Web and Connect are off (rpc: off)"]
