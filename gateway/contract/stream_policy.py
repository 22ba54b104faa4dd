"""How the stream of a method reaches its readers: `gateway.v1.StreamOptions`, resolved and checked.

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
from gateway.contract.method import Method, StreamType
from gateway.v1 import options_pb2

DEFAULT_KEEP: Final = 1024
DEFAULT_SHARED_LINGER: Final = 5.0
_MAX_KEEP: Final = 1_000_000
_PLAIN: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_STRING,
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_ENUMERATED: Final = frozenset({FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_BOOL})


class SlowConsumer(Enum):
    """What becomes of a reader that is too far behind; see the comments in options.proto."""

    BLOCK = options_pb2.SLOW_CONSUMER_BLOCK
    DROP_OLDEST = options_pb2.SLOW_CONSUMER_DROP_OLDEST
    CONFLATE = options_pb2.SLOW_CONSUMER_CONFLATE
    DISCONNECT = options_pb2.SLOW_CONSUMER_DISCONNECT


@dataclass(frozen=True, slots=True, eq=False)
class StreamPolicy:
    """What a contract says of one method's stream."""

    shared: bool
    """Whether equal requests are answered from one call."""
    key: FieldPath
    """The field that says what a message is news of; empty where there is none."""
    start_with_last: int
    """How many of the last messages one gets that joins late."""
    start_with_last_of_each_key: bool
    keep: int
    """How many messages are kept."""
    slow_consumer: SlowConsumer
    linger: float
    """Seconds for which the call goes on when nobody reads it."""
    id_field: FieldPath
    """The field of an answer that has its id; empty where ids are the edge's own."""
    resume_field: FieldPath
    """The field of the request that takes the last id; empty where there is none."""

    def uses_feed(self, *, resumable: bool) -> bool:
        """Whether the call lives apart from a reader, so that its messages are kept for it."""
        lingers = resumable and self.linger > 0
        return self.shared or lingers or self.slow_consumer is not SlowConsumer.BLOCK


def stream_policy(method: Method) -> StreamPolicy | None:
    """Resolves the stream options of a method; None where it has none.

    Raises:
        ValueError: they do not fit the method, or each other.
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
    if any(output.full_name == HTTP_BODY for output in _answers(method)):
        raise ValueError("not for a method that answers with google.api.HttpBody")


def _answers(method: Method) -> Iterator[Descriptor]:
    """Yields the types of what the method's rules answer with, where those are messages."""
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
        raise ValueError("SLOW_CONSUMER_BLOCK would let one reader of a shared stream hold up all")
    if bool(policy.id_field) != bool(policy.resume_field):
        raise ValueError("id_field and resume_field go together")
    if policy.resume_field and _is_text(policy.id_field) and not _is_text(policy.resume_field):
        raise ValueError("id_field is a string, and resume_field, which takes it, an integer")
    if policy.resume_field and (policy.shared or policy.linger):
        raise ValueError("resume_field goes neither with shared nor with linger")


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
        raise ValueError("linger is less than nothing")
    return seconds


def _field(option: str, message: Descriptor, name: str) -> FieldPath:
    """Resolves the name of a field that has one text or one number for its value."""
    if not name:
        return ()
    try:
        path = resolve(message, name)
        if option == "key":
            _check_plain(path[-1], _PLAIN | _ENUMERATED, "string, integer, enum or bool")
        else:
            _check_plain(path[-1], _PLAIN, "string or integer")
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
    return path


def _check_plain(field: FieldDescriptor, types: frozenset[int], words: str) -> None:
    """Bytes have the C++ type of strings."""
    if field.is_repeated or field.cpp_type not in types or field.type == FieldDescriptor.TYPE_BYTES:
        raise ValueError(f"{field.full_name} is no single {words}")
