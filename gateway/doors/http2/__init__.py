"""HTTP/2 from clients (RFC 9113), on the sans-IO engine of `grpc_wire`.

A connection has many streams, and each is one request: a unary one of the contract that has come whole is
answered without a task (`direct`), all others by the same exchanges as over HTTP/1.1 (`stream`).
"""
