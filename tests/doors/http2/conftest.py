"""Edges for the tests of HTTP/2, over a server of the tests' own contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.whole.serving import serving

Edge = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture(scope="module")
async def echo() -> AsyncIterator[EchoServer]:
    """The server behind the edges."""
    async with echo_server() as server:
        yield server


@pytest.fixture(scope="module")
def descriptor_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract."""
    file = tmp_path_factory.mktemp("contract") / "echo.binpb"
    file.write_bytes(echo_descriptor_set())
    return file


@pytest.fixture
def edge(echo: EchoServer, descriptor_set: Path) -> Edge:
    """Serves the contract for as long as a block, which is given the port; arguments are settings."""

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[int]:
        made = Settings(
            descriptor_set=descriptor_set,
            upstream=echo.address,
            **{"log_level": "critical", "access_log": "off", **settings},
        )
        async with serving(create_app(made), made) as port:
            yield port

    return serve
