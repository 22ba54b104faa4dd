"""The WebSocket subprotocol: frames, close codes, reasons."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcoding.status import INVALID_ARGUMENT, StatusError
from gateway.transcoding.websocket_protocol import (
    HalfClose,
    close_code,
    close_reason,
    read_frame,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', b'{"a": 1}'),
        ("é", "é".encode()),
        (" ", b" "),
        ("", HalfClose.HALF_CLOSE),
    ],
)
def test_a_text_frame_is_a_message(text: str, expected: bytes | HalfClose) -> None:
    """A text frame is one message, and an empty one the half-close."""
    assert read_frame(text, None) == expected


@pytest.mark.parametrize("data", [b"", b"\x00\x01"])
def test_a_binary_frame_is_refused(data: bytes) -> None:
    """The subprotocol has no binary frames."""
    with pytest.raises(StatusError, match=rf"is binary: {len(data)} bytes") as caught:
        read_frame(None, data)

    assert caught.value.code == INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, 1000), *((code, 4000 + code) for code in code_pb2.Code.values() if code)],
)
def test_each_status_has_its_close_code(code: int, expected: int) -> None:
    """OK closes normally, and every other code with 4000 and its number."""
    assert close_code(code) == expected


@pytest.mark.parametrize("code", [-1, 17, 999, 1000, 2**31 - 1])
def test_a_code_that_grpc_does_not_know_is_unknown(code: int) -> None:
    """A number that is no code closes as UNKNOWN does, never outside the private range."""
    assert close_code(code) == 4002


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("gone", "gone"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "😀" * 31, "x" + "😀" * 30),
        ("x" * 120 + "😀", "x" * 120),
    ],
)
def test_a_reason_is_cut_between_characters(message: str, expected: str) -> None:
    """A reason holds as many whole characters as fit in 123 bytes."""
    assert close_reason(message) == expected


@given(st.text())
@settings(deadline=None)
def test_a_reason_always_fits(message: str) -> None:
    """Whatever the message, its reason fits a close frame, and is its beginning."""
    reason = close_reason(message)

    assert len(reason.encode()) <= 123
    assert message.startswith(reason)
