import datetime

from ...gateway.v1 import options_pb2 as _options_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import client_pb2 as _client_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import decimal_pb2 as _decimal_pb2
from google.type import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Currency(_message.Message):
    __slots__ = ("name", "code", "state", "minor_unit_digits")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Currency.State]
        ACTIVE: _ClassVar[Currency.State]
        RETIRED: _ClassVar[Currency.State]
    STATE_UNSPECIFIED: Currency.State
    ACTIVE: Currency.State
    RETIRED: Currency.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MINOR_UNIT_DIGITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    code: str
    state: Currency.State
    minor_unit_digits: int
    def __init__(self, name: _Optional[str] = ..., code: _Optional[str] = ..., state: _Optional[_Union[Currency.State, str]] = ..., minor_unit_digits: _Optional[int] = ...) -> None: ...

class ExchangeRate(_message.Message):
    __slots__ = ("name", "rate", "quote_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    rate: _decimal_pb2.Decimal
    quote_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., rate: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., quote_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetCurrencyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListCurrenciesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCurrenciesResponse(_message.Message):
    __slots__ = ("currencies", "next_page_token")
    CURRENCIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    currencies: _containers.RepeatedCompositeFieldContainer[Currency]
    next_page_token: str
    def __init__(self, currencies: _Optional[_Iterable[_Union[Currency, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExchangeRateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchExchangeRatesRequest(_message.Message):
    __slots__ = ("parent", "target_currency_codes")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    TARGET_CURRENCY_CODES_FIELD_NUMBER: _ClassVar[int]
    parent: str
    target_currency_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parent: _Optional[str] = ..., target_currency_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConvertAmountRequest(_message.Message):
    __slots__ = ("amount", "target_currency_code")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TARGET_CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    amount: _money_pb2.Money
    target_currency_code: str
    def __init__(self, amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., target_currency_code: _Optional[str] = ...) -> None: ...

class ConvertAmountResponse(_message.Message):
    __slots__ = ("converted_amount", "exchange_rate")
    CONVERTED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_RATE_FIELD_NUMBER: _ClassVar[int]
    converted_amount: _money_pb2.Money
    exchange_rate: ExchangeRate
    def __init__(self, converted_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., exchange_rate: _Optional[_Union[ExchangeRate, _Mapping]] = ...) -> None: ...

class SumAmountsResponse(_message.Message):
    __slots__ = ("totals", "amount_count")
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_COUNT_FIELD_NUMBER: _ClassVar[int]
    totals: _containers.RepeatedCompositeFieldContainer[_money_pb2.Money]
    amount_count: int
    def __init__(self, totals: _Optional[_Iterable[_Union[_money_pb2.Money, _Mapping]]] = ..., amount_count: _Optional[int] = ...) -> None: ...
