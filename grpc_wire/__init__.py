"""gRPC over HTTP/2 in pure Python: a sans-IO protocol under thin asyncio shells.

Generated stubs and servicers written for `grpc.aio` run on it unchanged.

Rooms, each of which imports only those above it:

- `headers`: header sections (RFC 7541; RFC 9113, section 8). Sans-IO.
- `http2`: one HTTP/2 connection (RFC 9113). Sans-IO.
- `call`: what gRPC adds: messages, metadata, status, timeout (gRPC over HTTP/2). Sans-IO.
- `transport`: a connection on an asyncio socket, for both sides.
- `client`, `server`: the doubles of `grpc.aio`'s channel and server. Neither imports the other.

Public are these modules; all others may change without notice:

- `grpc_wire.client`: `insecure_channel`, `secure_channel`, `Channel`, `ClientMethod`, `ClientStream`.
- `grpc_wire.server`: `server`, `Server`.
- `grpc_wire.credentials`: `ssl_channel_credentials`, `ssl_server_credentials`.
"""
