"""An upstream that cannot be reached: what callers are told, and what is logged."""

from __future__ import annotations

import logging

import pytest

from gateway.upstream.reachability import Reachability

REFUSED = "failed to connect to all addresses; last error: ipv4:127.0.0.1:1: Connection refused"
NO_NAME = "DNS resolution failed for nowhere.invalid: Name or service not known"


def test_a_problem_is_logged_once_until_there_is_a_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another problem is another line; so is the first connection after them, but no later one."""
    found = Reachability("core:1")
    found.connected()
    for _ in range(1_000):
        found.failed(REFUSED)
        found.failed(NO_NAME)
    found.connected()
    found.connected()
    found.failed(REFUSED)

    lines = [record.getMessage() for record in caplog.records]
    begin = "upstream core:1 cannot be reached: "
    assert lines == [
        f"{begin}connection refused; nothing listens there ('{REFUSED}')",
        f"{begin}its name does not resolve; look at the setting upstream ('{NO_NAME}')",
        "upstream core:1 can be reached again",
        f"{begin}connection refused; nothing listens there ('{REFUSED}')",
    ]
    assert all(record.levelno == logging.WARNING for record in caplog.records)


_ALL = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (f"{_ALL}UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused", "refused"),
        ("errors resolving x.invalid:1: [field:hostname lookup error:address lookup failed", "resolve"),
        (f"{_ALL}ipv4:127.0.0.1:1: a frame of 4740180 bytes", "not in gRPC"),
        (f"{_ALL}ipv4:127.0.0.1:1: the first frame is not SETTINGS", "not in gRPC"),
        (f"{_ALL}INTERNAL: ipv4:127.0.0.1:1: Failed parsing HTTP/2 (Expected SETTINGS frame", "not in gRPC"),
        (f"{_ALL}UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "closes the connection at once"),
        (f"{_ALL}ipv4:127.0.0.1:1: the peer closed the connection before it said that it", "at once"),
        (f"{_ALL}UNAVAILABLE: ipv4:127.0.0.1:1: recvmsg:Connection reset by peer (104)", "at once"),
        (f"{_ALL}ipv4:127.0.0.1:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify", "certificate is"),
        (f"{_ALL}ipv4:127.0.0.1:1: UNAUTHENTICATED: Hostname Verification Check failed.", "certificate is"),
        (f"{_ALL}ipv4:127.0.0.1:1: [SSL: WRONG_VERSION_NUMBER] wrong version number", "TLS handshake"),
        (f"{_ALL}ipv4:127.0.0.1:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL", "TLS handshake"),
        (f"{_ALL}ipv4:10.0.0.1:1: no connection within 2 s", "no answer in time"),
        (f"{_ALL}ipv6:%5Bfe80::1%5D:1: connect failed: error: Network is unreachable", "no route"),
        ("the connection to ipv4:127.0.0.1:1 has ended: Connection reset by peer", "connection was lost"),
    ],
)  # fmt: skip
def test_the_kinds_of_both_transports_are_known(details: str, told: str) -> None:
    """The texts are those of `grpc_wire` and `grpcio`, as they were seen."""
    text = Reachability("core:1").failed(details)

    assert text is not None
    assert text.startswith("upstream cannot be reached: ")
    assert told in text


def test_callers_are_told_the_kind_and_no_address() -> None:
    """Of gRPC's own texts; those of a server are not ours to change."""
    found = Reachability("core:1")

    assert found.failed(REFUSED) == "upstream cannot be reached: connection refused"
    assert found.failed(NO_NAME) == "upstream cannot be reached: its name does not resolve"
    assert found.failed("we are closed on Sundays") is None
