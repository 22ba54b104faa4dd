"""What is said of the text of an upstream's address."""

from __future__ import annotations

import pytest

from gateway.upstream.target import fault_of
from gateway.upstream.transport import TargetError, check_target


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "10.0.0.1:443",
        "[::1]:50051",
        "dns:///core:50051",
        "dns:core:50051",
        "dns://8.8.8.8/core:50051",
        "ipv4:10.0.0.1:1,10.0.0.2:2",
        "ipv6:[::1]:50051",
        "unix:/run/core.sock",
        "unix:core.sock",
        "unix:///run/core.sock",
        "unix-abstract:core",
        "xds:///core",
        "localhost:http",
    ],
)
def test_addresses_are_left_to_the_transport(target: str) -> None:
    """Whatever may be one."""
    assert fault_of(target) == ""


@pytest.mark.parametrize(
    ("target", "write"),
    [
        ("http://localhost:50051", "write localhost:50051"),
        ("HTTP://localhost:50051/", "write localhost:50051"),
        ("grpc://core", "write core:50051"),
        ("https://api.test", "write api.test:443, and turn on upstream_tls"),
        ("grpcs://api.test:8443/x", "write api.test:8443, and turn on upstream_tls"),
        ("http://[::1]:50051", "write [::1]:50051"),
        ("tcp://user:c0ffee@core:1", "write core:1"),
        ("localhost", "write localhost:PORT, for example localhost:50051"),
        ("localhost:", "write localhost:PORT, for example localhost:50051"),
        ("10.0.0.1", "write 10.0.0.1:PORT, for example 10.0.0.1:50051"),
        ("::1", "write [::1]:PORT, for example [::1]:50051"),
        ("[::1]", "write [::1]:PORT, for example [::1]:50051"),
        ("dns:///core", "write core:PORT, for example core:50051"),
        ("50051", "'50051' is a port without a host: write localhost:50051"),
        (":9000", "':9000' is a port without a host: write localhost:9000"),
        ("", "write HOST:PORT, for example HOST:50051"),
    ],
)
@pytest.mark.parametrize("transport", ["wire", "grpcio"])
def test_what_cannot_be_one_is_refused_with_what_to_write(
    transport: str, target: str, write: str
) -> None:
    """By either transport; a password is not repeated."""
    with pytest.raises(TargetError, match=r"^upstream: ") as caught:
        check_target(transport, target)  # type: ignore[arg-type] # one of the two

    assert str(caught.value).endswith(write)
    assert "c0ffee" not in str(caught.value)
