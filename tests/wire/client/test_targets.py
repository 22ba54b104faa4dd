"""What a channel is told: targets, options, and how long it waits to connect."""

from __future__ import annotations

import math
from typing import Any

import pytest

from grpc_wire.client import insecure_channel
from grpc_wire.client import options as channel_options
from grpc_wire.client.backoff import Backoff, BackoffTimes
from grpc_wire.client.target import Address, Target, parse


@pytest.mark.parametrize(
    ("text", "addresses", "authority"),
    [
        ("host:1", [Address("dns", "host", 1)], "host:1"),
        ("host", [Address("dns", "host", 443)], "host"),
        ("dns:host:1", [Address("dns", "host", 1)], "host:1"),
        ("dns:///host:1", [Address("dns", "host", 1)], "host:1"),
        ("127.0.0.1:1", [Address("ipv4", "127.0.0.1", 1)], "127.0.0.1:1"),
        ("[::1]:1", [Address("ipv6", "::1", 1)], "[::1]:1"),
        ("::1", [Address("ipv6", "::1", 443)], "::1"),
        (
            "ipv4:127.0.0.1:1,127.0.0.2:2",
            [Address("ipv4", "127.0.0.1", 1), Address("ipv4", "127.0.0.2", 2)],
            "127.0.0.1:1",
        ),
        ("ipv6:[::1]:1", [Address("ipv6", "::1", 1)], "[::1]:1"),
        ("ipv4:///127.0.0.1:1", [Address("ipv4", "127.0.0.1", 1)], "127.0.0.1:1"),
        ("unix:relative/path", [Address("unix", "relative/path")], "localhost"),
        ("unix:/absolute", [Address("unix", "/absolute")], "localhost"),
        ("unix:///absolute", [Address("unix", "/absolute")], "localhost"),
        ("unix-abstract:name", [Address("unix", "\0name")], "localhost"),
    ],
)
def test_targets(text: str, addresses: list[Address], authority: str) -> None:
    """Each form of gRPC's naming.md is read."""
    assert parse(text) == Target(tuple(addresses), authority)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "host:port",
        "host:99999",
        "ipv4:host:1",
        "ipv6:127.0.0.1:1",
        "unix:",
        "dns://8.8.8.8/host",
        "[::1",
    ],
)
def test_targets_that_are_none(text: str) -> None:
    """What cannot be a target is refused when the channel is made."""
    with pytest.raises(ValueError, match=r".+"):
        insecure_channel(text)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("ipv6", "::1", 1), "ipv6:[::1]:1"),
        (Address("ipv4", "127.0.0.1", 1), "ipv4:127.0.0.1:1"),
        (Address("unix", "\0name"), "unix:@name"),
    ],
)
def test_addresses_in_words(address: Address, text: str) -> None:
    """Errors name addresses as gRPC's do."""
    assert str(address) == text


def test_options() -> None:
    """Options have grpc's names and units."""
    options = channel_options.read(
        (
            ("grpc.max_receive_message_length", -1),
            ("grpc.keepalive_time_ms", 2**31 - 1),
            ("grpc.keepalive_timeout_ms", 500),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.primary_user_agent", b"mine"),
            ("grpc.enable_retries", 1),
        )
    )
    assert options.max_receive == -1
    assert options.lifetimes.keepalive == math.inf
    assert options.lifetimes.keepalive_timeout == 0.5
    assert options.lifetimes.keepalive_without_streams
    assert options.backoff.initial == 0.1
    assert options.user_agent == "mine"
    assert options.max_send == -1


@pytest.mark.parametrize(
    "option",
    [
        ("grpc.lb_policy_name", "pick_first"),
        ("grpc.max_send_message_length", -2),
        ("grpc.max_send_message_length", "many"),
        ("grpc.keepalive_time_ms", -1),
        ("grpc.keepalive_time_ms", 0),
        ("grpc.client_idle_timeout_ms", 0),
        ("grpc.max_metadata_size", -1),
        ("grpc.max_metadata_size", 2**40),
        ("grpc.keepalive_permit_without_calls", 2),
        ("grpc.default_authority", 1),
    ],
)
def test_options_that_are_wrong(option: tuple[str, Any]) -> None:
    """One that is not known, or cannot be, stops the start; nobody believes in vain that it holds."""
    with pytest.raises(ValueError, match=option[0]):
        insecure_channel("host:1", options=(option,))


def test_interceptors_that_are_none() -> None:
    """What is no interceptor is refused when the channel is made."""
    with pytest.raises(ValueError, match="interceptors"):
        insecure_channel("host:1", interceptors=(object(),))  # type: ignore[arg-type]  # what is tested


def test_backoff() -> None:
    """Attempts are ever further apart, up to a largest wait, until a connection has lasted."""
    backoff = Backoff(BackoffTimes(initial=1, max=10, min_connect_timeout=3))
    now = 0.0
    assert backoff.delay(now) == 0
    assert backoff.start_attempt(now) == 3
    for wait in (1, 1.6, 2.56, 4.096, 6.5536, 10, 10):
        assert 0.8 * wait <= backoff.delay(now) <= 1.2 * wait
        now += backoff.delay(now)
        backoff.start_attempt(now)

    backoff.connection_ended(now + 0.1)
    assert backoff.delay(now + 0.1) > 7
    now += 20
    backoff.connection_ended(now)
    assert backoff.delay(now) == 0
    backoff.start_attempt(now)
    assert backoff.delay(now) == 1
