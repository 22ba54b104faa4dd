"""The stream options of a method, `gateway.v1.StreamOptions`, resolved and checked.

Source: protos/gateway/v1/options.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.contract.fields import FieldPath, resolve
from gateway.contract.http_rule import Binding, bindings, response_type
from gateway.contract.json_types import HTTP_BODY
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.v1 import options_pb2

DEFAULT_KEEP: Final = 1024
DEFAULT_SHARED_LINGER: Final = 5.0
"""Seconds."""
_MAX_KEEP: Final = 1_000_000
_ID_TYPES: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_STRING,
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_KEY_TYPES: Final = _ID_TYPES | {FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_BOOL}


class SlowConsumer(Enum):
    """The slow-consumer policy; see `gateway.v1.SlowConsumer`."""

    BLOCK = options_pb2.SLOW_CONSUMER_BLOCK
    DROP_OLDEST = options_pb2.SLOW_CONSUMER_DROP_OLDEST
    CONFLATE = options_pb2.SLOW_CONSUMER_CONFLATE
    DISCONNECT = options_pb2.SLOW_CONSUMER_DISCONNECT


@dataclass(frozen=True, slots=True, eq=False)
class StreamPolicy:
    """The stream options of one method, with defaults applied."""

    shared: bool
    """Whether equal requests share one call."""
    key: FieldPath
    """Field with the key of a message; empty: none."""
    start_with_last: int
    """Number of latest messages that a new reader gets first."""
    start_with_last_of_each_key: bool
    """Whether a new reader first gets the latest message of each key."""
    keep: int
    """Maximum number of buffered messages."""
    slow_consumer: SlowConsumer
    linger: float
    """Seconds for which the call continues without a reader."""
    id_field: FieldPath
    """Response field with the event id; empty: the edge numbers the events."""
    resume_field: FieldPath
    """Request field for the last event id; empty: none."""

    def uses_feed(self, *, resumable: bool) -> bool:
        """Whether the call is read by a feed, which buffers its messages.

        Args:
            resumable: whether the reader gets event ids.
        """
        lingers = resumable and self.linger > 0
        return self.shared or lingers or self.slow_consumer is not SlowConsumer.BLOCK


def stream_policy(method: Method) -> StreamPolicy | None:
    """Resolves the stream options of a method; None: it has none.

    Raises:
        ValueError: the options do not fit the method or each other.
    """
    options = method.stream
    if options is None:
        return None
    try:
        _check_method(method)
        return _policy(method, options)
    except ValueError as error:
        raise ValueError(f"(gateway.v1.stream): {error}") from None


def _policy(method: Method, options: options_pb2.StreamOptions) -> StreamPolicy:
    key = _field("key", method.output, options.key)
    _check_start(options, has_key=bool(key))
    id_field = _field("id_field", method.output, options.id_field)
    resume_field = _field("resume_field", method.input, options.resume_field)
    policy = StreamPolicy(
        shared=options.shared,
        key=key,
        start_with_last=options.start_with_last,
        start_with_last_of_each_key=options.start_with_last_of_each_key,
        keep=options.keep or DEFAULT_KEEP,
        slow_consumer=_slow_consumer(options),
        linger=_linger(options),
        id_field=id_field,
        resume_field=resume_field,
    )
    _check_policy(policy)
    return policy


def _check_method(method: Method) -> None:
    if method.stream_type is not StreamType.SERVER:
        raise ValueError("only for a method whose server streams, and whose client does not")
    if any(output.full_name == HTTP_BODY for output in _response_types(method)):
        raise ValueError("not for a method that answers with google.api.HttpBody")


def _response_types(method: Method) -> Iterator[Descriptor]:
    """Yields the message types of the method's responses, in gRPC and in each of its bindings."""
    yield method.output
    for binding in bindings(method):
        if isinstance(binding, Binding) and (output := response_type(binding)) is not None:
            yield output


def _check_start(options: options_pb2.StreamOptions, *, has_key: bool) -> None:
    start = options.WhichOneof("start")
    if start is not None and not options.shared:
        raise ValueError(f"{start} is for a shared stream")
    if options.start_with_last_of_each_key and not has_key:
        raise ValueError("start_with_last_of_each_key needs a key")


def _check_policy(policy: StreamPolicy) -> None:
    if policy.keep > _MAX_KEEP:
        raise ValueError(f"keep is at most {_MAX_KEEP}")
    if policy.start_with_last > policy.keep:
        raise ValueError("start_with_last is more than keep")
    if policy.slow_consumer is SlowConsumer.CONFLATE and not policy.key:
        raise ValueError("SLOW_CONSUMER_CONFLATE needs a key")
    if policy.slow_consumer is SlowConsumer.BLOCK and policy.shared:
        raise ValueError(
            "SLOW_CONSUMER_BLOCK is not for a shared stream: one reader would slow down all"
        )
    if bool(policy.id_field) != bool(policy.resume_field):
        raise ValueError("id_field and resume_field require each other")
    if policy.resume_field and _is_text(policy.id_field) and not _is_text(policy.resume_field):
        raise ValueError("id_field is a string, but resume_field is an integer")
    if policy.resume_field and policy.linger and not policy.shared:
        raise ValueError("resume_field cannot be combined with linger, unless the stream is shared")


def _is_text(path: FieldPath) -> bool:
    return bool(path) and path[-1].cpp_type == FieldDescriptor.CPPTYPE_STRING


def _slow_consumer(options: options_pb2.StreamOptions) -> SlowConsumer:
    if options.slow_consumer:
        return SlowConsumer(options.slow_consumer)
    if not options.shared:
        return SlowConsumer.BLOCK
    return SlowConsumer.CONFLATE if options.key else SlowConsumer.DROP_OLDEST


def _linger(options: options_pb2.StreamOptions) -> float:
    if not options.HasField("linger"):
        return DEFAULT_SHARED_LINGER if options.shared else 0.0
    seconds = options.linger.seconds + options.linger.nanos / 1e9
    if seconds < 0:
        raise ValueError("linger is negative")
    return seconds


def _field(option: str, message: Descriptor, name: str) -> FieldPath:
    """Resolves the name of a singular scalar field; empty: no path."""
    if not name:
        return ()
    try:
        path = resolve(message, name)
        if option == "key":
            _check_type(path[-1], _KEY_TYPES, "string, integer, enum or bool")
        else:
            _check_type(path[-1], _ID_TYPES, "string or integer")
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    return path


def _check_type(field: FieldDescriptor, types: frozenset[int], words: str) -> None:
    # `bytes` has the C++ type of `string`
    if field.is_repeated or field.cpp_type not in types or field.type == FieldDescriptor.TYPE_BYTES:
        raise ValueError(f"{field.full_name} is no single {words}")
