"""The fields that the edge itself reads from the messages of a stream: key and id."""

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
from gateway.contract.signature import signature
from gateway.contract.stream_policy import StreamPolicy, stream_policy
from gateway.transcoding.event_ids import is_valid_event_id
from gateway.transcoding.scalars import INTEGERS

ReadKey: TypeAlias = Callable[[bytes], Hashable]
"""Serialized message -> its key."""
ReadId: TypeAlias = Callable[[bytes], bytes]
"""Serialized message -> its event id; empty: none."""
WriteId: TypeAlias = Callable[[bytes, bytes], bytes]
"""Serialized request, event id -> the request that asks for what follows the event."""
AcceptsId: TypeAlias = Callable[[str], bool]
"""Whether a text is an event id that the request field can hold."""

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,19}")
"""Decimal form of an id; another spelling of the number is no id of the edge."""


class StreamSpec(NamedTuple):
    """The stream options of a method, with the functions that read key and id of its messages."""

    policy: StreamPolicy
    read_key: ReadKey | None
    """None: the messages have no key."""
    read_id: ReadId | None
    """None: the edge numbers the messages."""
    accepts_id: AcceptsId | None
    """Checks an id for the `resume_field`; None: the method has none."""
    signature: Hashable
    """See `gateway.contract.signature`."""
    write_id: WriteId | None = None
    """Writes an id into the `resume_field`; None: the method has none."""

    def can_resume_after(self, last_event_id: str) -> bool:
        """Whether this id of a reader's is passed to the server, which then continues after it.

        A shared call is not one reader's: the reader is looked for in the feed.
        """
        return not self.policy.shared and self.accepts(last_event_id)

    def accepts(self, event_id: str) -> bool:
        """Whether the server can have given this id."""
        return self.accepts_id is not None and self.accepts_id(event_id)


def stream_spec(method: Method) -> StreamSpec | None:
    """Returns the stream options of a method; None: it has none.

    Raises:
        ValueError: the options do not fit the method or each other.
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
        signature(method),
        id_writer(method.input, policy.resume_field) if accepts_id else None,
    )


def key_reader(message: Descriptor, path: FieldPath) -> ReadKey:
    """Returns the function that reads the field at `path`; for invalid bytes it returns None."""
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
    """Returns the function that reads an event id; it returns no id if `accepts_id` refuses it."""
    read_key = key_reader(message, path)

    def read(data: bytes) -> bytes:
        text = str(read_key(data))
        return text.encode() if accepts_id(text) else b""

    return read


def id_writer(message: Descriptor, path: FieldPath) -> WriteId:
    """Returns the function that sets the field at `path` to an event id that `id_check` has accepted."""
    new: Any = GetMessageClass(message)
    parents, field = [each.name for each in path[:-1]], path[-1]
    value: Callable[[bytes], str | int] = int if field.type in INTEGERS else bytes.decode

    def write(data: bytes, event_id: bytes) -> bytes:
        request = new.FromString(data)
        setattr(reduce(getattr, parents, request), field.name, value(event_id))
        return bytes(request.SerializeToString())

    return write


def id_check(path: FieldPath) -> AcceptsId:
    """Returns the check whether a text is a valid event id, and a value for the field at `path`."""
    integers = INTEGERS.get(path[-1].type)
    if integers is None:
        return is_valid_event_id
    return lambda text: _INTEGER.fullmatch(text) is not None and int(text) in integers
