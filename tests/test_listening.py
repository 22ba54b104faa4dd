"""What the setting `host` can name, and what is said of what cannot be listened on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.listening import ListenError, listen, listen_for_workers
from gateway.settings import Settings

CONTRACT = Path(__file__).parents[1] / "protos" / "descriptor_set.binpb"


def _settings(host: str, port: int = 0) -> Settings:
    return Settings(descriptor_set=CONTRACT, host=host, port=port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_two_colons_are_both_families() -> None:
    """On one port."""
    sockets = listen(_settings("::"))
    try:
        assert {each.family for each in sockets} == {socket.AF_INET, socket.AF_INET6}
        (port,) = {each.getsockname()[1] for each in sockets}
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()
    finally:
        for each in sockets:
            each.close()


def test_workers_share_what_cannot_be_spread(tmp_path: Path) -> None:
    """Each has a socket of its own for an address, and the same one for a path."""
    path = tmp_path / "a.sock"
    workers = listen_for_workers(_settings(f"127.0.0.1,unix:{path}"), 2)
    try:
        assert len({each[0].getsockname()[1] for each in workers}) == 1
        assert [each[1].getsockname() for each in workers] == [str(path)] * 2
    finally:
        for worker in workers:
            for each in worker:
                each.close()
    # a path that nobody listens on any more is taken
    (again,) = listen(_settings(f"unix:{path}"))
    with pytest.raises(ListenError, match=r"a\.sock: Address already in use"):
        listen(_settings(f"unix:{path}"))
    again.close()


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("no.such.host.invalid", "the host does not resolve"),
        ("192.0.2.1", "Cannot assign requested address"),
        ("fd:999", "that of no open file"),
        ("fd:x", "that of no open file"),
        ("unix:/no/such/folder/a", "No such file or directory"),
    ],
)
def test_what_cannot_be_listened_on(host: str, says: str) -> None:
    """One line says why."""
    with pytest.raises(ListenError, match=says):
        listen(_settings(host, 8080))
