"""gRPC over HTTP/2 in pure Python: a sans-IO protocol, and a thin asyncio shell under unmodified stubs
and servicers of `grpc.aio`."""
