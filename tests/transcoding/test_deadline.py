"""Timeouts and deadlines."""

from __future__ import annotations

import pytest

from gateway.transcoding.deadline import read_grpc_timeout, read_server_timeout, shortest


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("250m", 0.25),
        ("250u", 250e-6),
        ("250n", 250e-9),
        ("0S", 0),
        ("99999999H", 365 * 24 * 3600.0),
    ],
)
def test_grpc_timeouts(text: str, seconds: float) -> None:
    """A timeout of gRPC is up to eight digits and a unit."""
    assert read_grpc_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "S", "1s", "1h", "123456789S", "-1S", "1.5S", " 1S", "1S\n"]
)
def test_no_grpc_timeouts(text: str) -> None:
    """What gRPC would refuse is refused here."""
    with pytest.raises(ValueError, match=r"expected digits and one of H M S m u n"):
        read_grpc_timeout(text)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("0.25", 0.25), ("0", 0), ("3600", 3600)])
def test_server_timeouts(text: str, seconds: float) -> None:
    """A timeout of the server's is decimal seconds."""
    assert read_server_timeout(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1s", "1.", ".5", "1e3", "inf", "nan", " 1", "1" * 10])
def test_no_server_timeouts(text: str) -> None:
    """What is no plain decimal number is refused."""
    with pytest.raises(ValueError, match=r"expected seconds"):
        read_server_timeout(text)


@pytest.mark.parametrize(
    ("one", "other", "shorter"),
    [(None, None, None), (None, 5.0, 5.0), (5.0, None, 5.0), (5.0, 2.0, 2.0), (0.0, 5.0, 0.0)],
)
def test_the_shorter_timeout_counts(
    one: float | None, other: float | None, shorter: float | None
) -> None:
    """None is no timeout."""
    assert shortest(one, other) == shorter
