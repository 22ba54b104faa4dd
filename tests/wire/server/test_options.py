"""What a server may be told."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest

from grpc_wire.client import insecure_channel
from grpc_wire.server import server
from grpc_wire.server.options import ServerOptions, server_options
from tests.wire.server.stage import SERVICE, raw_client, refused, serving, unary


async def echo(request: bytes, _context: Any) -> bytes:
    """Answers what was asked."""
    return request


def test_nothing_told() -> None:
    """Without options messages of 4 MiB come in, and any go out, as with grpc."""
    options = server_options([])
    assert options == ServerOptions()
    assert (options.receive, options.send, options.reuse_port) == (4 * 1024 * 1024, -1, True)


def test_all_that_is_known() -> None:
    """Options are grpc's: milliseconds are told, and the largest is never."""
    options = server_options(
        [
            ("grpc.max_receive_message_length", 1),
            ("grpc.max_send_message_length", 2),
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", 3),
            ("grpc.max_metadata_size", 4),
            ("grpc.server_handshake_timeout_ms", 5000),
            ("grpc.keepalive_time_ms", 6000),
            ("grpc.keepalive_timeout_ms", 7000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_idle_ms", 8000),
            ("grpc.max_connection_age_ms", 9000),
            ("grpc.max_connection_age_grace_ms", 2**31 - 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10),
        ]
    )
    times = options.lifetimes
    assert (options.receive, options.send, options.reuse_port) == (1, 2, False)
    assert (options.limits.concurrent_streams, options.limits.header_list) == (3, 4)
    assert (times.handshake, times.keepalive, times.keepalive_timeout) == (5, 6, 7)
    assert times.keepalive_without_streams
    assert (times.idle, times.age, times.grace) == (8, 9, math.inf)


@pytest.mark.parametrize(
    "option",
    [
        ("grpc.lb_policy_name", "x"),
        ("grpc.max_concurrent_streams", "x"),
        ("grpc.max_concurrent_streams", -1),
        ("grpc.max_metadata_size", -1),
        ("grpc.max_metadata_size", 2**40),
        ("grpc.server_handshake_timeout_ms", 0),
        ("grpc.max_connection_age_ms", -1),
        ("grpc.max_connection_idle_ms", 0),
        ("grpc.keepalive_time_ms", 0),
        ("grpc.keepalive_timeout_ms", -1),
    ],
)
def test_options_that_cannot_be(option: tuple[str, Any]) -> None:
    """An option that is not known, or a value that it does not take, is refused by name."""
    with pytest.raises(ValueError, match=option[0]):
        server(options=[option])


def test_a_limit_of_calls_that_cannot_be() -> None:
    """A server that may not serve any call is refused."""
    with pytest.raises(ValueError, match="maximum_concurrent_rpcs should be a positive integer"):
        server(maximum_concurrent_rpcs=0)


async def test_metadata_above_the_limit() -> None:
    """A request with more metadata than is allowed is refused alone; the connection goes on."""
    small = [("grpc.max_metadata_size", 1000)]
    async with (
        serving({"Echo": unary(echo)}, options=small) as stage,
        raw_client(stage.address) as client,
    ):
        answer = await client.ask({b"much": b"x" * 1000})
        assert answer.reset is not None or answer.status[0]
        assert (await client.ask()).status[0] == 0


async def test_much_metadata() -> None:
    """A limit of metadata holds as it was set, also above what a header section is without it."""
    much = [("grpc.max_metadata_size", 200_000)]
    async with serving({"Echo": unary(echo)}, options=much) as stage:
        assert await stage.call("Echo", metadata=(("x", "y" * 150_000),)) == b"request"


async def test_a_status_that_is_larger_than_the_client_takes() -> None:
    """The client learns that, and of which kind; its connection and its other calls go on."""

    async def verbose(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "x" * 100_000)
        raise AssertionError

    methods = {"Echo": unary(echo), "Verbose": unary(verbose)}
    async with serving(methods) as stage, insecure_channel(stage.address) as channel:
        code, details = await refused(channel.unary_unary(f"/{SERVICE}/Verbose")(b""))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details.startswith("Trailing metadata larger than the client takes (100")
        assert await channel.unary_unary(f"/{SERVICE}/Echo")(b"hi") == b"hi"
        assert len(stage.server._transports) == 1
