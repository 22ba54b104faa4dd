"""HTTP/1.1 (RFC 9112) and WebSocket (RFC 6455): sans-IO connections under thin shells of asyncio.

`request_parser`, `connection`, `response` and `websocket_connection` do no I/O; `protocol` and `websocket`
are the shells. `contract_exchange` and `contract_websocket` answer what has a route in the contract;
`asgi_bridge` and `asgi_websocket` hand all else to an ASGI application.
"""
