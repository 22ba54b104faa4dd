"""HTTP/1.1 (RFC 9112) and WebSocket (RFC 6455): sans-IO connections under thin shells of asyncio.

`request_parser`, `connection`, `response` and `websocket_connection` do no I/O; `protocol` and `websocket`
are the shells; `asgi_bridge` hands a request to an ASGI application.
"""
