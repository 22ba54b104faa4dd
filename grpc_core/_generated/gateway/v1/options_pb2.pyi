import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlowConsumer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLOW_CONSUMER_UNSPECIFIED: _ClassVar[SlowConsumer]
    SLOW_CONSUMER_BLOCK: _ClassVar[SlowConsumer]
    SLOW_CONSUMER_DROP_OLDEST: _ClassVar[SlowConsumer]
    SLOW_CONSUMER_CONFLATE: _ClassVar[SlowConsumer]
    SLOW_CONSUMER_DISCONNECT: _ClassVar[SlowConsumer]
SLOW_CONSUMER_UNSPECIFIED: SlowConsumer
SLOW_CONSUMER_BLOCK: SlowConsumer
SLOW_CONSUMER_DROP_OLDEST: SlowConsumer
SLOW_CONSUMER_CONFLATE: SlowConsumer
SLOW_CONSUMER_DISCONNECT: SlowConsumer
STREAM_FIELD_NUMBER: _ClassVar[int]
stream: _descriptor.FieldDescriptor
RIGHTS_FIELD_NUMBER: _ClassVar[int]
rights: _descriptor.FieldDescriptor
VALUES_FIELD_NUMBER: _ClassVar[int]
values: _descriptor.FieldDescriptor

class Rights(_message.Message):
    __slots__ = ("anonymous", "scopes", "roles")
    ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    anonymous: bool
    scopes: _containers.RepeatedScalarFieldContainer[str]
    roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, anonymous: _Optional[bool] = ..., scopes: _Optional[_Iterable[str]] = ..., roles: _Optional[_Iterable[str]] = ...) -> None: ...

class FieldValues(_message.Message):
    __slots__ = ("greater_than",)
    IN_FIELD_NUMBER: _ClassVar[int]
    GREATER_THAN_FIELD_NUMBER: _ClassVar[int]
    greater_than: float
    def __init__(self, greater_than: _Optional[float] = ..., **kwargs) -> None: ...

class StreamOptions(_message.Message):
    __slots__ = ("shared", "key", "start_with_last", "start_with_last_of_each_key", "keep", "slow_consumer", "linger", "id_field", "resume_field")
    SHARED_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    START_WITH_LAST_FIELD_NUMBER: _ClassVar[int]
    START_WITH_LAST_OF_EACH_KEY_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    SLOW_CONSUMER_FIELD_NUMBER: _ClassVar[int]
    LINGER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_FIELD_NUMBER: _ClassVar[int]
    shared: bool
    key: str
    start_with_last: int
    start_with_last_of_each_key: bool
    keep: int
    slow_consumer: SlowConsumer
    linger: _duration_pb2.Duration
    id_field: str
    resume_field: str
    def __init__(self, shared: _Optional[bool] = ..., key: _Optional[str] = ..., start_with_last: _Optional[int] = ..., start_with_last_of_each_key: _Optional[bool] = ..., keep: _Optional[int] = ..., slow_consumer: _Optional[_Union[SlowConsumer, str]] = ..., linger: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., id_field: _Optional[str] = ..., resume_field: _Optional[str] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("missed", "restarted")
    MISSED_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    missed: int
    restarted: bool
    def __init__(self, missed: _Optional[int] = ..., restarted: _Optional[bool] = ...) -> None: ...
