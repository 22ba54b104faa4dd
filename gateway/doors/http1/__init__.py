"""HTTP/1.1 (RFC 9112): a sans-IO connection under a thin shell of asyncio.

`request_parser` and `connection` do no I/O; `protocol` is the shell. A unary request of the contract that has
come whole is answered without a task (`direct`), all others by the exchanges of `doors.http`.
"""
