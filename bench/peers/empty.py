"""The floor: an ASGI application that answers at once, with as many bytes as a conversion is.

`python -m bench.peers.empty`. What it is served with is what serves the edge: uvicorn, uvloop, httptools,
no access log, no header that names the server.
"""

from __future__ import annotations

from typing import Any

from bench.peers.serving import serve

_BODY = b'{"convertedAmount":86.5,"rate":0.865,"timestamp":"2026-11-20T13:15:00Z"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
]


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    serve(app, lifespan="off", server_header=False)
