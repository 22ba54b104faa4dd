"""The server: the double of `grpc.aio`'s."""

from grpc_wire.server.aio_server import Server, server

__all__ = ["Server", "server"]
