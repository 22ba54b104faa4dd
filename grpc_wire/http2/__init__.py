"""One HTTP/2 connection, sans-IO: frames, streams, flow control, settings, limits (RFC 9113).

`connection.Connection` is the entrance: bytes in, events out; calls in, bytes out.
"""
