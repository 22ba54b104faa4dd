"""An upstream that speaks HTTP/2, and not gRPC."""

from __future__ import annotations

import asyncio
import logging

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from gateway.transcoding.status import UNIMPLEMENTED, StatusError
from gateway.upstream.transport import Name
from tests.upstream.conftest import MESSAGE, METHODS, open_upstream


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with 404, as a web server does."""
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                head = [(":status", "404"), ("content-type", "text/html")]
                connection.send_headers(event.stream_id, head, end_stream=True)
        writer.write(connection.data_to_send())
    writer.close()


async def test_a_web_server_is_no_upstream(
    transport: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers are told so, with the code that gRPC has for the HTTP status; the log says it once."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_upstream(address, transport) as upstream:
        for _ in range(3):
            with pytest.raises(StatusError) as caught:
                async with upstream.open(METHODS["Unary"], MESSAGE) as call:
                    await anext(call)
            assert caught.value.code == UNIMPLEMENTED
            message = "upstream does not answer in gRPC: HTTP status 404"
            assert caught.value.status.message == message

    (record,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    begin = f"upstream {address} cannot be reached: it answers, but not in gRPC; "
    assert record.getMessage().startswith(begin)
