"""A contract-driven edge: serves annotated gRPC methods as REST, SSE, NDJSON and WebSocket."""

__version__ = "0.1.0"
