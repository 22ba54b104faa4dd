"""What gRPC adds to HTTP/2, sans-IO: messages, metadata, status, timeout, heads of requests and responses.

Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md).
"""
