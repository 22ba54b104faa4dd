"""An application whose lifespan was not run, as one that is mounted in another."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.edge.asgi import ask, connect
from tests.edge.test_direct import answer
from tests.edge.test_websocket import close

TEXT = (
    "the upstream is not open, because the lifespan of the edge was not run: run"
    " edge.router.lifespan_context(edge) in the outer application's lifespan"
)


async def test_it_says_what_to_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On every wire, to the caller as 500, and in one line of the log without a traceback."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    app = create_app(Settings(descriptor_set=path))

    with caplog.at_level(logging.WARNING):
        unary = await ask(app, "POST", "/v1/echo", b"{}")
        stream = await ask(app, "GET", "/v1/stream/x?int32_field=1")
        upload = await ask(app, "POST", "/v1/upload", b"{}\n")
        status, *_ = await answer(app, b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        socket = connect(app, "/v1/bidi")
        socket.arrives("websocket.receive", text="")
        await socket.ended()

    for found in (unary, stream, upload):
        assert (found.status, found.json) == (500, {"code": 13, "message": TEXT})
    assert status == 500
    assert close(socket) == (4013, TEXT[:123])
    (record,) = caplog.records
    assert (record.levelname, record.getMessage(), record.exc_info) == ("ERROR", TEXT, None)
