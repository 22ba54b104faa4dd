"""Where a server listens."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_wire.server import server
from tests.wire.server.stage import SERVICE, unary

ALONE = [("grpc.so_reuseport", 0)]


class Peer:
    """A servicer that keeps its client's address."""

    def __init__(self) -> None:
        self.seen = ""

    async def look(self, request: bytes, context: Any) -> bytes:
        """Looks, and answers with the request."""
        self.seen = context.peer()
        return request


def _serving(peer: Peer) -> Any:
    running = server(options=ALONE)
    methods = {"Look": unary(peer.look)}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    return running


async def _ask(address: str) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.unary_unary(f"/{SERVICE}/Look")
        return bytes(await method(b"request", timeout=10))


async def test_a_unix_socket(tmp_path: Path) -> None:
    """A server listens on a Unix socket, also where one that died has left its file; it leaves none."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    peer = Peer()
    running = _serving(peer)
    assert running.add_insecure_port(f"unix:{path}") == 1
    await running.start()
    assert await _ask(f"unix:{path}") == b"request"
    assert peer.seen.startswith("unix:")
    await running.stop(None)
    assert not path.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_small_messages_are_not_held_back(host: str) -> None:
    """TCP does not wait for the client to acknowledge one before it sends the next (Nagle's algorithm).

    It would cost a stream of small messages, and a handshake of TLS, 40 ms again and again.
    """
    peer = Peer()
    running = _serving(peer)
    port = running.add_insecure_port(f"{host}:0")
    await running.start()
    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        method: Any = channel.unary_unary(f"/{SERVICE}/Look")
        await method(b"request", timeout=10)
        (transport,) = running._transports
        accepted = transport.socket.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await running.stop(None)


async def test_a_file_in_the_place_of_a_unix_socket(tmp_path: Path) -> None:
    """A file that is no socket is not removed: the address cannot be had."""
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(RuntimeError, match="Failed to bind to address"):
        server().add_insecure_port(f"unix:{path}")
    assert path.read_text() == "precious"


async def test_an_abstract_unix_socket() -> None:
    """A server listens on a Unix socket without a file."""
    running = _serving(Peer())
    name = f"unix-abstract:protoway-{id(running)}"
    assert running.add_insecure_port(name) == 1
    await running.start()
    assert await _ask(name) == b"request"
    await running.stop(None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "ipv4:127.0.0.1"])
async def test_hosts(host: str) -> None:
    """Names and addresses are listened on, at a port that is free."""
    peer = Peer()
    running = _serving(peer)
    port = running.add_insecure_port(f"{host}:0")
    await running.start()
    assert await _ask(f"127.0.0.1:{port}") == b"request"
    assert peer.seen.startswith("ipv4:127.0.0.1:")
    await running.stop(None)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["[::]", "[::1]"])
async def test_ipv6(host: str) -> None:
    """IPv6 addresses stand in brackets; a client's is written as grpc writes it."""
    peer = Peer()
    running = _serving(peer)
    port = running.add_insecure_port(f"{host}:0")
    await running.start()
    assert await _ask(f"[::1]:{port}") == b"request"
    assert peer.seen.startswith("ipv6:%5B::1%5D:")
    await running.stop(None)


@pytest.mark.parametrize("address", ["nonsense:abc", "[::1", "::1:0", "256.1.1.1:0", "a:123456"])
def test_what_is_no_address(address: str) -> None:
    """What is no address is refused when it is given, not at the start."""
    with pytest.raises(RuntimeError, match="Failed to bind to address"):
        server().add_insecure_port(address)


async def test_a_port_that_is_taken() -> None:
    """Without SO_REUSEPORT a port that is taken is an error when it is asked for."""
    first = server(options=ALONE)
    port = first.add_insecure_port("127.0.0.1:0")
    with pytest.raises(RuntimeError, match=f"Failed to bind to address 127.0.0.1:{port}"):
        server(options=ALONE).add_insecure_port(f"127.0.0.1:{port}")
    await first.stop(None)


async def test_a_port_that_is_shared() -> None:
    """With SO_REUSEPORT, which is the default as it is with grpc, two servers have one port."""
    first, second = server(), server()
    port = first.add_insecure_port("127.0.0.1:0")
    assert second.add_insecure_port(f"127.0.0.1:{port}") == port
    await first.stop(None)
    await second.stop(None)


async def test_a_server_that_is_forgotten() -> None:
    """A server that was never started and is dropped leaves its address."""
    port = server(options=ALONE).add_insecure_port("127.0.0.1:0")
    again = server(options=ALONE)
    assert again.add_insecure_port(f"127.0.0.1:{port}") == port
    await again.stop(None)


async def test_several_addresses(tmp_path: Path) -> None:
    """A server may listen at several places at once."""
    running = _serving(Peer())
    port = running.add_insecure_port("127.0.0.1:0")
    running.add_insecure_port(f"unix:{tmp_path}/socket")
    await running.start()
    assert await _ask(f"127.0.0.1:{port}") == await _ask(f"unix:{tmp_path}/socket") == b"request"
    await running.stop(None)
