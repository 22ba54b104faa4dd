"""Requests that are as large or as deep as they can be: what reading them costs, and what errors repeat."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gateway.transcoding.codec import JsonPrintError, JsonSyntaxError, parse_json, print_json
from gateway.transcoding.decoding import serialize
from gateway.transcoding.parameters import Parameters, parse_query
from gateway.transcoding.status import bad_request
from gateway.transcoding.violations import (
    MAX_PATH,
    MAX_STEP,
    MAX_TOTAL,
    MAX_VIOLATIONS,
    items_of,
    quoted,
    suggestion,
)
from gateway.transcoding.well_known import MAX_MASK, TOO_DEEP
from tests.transcoding.messages import EVERYTHING, codec, decoded, encoded, violations

SIZE = 4 * 1024 * 1024
"""Bytes of the largest body, by default."""
LONG = "k" * (SIZE - 100)
SECONDS = 0.5
"""Of CPU; before, some of these took more than a second. What each takes now is below a tenth of this."""
ECHO = 256
"""Characters of the text of one fault."""

TEXTS = {
    "an unknown key": f'{{"{LONG}":1}}',
    "two unknown keys": f'{{"a{LONG[: SIZE // 2 - 50]}":1,"b{LONG[: SIZE // 2 - 50]}":1}}',
    "100,000 unknown keys": json.dumps({f"strinkField{n}": 1 for n in range(100_000)}),
    "a key given twice": f'{{"{LONG[: SIZE // 2]}":1,"{LONG[: SIZE // 2]}":1}}',
    "a key of a map": f'{{"nestedMap":{{"{LONG}":{{}}}}}}',
    "100,000 wrong keys of a map": json.dumps({"nestedMap": {f"x{n}": 1 for n in range(100_000)}}),
    "the name of an enum": f'{{"enumField":"{LONG}"}}',
    "digits for an enum": f'{{"enumField":"{"1" * SIZE}"}}',
    "digits for an integer": f'{{"int32Field":"{"1" * SIZE}"}}',
    "an integer with decimals": f'{{"int64Field":"1.{"0" * SIZE}"}}',
    "a number of digits": f'{{"int64Field":{"1" * SIZE}}}',
    "digits for a double": f'{{"doubleField":"0.{"1" * SIZE}"}}',
    "an exponent": '{"int32Field":"1e9999"}',
    "an exponent that is too long": '{"doubleField":"1e999999"}',
    "text for a boolean": f'{{"boolField":"{LONG}"}}',
    "base64 that is none": f'{{"bytesField":"{"!" * SIZE}"}}',
    "a timestamp": f'{{"timestampField":"{"1" * SIZE}"}}',
    "a duration": f'{{"durationField":"{"1" * SIZE}s"}}',
    "a field mask of capitals": f'{{"maskField":"{"A" * SIZE}"}}',
    "a field mask of many paths": f'{{"maskField":"{"a," * (SIZE // 2)}a"}}',
    "a field mask with an underscore": f'{{"maskField":"_{LONG}"}}',
    "the type of an Any": f'{{"anyField":{{"@type":"x/{LONG}"}}}}',
    "arrays in arrays": "[" * SIZE,
    "objects in objects": '{"a":' * (SIZE // 5),
    "no JSON": f'{{"{LONG}":',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_large_and_wrong_costs_little_and_is_not_repeated(text: str) -> None:
    """Whatever is wrong with 4 MB, it is found at once and said in a few words."""
    started = time.process_time()
    found = violations(text)

    assert time.process_time() - started < SECONDS
    assert 0 < len(found) <= MAX_VIOLATIONS
    assert max(len(path) for path, _ in found) <= MAX_STEP + 20
    assert max(len(text) for _, text in found) <= ECHO


RIGHT = {
    "a long key of a map": f'{{"stringMap":{{"{LONG}":"x"}}}}',
    "many keys of a map": json.dumps({"stringMap": {str(n): "x" for n in range(100_000)}}),
    "base64 of the other alphabet": f'{{"bytesField":"{"-" * (SIZE // 4 * 4)}"}}',
    "escaped colons": '{"stringField":"' + "\\u003a" * (SIZE // 6) + '"}',
    "a field mask": f'{{"maskField":"{"aB," * (MAX_MASK // 3)}a"}}',
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_is_large_and_right_costs_little(text: str) -> None:
    """What is large and allowed is read in time that is linear in it."""
    started = time.process_time()

    assert violations(text) == []
    assert time.process_time() - started < SECONDS


def test_a_path_is_cut_as_a_whole() -> None:
    """A path of long names has an end, too: it is cut behind so many characters."""
    inner = f'{{"{LONG[:1000]}":1}}'
    value: Any = "[" * 60 + "]" * 60
    for n in range(20):
        value = f'{{"{n}{LONG[:200]}":{value}}}'

    ((path, _),) = violations(f'{{"structField":{value}}}')
    ((unknown, _),) = violations(inner)

    assert len(path) == MAX_PATH + 1
    assert path.startswith("structField.19kkk")
    assert unknown == "k" * MAX_STEP + "…"


def test_an_error_has_an_end() -> None:
    """All that is said of one request has a limit; faults beyond it are counted."""
    error = bad_request((f"field{n}" * 100, "x" * 1000) for n in range(1000))

    assert len(error.status.SerializeToString()) < 2 * MAX_TOTAL
    assert error.status.message.endswith("(and 999 more)")
    assert len(error.status.message) < MAX_PATH * 2


def test_names_are_compared_where_they_are_short() -> None:
    """The search for the nearest name compares a few candidates, and no long names."""
    fields = [f"field_{n}_of_many" for n in range(1000)]
    started = time.process_time()
    for n in range(MAX_VIOLATIONS):
        suggestion(f"feild_{n}_of_many", fields)

    assert time.process_time() - started < SECONDS
    assert suggestion("feild_7_of_many", fields) == "; did you mean 'field_7_of_many'?"
    assert suggestion("field_7_of_many" * 5, ["field_7_of_many" * 5 + "x"]) == ""


@pytest.mark.parametrize(
    "value",
    [LONG, "ü" * 1000, "\0" * 1000, b"x" * 1000],
    ids=["ASCII", "letters", "controls", "bytes"],
)
def test_a_value_is_shown_cut(value: object) -> None:
    """Of a long value an error shows the beginning, whatever it consists of."""
    assert len(quoted(value)) <= 61


@pytest.mark.parametrize(
    "text",
    [
        r'{"a\u003a":1,"b":":\\u003a"}',
        r'{"a":"\\\u003A","b":"\\\\u003a:"}',
        '{"stringField" : ":::"}',
    ],
)
def test_escaped_colons_are_no_key_given_twice(text: str) -> None:
    """How a colon in a string is written says nothing of keys."""
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":1,"a":"\u003a"}',
        r'{"a\u003a":1,"a:":2}',
        r'{"a":"\\u003a","b":{"\u0061":1,"a":2}}',
        '{"x":[' + '{"a":1,"a":2},' * 10_000 + "1]}",
    ],
)
def test_a_key_given_twice_is_found(text: str) -> None:
    """A key that is there twice is a fault, however its colons are escaped and however long the text is."""
    with pytest.raises(JsonSyntaxError, match="given twice"):
        parse_json(text.encode())


# A query.


def refused(query: str) -> tuple[str, str]:
    """Returns the one fault of a query."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at
        Parameters(codec().decoder).set_query(EVERYTHING(), parse_query(query.encode()), ())
    (fault,) = items_of(caught.value)
    return fault


DEEPEST: dict[str, tuple[str, str, str]] = {
    "a number": ("nested.", "child.", "number=1"),
    "a list": ("nested.", "child.", "tags=a"),
    "a timestamp": ("", "everything.", "timestamp_field=2026-01-01T00:00:00Z"),
    "a wrapper": ("", "everything.", "int32_wrapper=1"),
    "a list of wrappers": ("", "everything.", "int32_wrapper_list=1"),
    "a value": ("", "everything.", "value_field=1"),
    "values in a value": ("", "everything.", "value_field=[[[1]]]"),
    "an entry of a map": ("", "everything.", "string_map[a]=1"),
    "a message in a map": ("", "everything.", "timestamp_map[a]=2026-01-01T00:00:00Z"),
}  # fmt: skip


@pytest.mark.parametrize(("first", "step", "last"), DEEPEST.values(), ids=DEEPEST)
def test_a_query_nests_as_deep_as_protobuf(first: str, step: str, last: str) -> None:
    """What a query may name is what protobuf's parsers take; one level more is the caller's fault."""
    parameters = Parameters(codec().decoder)
    accepted = 0
    for levels in range(90, 110):
        message = EVERYTHING()
        query = f"{first}{step * levels}{last}"
        try:
            parameters.set_query(message, parse_query(query.encode()), ())
        except ValueError:
            assert refused(query)[1] == TOO_DEEP
            continue
        assert accepted in (0, levels - 1), "it goes up to a limit, and no further"
        accepted = levels
        assert EVERYTHING.FromString(serialize(message)) == message
    assert 90 <= accepted < 101


@pytest.mark.parametrize("levels", [101, 150, 10_000])
def test_a_query_never_recurses_too_far(levels: int) -> None:
    """However deep the names of a query go, they are refused."""
    path, text = refused("nested." + "child." * levels + "number=1")

    assert text == TOO_DEEP
    assert len(path) <= MAX_STEP + 1


@pytest.mark.parametrize(
    "query",
    [
        "x" * 70_000 + "=1",
        "string_field=" + "%41" * 30_000,
        "&".join(f"int32_list={n}" for n in range(100_000)),
        "&" * 100_000,
        "." * 100_000,
    ],
    ids=["a name", "percent", "many", "nothing, often", "dots"],
)
def test_a_query_has_an_end(query: str) -> None:
    """A query of more than 64 KiB or 1,000 parameters is refused before it is taken apart."""
    started = time.process_time()
    path, text = refused(query)

    assert time.process_time() - started < SECONDS
    assert (path, len(text) < ECHO) == ("", True)


@pytest.mark.parametrize(
    "query",
    [
        "k" * 60_000 + "=1",
        "int32_field=" + "k" * 60_000,
        "string_map[" + "k" * 60_000 + "=1",
        "int64_map[" + "k" * 60_000 + "]=1",
        "nested." + "k" * 60_000 + "=1",
        "enum_field=" + "k" * 60_000,
        "mask_field=," + "k" * 60_000,
        "%2e" * 20_000 + "=1",
    ],
)
def test_a_query_is_not_repeated(query: str) -> None:
    """Of a long name or value of a query an error repeats the beginning."""
    path, text = refused(query)

    assert len(path) <= MAX_STEP + 1
    assert len(text) <= ECHO


# What upstream sends.


def test_an_answer_of_anys_in_anys_is_parsed_so_often() -> None:
    """Each Any within an Any is parsed anew: more than 32 of them are refused, whatever they hold."""
    message = EVERYTHING(string_field="x" * 1_000_000)
    for _ in range(40):
        outer = EVERYTHING()
        outer.any_field.Pack(message)
        message = outer

    with pytest.raises(ValueError, match=r"nests deeper than 32"):
        encoded(message)


def test_an_answer_that_json_cannot_nest_is_told() -> None:
    """Anys may hold more levels than a JSON text can be printed with: that is an error, not a traceback."""

    def nested(holds: Any) -> Any:
        message = EVERYTHING()
        innermost = message
        for _ in range(90):
            innermost = innermost.everything
        innermost.any_field.Pack(holds)
        return message

    deep = encoded(nested(nested(nested(nested(EVERYTHING())))))

    with pytest.raises(JsonPrintError):
        print_json(deep)


def test_a_body_that_is_read_is_a_message() -> None:
    """What the JSON reader takes at its deepest, protobuf takes again."""
    text = '{"everything":' * 100 + "{}" + "}" * 100

    assert EVERYTHING.FromString(serialize(decoded(text))) == decoded(text)


@pytest.mark.parametrize(
    "leaf",
    [
        '{"timestampField":"2026-01-01T00:00:00Z"}',
        '{"durationField":"1s"}',
        '{"maskField":"a"}',
        '{"int32Wrapper":1}',
        '{"int32WrapperList":[1]}',
        '{"timestampMap":{"a":"2026-01-01T00:00:00Z"}}',
        '{"valueField":1}',
        '{"anyField":{"@type":"x/echo.v1.Nested"}}',
    ],
)
def test_a_body_nests_as_deep_as_protobuf(leaf: str) -> None:
    """A message whose JSON is one text or number is a level, too."""
    for levels in range(95, 105):
        text = '{"everything":' * levels + leaf + "}" * levels
        if not violations(text):
            assert EVERYTHING.FromString(serialize(decoded(text))) == decoded(text)
    assert violations(text)
