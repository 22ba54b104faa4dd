"""The gRPC client side: what the edge needs of it, and how `grpc.aio` gives it.

Rule: bytes cross this port, in both directions; nothing here knows JSON or HTTP.
"""
