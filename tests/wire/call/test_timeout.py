"""grpc-timeout: what we print is never less than was asked, and any that is well formed is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grpc_wire.call.timeout import parse_timeout, print_timeout
from grpc_wire.client.method import ClientMethod

MOST = (10**8 - 1) * 3600.0


@given(st.floats(1e-9, MOST, allow_nan=False))
def test_a_timeout_goes_there_and_back(seconds: float) -> None:
    """Rounded up, by no more than a hundred-thousandth; one to eight digits and a unit."""
    text, _, up_to = print_timeout(seconds)

    assert seconds <= up_to
    assert re.fullmatch(rb"[0-9]{1,8}[HMSmun]", text)
    assert parse_timeout(text) >= seconds * (1 - 1e-12)
    assert parse_timeout(text) <= seconds * (1 + 1e-4) + 1e-9


@given(st.floats(1e-9, MOST, allow_nan=False), st.integers(-3, 3), st.floats(1e-9, MOST))
@example(1.0, -2, 5.0)  # below a power of two what is rounded up to lies twice as close
def test_those_that_have_the_same_text(seconds: float, steps: int, other: float) -> None:
    """A timeout within the bounds is printed as the one that has them; also by a method that remembers it."""
    text, above, up_to = print_timeout(seconds)
    near = seconds * (1 + steps * 2**-19)
    method = ClientMethod("/a.B/C", (), 0, True, -1, -1, None, None)

    for each in (seconds, near, other, near):
        head, headers = method.with_timeout(each, ())
        assert (*head, *headers) == ((b"grpc-timeout", print_timeout(each)[0]),)
        if above < each <= up_to:
            assert print_timeout(each) == (text, above, up_to)


@pytest.mark.parametrize("seconds", [0.0, -0.0, -1.0, 1e-12, -1e300])
def test_no_time_is_the_least_that_can_be_said(seconds: float) -> None:
    """A deadline that has passed is not one without end."""
    assert 0 < parse_timeout(print_timeout(seconds)[0]) <= 1e-9


@pytest.mark.parametrize("seconds", [MOST, MOST * 2, 1e300])
def test_more_than_can_be_said_is_the_most(seconds: float) -> None:
    """Eight digits of hours: eleven thousand years."""
    assert print_timeout(seconds)[0] == b"99999999H"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"0n", 0.0),
        (b"1n", 1e-9),
        (b"1u", 1e-6),
        (b"1m", 1e-3),
        (b"1S", 1.0),
        (b"1M", 60.0),
        (b"1H", 3600.0),
        (b"99999999H", MOST),
        (b"00000001S", 1.0),
        (b"500m", 0.5),
    ],
)
def test_each_unit(text: bytes, seconds: float) -> None:
    """Hours, minutes, seconds, and the thousandths of thousandths of thousandths of them."""
    assert parse_timeout(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [b"", b"1", b"S",
     b"1s", b"1h", b"123456789S", b"-1S", b"+1S", b"1.5S", b" 1S", b"1S ", b"1SS", b"1 S", b"S1",
     b"1S\n", b"\xb2S", b"1\xc2\xb5", b"1_0S", b"1e3S"],
)  # fmt: skip
def test_what_is_no_timeout(text: bytes) -> None:
    """Is said, not guessed at."""
    with pytest.raises(ValueError, match="grpc-timeout"):
        parse_timeout(text)


@given(st.binary(max_size=12))
def test_any_text_is_a_timeout_or_is_not(text: bytes) -> None:
    """Whatever a peer sends."""
    try:
        assert parse_timeout(text) >= 0
    except ValueError:
        assert not re.fullmatch(rb"[0-9]{1,8}[HMSmun]", text)
