"""gRPC over HTTP/2 in pure Python: a sans-IO protocol, and a thin asyncio shell.

Generated stubs and servicers written for `grpc.aio` run on it as they are.
"""
