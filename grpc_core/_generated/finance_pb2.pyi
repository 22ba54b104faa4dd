from .gateway.v1 import options_pb2 as _options_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ConvertRequest(_message.Message):
    __slots__ = ("from_currency", "to_currency", "amount")
    FROM_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TO_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    from_currency: str
    to_currency: str
    amount: float
    def __init__(self, from_currency: _Optional[str] = ..., to_currency: _Optional[str] = ..., amount: _Optional[float] = ...) -> None: ...

class ConvertReply(_message.Message):
    __slots__ = ("converted_amount", "rate", "timestamp")
    CONVERTED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    converted_amount: float
    rate: float
    timestamp: str
    def __init__(self, converted_amount: _Optional[float] = ..., rate: _Optional[float] = ..., timestamp: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("base_currency", "target_currencies")
    BASE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TARGET_CURRENCIES_FIELD_NUMBER: _ClassVar[int]
    base_currency: str
    target_currencies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, base_currency: _Optional[str] = ..., target_currencies: _Optional[_Iterable[str]] = ...) -> None: ...

class RateUpdate(_message.Message):
    __slots__ = ("currency", "rate")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    currency: str
    rate: float
    def __init__(self, currency: _Optional[str] = ..., rate: _Optional[float] = ...) -> None: ...

class BatchReply(_message.Message):
    __slots__ = ("total_converted", "count")
    TOTAL_CONVERTED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    total_converted: float
    count: int
    def __init__(self, total_converted: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...
