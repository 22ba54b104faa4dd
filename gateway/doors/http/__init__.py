"""HTTP and WebSocket (RFC 6455) whatever the version: what `http1` and `http2` have in common.

`exchange` is one request, as its connection sees it, and asks its connection (`Connected`) to send.
`contract_exchange` and `contract_websocket` answer what has a route in the contract; `asgi_bridge` and
`asgi_websocket` hand all else to an ASGI application. `request`, `response` and `websocket_connection` do no
I/O.
"""
