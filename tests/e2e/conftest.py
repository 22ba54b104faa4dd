"""One stack for all tests; when it is taken down, nothing of it may be left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.compose import Stack
from tests.whole.conftest import curl  # noqa: F401 - a machine without curl is helped here too

EDGES = ("gateway", "envoy")
TLS_EDGES = ("gateway-tls", "envoy-tls")


@pytest.fixture(scope="session")
def project() -> Iterator[Stack]:
    """A project of which nothing runs yet; at the end it is taken down."""
    stack = Stack()
    stack.down()  # a run that was cut leaves its own behind
    try:
        yield stack
    finally:
        stack.down()
    assert not any(stack.left().values()), stack.left()


@pytest.fixture(scope="session")
def stack(project: Stack) -> Stack:
    """Core, edge and Envoy, healthy."""
    project.up(*EDGES)
    return project


@pytest.fixture(scope="session")
def tls_stack(project: Stack) -> Stack:
    """The same over TLS."""
    project.up(*TLS_EDGES)
    return project


@pytest.fixture(scope="session")
def watched_stack(stack: Stack) -> Stack:
    """Core, edge and Envoy, with Prometheus beside them."""
    stack.up("prometheus")
    return stack


@pytest.fixture(scope="session")
def scaled_stack(project: Stack) -> Stack:
    """Two cores, three edges and Redis behind nginx."""
    project.up("balancer")
    return project


@pytest.fixture(scope="session")
def whole_stack(watched_stack: Stack, tls_stack: Stack, scaled_stack: Stack) -> Stack:
    """All of it."""
    assert watched_stack is tls_stack is scaled_stack
    return watched_stack


@pytest.fixture(scope="session")
def client_files(tls_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CA, and a certificate and key for a client, as an operator takes them out."""
    folder = tmp_path_factory.mktemp("client") / "tls"
    return tls_stack.copy("certificates:/tls/client", folder)
