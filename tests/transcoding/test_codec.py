"""Both directions of the codec, against protobuf's own as the oracle, and the JSON texts themselves."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcoding.codec import JsonOptions, JsonSyntaxError, parse_json, print_json
from tests.transcoding.messages import (
    EVERYTHING,
    OLD,
    POOL,
    codec,
    decoded,
    encoded,
    messages,
    same,
)

ANY_MESSAGE = messages(EVERYTHING) | messages(OLD)
OPTIONS = [
    JsonOptions(defaults=defaults, proto_names=proto_names, enum_numbers=enum_numbers)
    for defaults, proto_names, enum_numbers in itertools.product([False, True], repeat=3)
]


FLT_MAX = 2.0**128 - 2.0**104
_PRINTED = 3.4028235e38


def data(message: Any) -> bytes:
    """Returns the bytes of a message, the same for equal messages, of NaN too."""
    written: bytes = message.SerializeToString(deterministic=True)
    return written


def oracle(message: Any, options: JsonOptions) -> Any:
    """Returns the JSON value that protobuf's own printer makes.

    It prints NullValue as 0 where enums are numbers; the specification knows only null. It prints the
    largest float in nine digits, which are more than it.
    """
    return json.loads(
        json_format.MessageToJson(
            message,
            always_print_fields_with_no_presence=options.defaults,
            preserving_proto_field_name=options.proto_names,
            use_integers_for_enums=options.enum_numbers,
            descriptor_pool=POOL,
        ),
        parse_float=lambda text: (
            math.copysign(FLT_MAX, n) if abs(n := float(text)) == _PRINTED else n
        ),
        object_hook=lambda value: {
            key: None if key in ("choiceNull", "choice_null") else item
            for key, item in value.items()
        },
    )


@given(ANY_MESSAGE, st.sampled_from(OPTIONS))
@settings(deadline=None, max_examples=300)
def test_encodes_as_the_oracle(message: Any, options: JsonOptions) -> None:
    """Every message is printed as protobuf's own printer does, for all options that both have."""
    printed = json.loads(print_json(encoded(message, options)))

    assert same(printed, oracle(message, options)), (printed, oracle(message, options))


@given(ANY_MESSAGE)
@settings(deadline=None, max_examples=200)
def test_decodes_what_the_oracle_encodes(message: Any) -> None:
    """What protobuf's own printer prints reads back as the message."""
    text = json_format.MessageToJson(message, descriptor_pool=POOL)

    assert data(decoded(text, type(message))) == data(message)


@given(ANY_MESSAGE, st.sampled_from(OPTIONS), st.booleans())
@settings(deadline=None, max_examples=300)
def test_decodes_what_it_encodes(message: Any, options: JsonOptions, int64_numbers: bool) -> None:
    """What the codec prints, by whatever options, it reads back as the message."""
    text = print_json(encoded(message, replace(options, int64_numbers=int64_numbers)))

    assert data(decoded(text, type(message))) == data(message)


@given(ANY_MESSAGE)
@settings(deadline=None, max_examples=100)
def test_the_oracle_decodes_what_it_encodes(message: Any) -> None:
    """What the codec prints, protobuf's own parser reads back as the message."""
    text = print_json(encoded(message))

    parsed = json_format.Parse(text, type(message)(), descriptor_pool=POOL)

    assert data(parsed) == data(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-10, 10**20) | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([field.json_name for field in EVERYTHING.DESCRIPTOR.fields])
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
    )
)
@settings(deadline=None, max_examples=300)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """No JSON value raises anything but a ValueError, and what is read can be written and read again."""
    text = json.dumps(value).encode()
    try:
        message = decoded(text)
    except ValueError:
        return

    assert data(decoded(print_json(encoded(message)))) == data(message)


# What the oracle takes or prints, and the specification does not.
ORACLE_TAKES = [
    ("base64 of characters that are none", '{"bytesField": "!!!"}', {}),
    ("padding that does not fit", '{"bytesField": "YQ="}', {}),
    ("a float out of range, as a string", '{"floatField": "3.5e38"}', {}),
    ("a list where a message belongs", '{"nested": ["x"]}', {"ignore_unknown_fields": True}),
    ("a string where a message belongs", '{"nested": "x"}', {"ignore_unknown_fields": True}),
    ("a path of a field mask that is empty", '{"maskField": "a,,b"}', {}),
]


@pytest.mark.parametrize(
    ("text", "options"),
    [row[1:] for row in ORACLE_TAKES],
    ids=[row[0] for row in ORACLE_TAKES],
)
def test_refuses_what_the_oracle_takes(text: str, options: dict[str, Any]) -> None:
    """Where the oracle lets a wrong text pass, the specification decides: it is refused."""
    json_format.Parse(text, EVERYTHING(), descriptor_pool=POOL, **options)

    with pytest.raises(ValueError, match=r"expected|out of range"):
        decoded(text, ignore_unknown=bool(options))


@pytest.mark.parametrize("sign", ["", "-"])
def test_takes_the_largest_float_that_the_oracle_refuses(sign: str) -> None:
    """FLT_MAX in eight digits lies above FLT_MAX, but nearer to it than to anything else."""
    message = EVERYTHING(float_field=float(f"{sign}3.4028234663852886e38"))
    text = f'{{"floatField": {sign}3.4028235e+38}}'

    with pytest.raises(json_format.ParseError):
        json_format.Parse(text, EVERYTHING(), descriptor_pool=POOL)

    assert decoded(text) == message
    assert decoded(print_json(encoded(message))) == message


def test_prints_int64_as_numbers_where_told() -> None:
    """`int64_numbers` prints every 64-bit integer as a number: fields, lists, map values, wrappers."""
    message = EVERYTHING(int64_field=2**62, uint64_field=2**64 - 1, int64_list=[1], fixed64_field=7)
    message.int64_wrapper.value = 5
    message.nested.number = -3

    assert encoded(message, JsonOptions(int64_numbers=True)) == {
        "int64Field": 2**62,
        "uint64Field": 2**64 - 1,
        "int64List": [1],
        "fixed64Field": 7,
        "int64Wrapper": 5,
        "nested": {"number": -3},
    }


def test_an_encoder_is_made_once_for_its_options() -> None:
    """The codec keeps an encoder for each set of options that is asked for."""
    both = codec()

    assert both.encoder() is both.encoder(JsonOptions())
    assert both.encoder(JsonOptions(defaults=True)) is both.encoder(JsonOptions(defaults=True))
    assert both.encoder(JsonOptions(defaults=True)) is not both.encoder()


# (what is wrong, text, line and column where the parser tells)
MALFORMED = [
    ("nothing", b"", "line 1 column 1"),
    ("trailing garbage", b'{"a": 1} x', "line 1 column 10"),
    ("trailing garbage on a later line", b'{\n"a": 1\n}\n]', "line 4 column 1"),
    ("a second text", b"{}{}", "line 1 column 3"),
    ("not a number", b"[NaN]", "line 1 column 2"),
    ("no double", b"[1e999]", "line 1 column 2"),
    ("a lone high surrogate", rb'["\ud800"]', "line 1"),
    ("a lone low surrogate", rb'["\udc00"]', "line 1"),
    ("surrogates the wrong way round", rb'["\ude01\ud83d"]', "line 1"),
    ("a byte that is no UTF-8", b'["\xff"]', "line 1"),
    ("an overlong encoding", b'["\xc0\x80"]', "line 1"),
    ("a surrogate in UTF-8", b'["\xed\xa0\x80"]', "line 1"),
    ("UTF-16", '{"a": 1}'.encode("utf-16-le"), "line 1"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "line 1 column 1"),
    ("a control character", b'["\n"]', "line 1"),
    ("too deep for the parser", b"[" * 2000, "line 1"),
    ("too deep for any message", b"[" * 300 + b"]" * 300, "it nests too deep"),
    ("too deep, with an escaped colon", rb'["\u003a",' + b"[" * 900 + b"]" * 901, "nests too deep"),
]


@pytest.mark.parametrize(
    ("text", "where"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_refuses_what_is_no_json(text: bytes, where: str) -> None:
    """A text that is no JSON is refused, with line and column."""
    with pytest.raises(JsonSyntaxError, match="malformed JSON") as caught:
        parse_json(text)

    assert where in str(caught.value)


REPEATED_KEYS = [
    ("plainly", b'{"a":1,"a":1}'),
    ("with spaces", b'{ "a" : 1 , "a" : 2 }'),
    ("deep inside", b'[[{"b":{"c":[{"a":1,"a":{}}]}}]]'),
    ("an escaped colon makes up for it", rb'{"a":1,"a":"\u003a"}'),
    ("an escaped capital does too", rb'{"a":1,"a":"\u003A"}'),
    ("an escaped key", rb'{"a":1,"\u0061":2}'),
    ("an escaped key, and a colon", rb'{"x":"\u003a","a":1,"\u0061":2}'),
    ("colons in the lost value", b'{"a":"::::","a":1}'),
    ("an empty key", b'{"":1,"":2}'),
    ("three times", b'{"a":1,"a":2,"a":3}'),
    ("beside a number past 64 bits", b'{"n":12345678901234567890123,"a":{"b":1,"b":2}}'),
]


@pytest.mark.parametrize(
    "text", [row[1] for row in REPEATED_KEYS], ids=[row[0] for row in REPEATED_KEYS]
)
def test_refuses_a_key_given_twice(text: bytes) -> None:
    """Of two values for one key none is taken, wherever the object is and however the key is written."""
    with pytest.raises(JsonSyntaxError, match="is given twice in one object"):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":{"a":{"a":1}}}',
        b'[{"a":1},{"a":1}]',
        b'{"a":":","b":"::"}',
        rb'{"a":"\u003a\u003a","b":"\u003A:"}',
        rb'{"\u003a":1,"b":"\":"}',
        b'{ "a" : [ 1 , 2 ] }',
        b'{"a":1.0e2,"b":"\xc3\xa9"}',
        rb'{"n":12345678901234567890123,"s":"\u003a"}',
    ],
)  # fmt: skip
def test_takes_keys_that_only_look_repeated(text: bytes) -> None:
    """A key may come again in another object, and colons in strings mean nothing."""
    assert parse_json(text) == json.loads(text, parse_int=float)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(alphabet='a:\\"é', max_size=3),
        lambda inner: st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["a", "b", ":", 'a":"', "é"]), inner), max_size=3).map(
            lambda pairs: ("object", pairs)
        ),
    ),
    st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_finds_exactly_the_repeated_keys(value: Any, ascii_only: bool) -> None:
    """A text is refused if and only if an object in it has a key twice."""
    repeated = False

    def text(item: Any) -> str:
        nonlocal repeated
        if isinstance(item, tuple):
            pairs = item[1]
            repeated |= len({key for key, _ in pairs}) < len(pairs)
            return "{" + ",".join(f"{json.dumps(k)}:{text(i)}" for k, i in pairs) + "}"
        if isinstance(item, list):
            return "[ " + " , ".join(map(text, item)) + "]"
        written = json.dumps(item, ensure_ascii=ascii_only)
        return written.replace(":", "\\u003a") if ascii_only else written

    made = text(value).encode()

    try:
        parse_json(made)
    except JsonSyntaxError as error:
        found = "given twice" in str(error)
    else:
        found = False
    assert found == repeated
