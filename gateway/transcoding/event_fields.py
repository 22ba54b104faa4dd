"""What an edge itself reads in the messages of a stream: what one is news of, and which id it has."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath
from gateway.contract.method import Method
from gateway.contract.stream_policy import StreamPolicy, stream_policy
from gateway.transcoding.frame_encoders import LAST_ID

ReadKey: TypeAlias = Callable[[bytes], Hashable]
ReadId: TypeAlias = Callable[[bytes], bytes]


class StreamReading(NamedTuple):
    """What the contract says of a stream, with what reads its messages accordingly."""

    policy: StreamPolicy
    read_key: ReadKey | None
    read_id: ReadId | None


def stream_reading(method: Method) -> StreamReading | None:
    """Returns what the contract says of a method's stream; None where it says nothing.

    Raises:
        ValueError: what it says does not fit.
    """
    policy = stream_policy(method)
    if policy is None:
        return None
    return StreamReading(
        policy,
        key_reader(method.output, policy.key) if policy.key else None,
        id_reader(method.output, policy.id_field) if policy.id_field else None,
    )


def key_reader(message: Descriptor, path: FieldPath) -> ReadKey:
    """Returns what reads the field at `path` in the bytes of a message; bytes that are none have no key."""
    new: Any = GetMessageClass(message)
    names = [field.name for field in path]

    def read(data: bytes) -> Hashable:
        try:
            key: Hashable = reduce(getattr, names, new.FromString(data))
        except DecodeError:
            return None
        return key

    return read


def id_reader(message: Descriptor, path: FieldPath) -> ReadId:
    """Returns what reads the id of an event; one that would not come back as it is is left out.

    An event stream or a header would break it, or cut spaces off it; or it means the end of a stream.
    """
    read_key = key_reader(message, path)

    def read(data: bytes) -> bytes:
        text = str(read_key(data))
        comes_back = text.isprintable() and text == text.strip() and text != LAST_ID
        return text.encode() if comes_back else b""

    return read
