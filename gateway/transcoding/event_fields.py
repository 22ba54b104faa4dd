"""What an edge itself reads in the messages of a stream: what one is news of, and which id it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from functools import reduce
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath
from gateway.contract.method import Method
from gateway.contract.stream_policy import StreamPolicy, stream_policy
from gateway.transcoding.event_ids import is_valid_event_id
from gateway.transcoding.scalars import INTEGERS

ReadKey: TypeAlias = Callable[[bytes], Hashable]
ReadId: TypeAlias = Callable[[bytes], bytes]
AcceptsId: TypeAlias = Callable[[str], bool]

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
"""As it is given out: a number that was written differently came from nobody here."""


class StreamSpec(NamedTuple):
    """What the contract says of a stream, with what reads its messages accordingly."""

    policy: StreamPolicy
    read_key: ReadKey | None
    read_id: ReadId | None
    accepts_id: AcceptsId | None
    """Whether the field for the last id holds an id; None where the ids are the edge's own."""

    def can_resume_after(self, last_event_id: str) -> bool:
        """Whether the server is told this id, and so knows what comes after it."""
        return self.accepts_id is not None and self.accepts_id(last_event_id)


def stream_spec(method: Method) -> StreamSpec | None:
    """Returns what the contract says of a method's stream; None where it says nothing.

    Raises:
        ValueError: what it says does not fit.
    """
    policy = stream_policy(method)
    if policy is None:
        return None
    accepts_id = id_check(policy.resume_field) if policy.id_field else None
    return StreamSpec(
        policy,
        key_reader(method.output, policy.key) if policy.key else None,
        id_reader(method.output, policy.id_field, accepts_id) if accepts_id else None,
        accepts_id,
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


def id_reader(message: Descriptor, path: FieldPath, accepts_id: AcceptsId) -> ReadId:
    """Returns what reads the id of an event; one that could not be taken when it comes back is left out."""
    read_key = key_reader(message, path)

    def read(data: bytes) -> bytes:
        text = str(read_key(data))
        return text.encode() if accepts_id(text) else b""

    return read


def id_check(path: FieldPath) -> AcceptsId:
    """Returns what says whether an id comes back as it is, and the field at `path` can hold it."""
    integers = INTEGERS.get(path[-1].type)
    if integers is None:
        return is_valid_event_id
    return lambda text: _INTEGER.fullmatch(text) is not None and int(text) in integers
