"""A server that lacks a method of the contract: an older one, mostly, that was not restarted."""

from __future__ import annotations

import asyncio
import logging

import pytest
from grpc import aio

from gateway.transcoding.status import NOT_FOUND, UNIMPLEMENTED, StatusError
from gateway.upstream.port import Outcome
from gateway.upstream.reachability import Reachability
from gateway.upstream.transport import Name
from tests.echo_server import EchoServer
from tests.upstream.conftest import MESSAGE, METHODS, failing, open_upstream


async def test_it_is_logged_once_for_each_method(
    transport: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever way it is called; callers get the server's own status."""
    server = aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with open_upstream(address, transport) as upstream:
        for name in ("Unary", "ServerStream") * 2:
            with pytest.raises(StatusError) as caught:
                async with upstream.open(METHODS[name], MESSAGE) as call:
                    await anext(call)
            status = caught.value.status
            assert (status.code, status.message) == (UNIMPLEMENTED, "Method not found!")
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        upstream.start_unary(METHODS["Hang"], b"", outcome.set_result)
        assert isinstance(await outcome, StatusError)
    await server.stop(None)

    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert lines == [
        f"upstream {address} does not implement echo.v1.Echo/{name}, which the contract has:"
        " does an older server run there?"
        for name in ("Unary", "ServerStream", "Hang")
    ]


async def test_a_methods_own_status_is_not_logged(
    transport: Name, echo: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A method that is there may answer UNIMPLEMENTED to some requests."""
    async with open_upstream(echo.address, transport) as upstream:
        with pytest.raises(StatusError, match="UNIMPLEMENTED: sorry"):
            async with upstream.open(METHODS["Fail"], failing(UNIMPLEMENTED)) as call:
                await anext(call)

    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("details", "logged"),
    [
        ("Method not found!", 1),
        ("Method not found: a.B/C", 1),
        ("unknown service a.B", 1),
        ("unknown method C for service a.B", 1),
        ("The server does not implement the method /a.B/C", 1),
        ("Method is unimplemented.", 1),
        ("Service is unimplemented.", 1),
        ("Method not implemented!", 1),
        ("", 1),
        ("no such currency yet", 0),
        ("an unknown method of payment", 0),
    ],
)
def test_the_texts_of_grpc_servers_are_known(
    details: str, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of Python, Java, Go, Node, .NET, C++ and Rust; any other text is a method's own."""
    found = Reachability("core:1")
    for _ in range(3):
        found.failed_call("/a.B/C", UNIMPLEMENTED, details)
        found.failed_call("/a.B/D", NOT_FOUND, details)

    assert len(caplog.records) == logged
