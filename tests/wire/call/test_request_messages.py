"""The bytes of a request, from when they come until their messages are asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_wire.call.message import GZIP, IDENTITY, MessageFault, frame
from grpc_wire.call.request_messages import RequestMessages

INTERNAL = 13


def received(
    *chunks: bytes, half_closed: bool = False, encoding: str = IDENTITY
) -> RequestMessages:
    """Returns what has come in these chunks."""
    made = RequestMessages(-1, encoding)
    for chunk in chunks:
        made.append(chunk, half_closed=False)
    made.half_closed = half_closed
    return made


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 400))
def test_messages_are_the_same_however_they_come(messages: list[bytes], size: int) -> None:
    """All of them, in order, and each byte is counted as read once."""
    body = b"".join(map(frame, messages))
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    came = received(*cut, half_closed=True)

    assert [came.take() for _ in messages] == messages
    assert came.take() is None
    assert came.bytes_consumed == len(body)


def test_no_more_is_read_at_once_than_small_chunks_up_to_16_kib() -> None:
    """The client's window opens by that, or by one chunk, however much has come."""
    came = received(*[frame(bytes(1_000))] * 60)

    for _ in range(16):
        assert came.take() == bytes(1_000)
        assert came.bytes_consumed == 16 * 1_005
    came.take()
    assert came.bytes_consumed == 32 * 1_005


def test_a_large_chunk_is_read_by_itself() -> None:
    """It is not put together with what stands before or behind it."""
    came = received(frame(b"small"), frame(bytes(20_000)), frame(b"small"))

    sizes = []
    for _ in range(3):
        came.take()
        sizes.append(came.bytes_consumed)
    assert sizes == [10, 20_015, 20_025]


def test_what_stands_before_a_fault_is_given() -> None:
    """In chunks that are cut together, too; the fault is told again and again."""
    came = received(frame(b"one"), frame(b"two"), b"\x09\0\0\0\0", frame(b"never"))

    assert [came.take(), came.take()] == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(MessageFault) as fault:
            came.take()
        assert fault.value.code == INTERNAL


def test_compressed_messages_beside_others() -> None:
    """Each is decompressed when it is taken."""
    came = received(frame(bytes(999), GZIP), frame(b"as it is"), encoding=GZIP)

    assert [came.take(), came.take(), came.take()] == [bytes(999), b"as it is", None]


def test_an_end_within_a_message() -> None:
    """It is told when what is whole was taken."""
    came = received(frame(b"one"), frame(b"two")[:-1], half_closed=True)

    assert came.take() == b"one"
    with pytest.raises(MessageFault, match="ends within a message"):
        came.take()
