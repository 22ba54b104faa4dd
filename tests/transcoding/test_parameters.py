"""Texts of a path or a query -> fields."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.fields import resolve
from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.parameters import Parameters, parse_query
from gateway.transcoding.violations import items_of
from tests.transcoding.messages import EVERYTHING, POOL

PARAMETERS = Parameters(JsonDecoder(POOL))


def queried(query: str, *bound: str, parameters: Parameters = PARAMETERS) -> Any:
    """Returns the message that a query stands for."""
    message = EVERYTHING()
    paths = [resolve(EVERYTHING.DESCRIPTOR, path) if path else () for path in bound]
    parameters.set_query(message, parse_query(query.encode()), paths)
    return message


def query_faults(
    query: str, *bound: str, parameters: Parameters = PARAMETERS
) -> list[tuple[str, str]]:
    """Returns what is wrong with a query."""
    try:
        queried(query, *bound, parameters=parameters)
    except ValueError as error:
        return list(items_of(error))
    return []


READ = [
    ("int32_field=-5", EVERYTHING(int32_field=-5)),
    ("int64_field=9223372036854775807", EVERYTHING(int64_field=2**63 - 1)),
    ("uint32_field=4294967295", EVERYTHING(uint32_field=2**32 - 1)),
    ("uint64_field=18446744073709551615", EVERYTHING(uint64_field=2**64 - 1)),
    ("sint32_field=-1&sint64_field=-2", EVERYTHING(sint32_field=-1, sint64_field=-2)),
    ("fixed32_field=1&fixed64_field=2", EVERYTHING(fixed32_field=1, fixed64_field=2)),
    ("sfixed32_field=-1&sfixed64_field=-2", EVERYTHING(sfixed32_field=-1, sfixed64_field=-2)),
    ("double_field=1.5e3", EVERYTHING(double_field=1500)),
    ("float_field=-Infinity", EVERYTHING(float_field=float("-inf"))),
    ("bool_field=true", EVERYTHING(bool_field=True)),
    ("bool_field=1", EVERYTHING(bool_field=True)),
    ("string_field=a%20b", EVERYTHING(string_field="a b")),
    ("string_field=a+b", EVERYTHING(string_field="a b")),
    ("string_field=a%2Bb", EVERYTHING(string_field="a+b")),
    ("string_field=%C3%A9", EVERYTHING(string_field="é")),
    ("string_field=", EVERYTHING()),
    ("string_field", EVERYTHING()),
    ("stringField=x", EVERYTHING(string_field="x")),
    ("string_field=a=b", EVERYTHING(string_field="a=b")),
    ("string_field=a;b", EVERYTHING(string_field="a;b")),
    ("&&string_field=x&", EVERYTHING(string_field="x")),
    ("bytes_field=%2B%2F8%3D", EVERYTHING(bytes_field=b"\xfb\xff")),
    ("bytes_field=-_8", EVERYTHING(bytes_field=b"\xfb\xff")),
    ("enum_field=COLOR_BLUE", EVERYTHING(enum_field=2)),
    ("enum_field=2", EVERYTHING(enum_field=2)),
    ("enum_field=COLOR_SCARLET", EVERYTHING(enum_field=1)),
    ("customName=x", EVERYTHING(renamed_field="x")),
    ("renamed_field=x", EVERYTHING(renamed_field="x")),
    ("class=x", EVERYTHING(**{"class": "x"})),
    ("optional_int32=0", EVERYTHING(optional_int32=0)),
    ("choice_int32=0", EVERYTHING(choice_int32=0)),
    ("nested.name=n", EVERYTHING(nested={"name": "n"})),
    ("nested.child.child.number=1", EVERYTHING(nested={"child": {"child": {"number": 1}}})),
    ("everything.customName=x", EVERYTHING(everything={"renamed_field": "x"})),
    ("int32_list=1&int32_list=2&int32_list=1", EVERYTHING(int32_list=[1, 2, 1])),
    ("int32List=1&int32_list=2", EVERYTHING(int32_list=[1, 2])),
    ("nested.tags=a&nested.tags=b", EVERYTHING(nested={"tags": ["a", "b"]})),
    ("enum_list=1&enum_list=COLOR_BLUE", EVERYTHING(enum_list=[1, 2])),
    ("string_map[a]=1&string_map[b]=2", EVERYTHING(string_map={"a": "1", "b": "2"})),
    ("string_map[a.b/c d]=x", EVERYTHING(string_map={"a.b/c d": "x"})),
    ("string_map%5Ba%5D=x", EVERYTHING(string_map={"a": "x"})),
    ("string_map[]=x", EVERYTHING(string_map={"": "x"})),
    ("bool_map[true]=COLOR_RED", EVERYTHING(bool_map={True: 1})),
    ("int64Map[-5]=0.5", EVERYTHING(int64_map={-5: 0.5})),
    ("everything.string_map[a.b]=x", EVERYTHING(everything={"string_map": {"a.b": "x"}})),
]


@pytest.mark.parametrize(("query", "expected"), READ)
def test_reads(query: str, expected: Any) -> None:
    """A parameter sets the field that it names by proto or JSON names, whatever its kind."""
    assert queried(query) == expected


def test_reads_types_that_are_one_text() -> None:
    """Wrappers, Timestamp, Duration and FieldMask take the text that JSON has for them."""
    message = queried(
        "int64_wrapper=0&boolWrapper=TRUE&string_wrapper=&bytes_wrapper=AQ&double_wrapper=NaN"
        "&timestamp_field=1970-01-01T00:00:01Z&duration_field=-1.5s&mask_field=fooBar,foo_bar.x"
        "&int32_wrapper_list=1&int32_wrapper_list=0&timestamp_list=1970-01-01T00:00:02Z"
        "&timestamp_map[a]=1970-01-01T00:00:03Z"
    )

    assert message.HasField("int64_wrapper")
    assert message.bool_wrapper.value is True
    assert message.HasField("string_wrapper")
    assert message.bytes_wrapper.value == b"\x01"
    assert message.double_wrapper.value != message.double_wrapper.value
    assert message.timestamp_field.seconds == 1
    assert (message.duration_field.seconds, message.duration_field.nanos) == (-1, -500_000_000)
    assert list(message.mask_field.paths) == ["foo_bar", "foo_bar.x"]
    assert [item.value for item in message.int32_wrapper_list] == [1, 0]
    assert message.timestamp_list[0].seconds == 2
    assert message.timestamp_map["a"].seconds == 3


def test_reads_types_that_are_any_json() -> None:
    """Value, Struct and ListValue take JSON."""
    message = queried(
        "value_field=null&struct_field=%7B%22a%22:1%7D&list_value_field=[1]&value_list=1&value_list=%22x%22"
    )

    assert message.value_field.WhichOneof("kind") == "null_value"
    assert message.struct_field["a"] == 1
    assert list(message.list_value_field) == [1]
    assert [item.WhichOneof("kind") for item in message.value_list] == [
        "number_value",
        "string_value",
    ]


REFUSED = [
    ("unknown=1", "unknown", "unknown query parameter"),
    ("string_feild=1", "string_feild", "unknown query parameter; did you mean 'string_field'?"),
    ("stringFeild=1", "stringFeild", "did you mean 'stringField'?"),
    ("nested.nam=1", "nested.nam", "unknown query parameter; did you mean 'name'?"),
    ("=1", "", "unknown query parameter"),
    (".=1", ".", "unknown query parameter"),
    ("nested.=1", "nested.", "unknown query parameter"),
    (".nested=1", ".nested", "unknown query parameter"),
    ("nested..name=1", "nested..name", "unknown query parameter"),
    (
        "string_field.x=1",
        "string_field.x",
        "'string_field' is no message, and has no fields to name",
    ),
    (
        "nested_list.name=1",
        "nested_list.name",
        "'nested_list' is a list of messages, which a query cannot give",
    ),
    (
        "everything.nestedList.name=1",
        "everything.nestedList.name",
        "'everything.nestedList' is a list of messages",
    ),
    ("nested_list[0].name=1", "nested_list[0].name", "'nested_list' is a list of messages"),
    ("nested_list[]=1", "nested_list[]", "'nested_list' is a list of messages"),
    ("int32_list.x=1", "int32_list.x", "'int32_list' is no message, and has no fields to name"),
    ("timestamp_field.x=1", "timestamp_field.x", "unknown query parameter"),
    ("string_map[a=1", "string_map[a", "unknown query parameter"),
    (
        "string_map.a=1",
        "string_map.a",
        "'string_map' is a map; name an entry of it, as string_map[key]",
    ),
    (
        "nested_map[1].name=1",
        "nested_map[1].name",
        "'nested_map[1]' is a message in a map, which a query cannot give",
    ),
    ("string_map[a].x=1", "string_map[a].x", "'string_map[a]' is no message"),
    ("string_map[a][b]=1", "string_map[a][b]", "unknown query parameter"),
    ("string_field[a]=1", "string_field[a]", "is not a map"),
    ("int32_list[0]=1", "int32_list[0]", "is not a map"),
    ("string_map=1", "string_map", "is a map; name an entry of it, as stringMap[key]"),
    ("nested_map[1]=x", "nested_map[1]", "is a message in a map, which a query cannot give"),
    ("nested=1", "nested", "is a message; name one of its fields"),
    ("any_field=1", "any_field", "is a message; name one of its fields"),
    ("nested_list=1", "nested_list", "is a list of messages, which a query cannot give"),
    ("int32_field=1&int32_field=2", "int32_field", "is given 2 times, and takes one value"),
    ("int32_field=1&int32Field=2", "int32Field", "given twice, as 'int32_field' too"),
    ("nested.name=a&nested.name=a", "nested.name", "is given 2 times"),
    ("string_map[a]=1&string_map[a]=2", "string_map[a]", "is given 2 times"),
    ("string_map[a]=1&stringMap[a]=2", "stringMap[a]", "given twice, as 'string_map[a]' too"),
    ("int64_map[1]=1&int64_map[1.0]=2", "int64_map[1.0]", "is given twice, in two ways"),
    ("bool_map[1]=1&bool_map[true]=1", "bool_map[true]", "is given twice, in two ways"),
    ("int32_field=x", "int32_field", "expected an integer (int32), got 'x'"),
    ("int32_field=", "int32_field", "expected an integer (int32), got ''"),
    ("bool_field=yes", "bool_field", "expected true or false, got 'yes'"),
    ("enum_field=COLOR_RAD", "enum_field", "did you mean 'COLOR_RED'?"),
    ("int32_list=1&int32_list=x", "int32_list", "expected an integer (int32), got 'x'"),
    ("int64_map[x]=1", "int64_map[x]", "expected an integer (int64), got 'x'"),
    ("timestamp_field=now", "timestamp_field", "expected an RFC 3339 timestamp, got 'now'"),
    ("mask_field=a,,b", "mask_field", "expected field paths with commas between them"),
    ("struct_field=[1]", "struct_field", "expected an object, got an array"),
    ("value_field={", "value_field", "malformed JSON at line 1 column 2"),
    ("struct_field=%7B%22a%22:1,%22a%22:2%7D", "struct_field", "the key 'a' is given twice"),
    ("choice_int32=1&choice_string=x", "choice_string", "only one field of 'choice' can be given"),
    ("choice_nested.name=a&choice_int32=1", "choice_int32", "'choice_nested' is there already"),
    ("choice_int32=1&choice_nested.name=a", "choice_nested.name", "only one field of 'choice'"),
]


SLIPS = [
    ("int32_list[]=1&int32_list[]=2", "is not a map, but a list: write int32_list=1&int32_list=2"),
    ("int32List[0]=7", "is not a map, but a list: write int32List=7"),
    ("nested.tags[]=a&nested.tags[]=b%26c", "write nested.tags=a&nested.tags=b%26c"),
    ("timestamp_list[]=2026-11-22T08:00:00Z", "write timestamp_list=2026-11-22T08%3A00%3A00Z"),
    ("nested[name]=x", "is not a map, but a message: write nested.name=x"),
    ("nested[child][name]=x", "is not a map, but a message: write nested.child.name=x"),
    ("int32_list=1,2", "; write int32_list=1&int32_list=2"),
    ("int32_list=[1,2]", "; write int32_list=1&int32_list=2"),
    ("enum_list=COLOR_RED,COLOR_BLUE", "; write enum_list=COLOR_RED&enum_list=COLOR_BLUE"),
    ("timestamp_field=2026-11-22T08:00:00+02:00", "; in a query a + is a space: write it as %2B"),
    ("timestamp_list=2026-11-22T08:00:00+02:00", "write it as %2B"),
    ("double_field=1e+5", "write it as %2B"),
    ("double_wrapper=1e+5", "write it as %2B"),
    ("int64_map[1]=1e+5", "write it as %2B"),
    ("bytes_field=a+b=", "write it as %2B"),
    ("int32_field=1;int64_field=2", "; between the parameters of a query stands &, not ;"),
]


@pytest.mark.parametrize(("query", "words"), SLIPS)
@pytest.mark.parametrize("ignore_unknown", [False, True])
def test_a_slip_is_told_what_to_write(query: str, words: str, *, ignore_unknown: bool) -> None:
    """Spellings that other servers take are refused, with the spelling that is right here."""
    parameters = Parameters(JsonDecoder(POOL, ignore_unknown=ignore_unknown))
    ((_, told),) = query_faults(query, parameters=parameters)

    assert words in told


@pytest.mark.parametrize(
    "query",
    [
        "timestamp_field=at+noon",
        "int32_field=+5",
        "int32_list=1,x",
        "int32_field=x;y",
        "bytes_field=%25+",
    ],
)
def test_no_advice_that_would_not_help(query: str) -> None:
    """What is told to be written would be taken."""
    ((_, told),) = query_faults(query)

    assert not re.search("write|%2B|&", told)


def test_long_values_are_cut_in_advice() -> None:
    """What is told is no longer for a long value."""
    ((_, told),) = query_faults("int32_list[]=" + "1" * 100_000)

    assert len(told) < 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("empty_field=", EVERYTHING(empty_field={})),
        ("emptyField", EVERYTHING(empty_field={})),
        ("empty_field={}", EVERYTHING(empty_field={})),
        ("everything.empty_field=", EVERYTHING(everything={"empty_field": {}})),
    ],
)
def test_an_empty_message_is_there(query: str, expected: Any) -> None:
    """A message without fields is given by its name alone."""
    assert queried(query) == expected


def test_an_empty_message_has_no_value() -> None:
    """Whatever else is given for it is refused."""
    assert query_faults("empty_field=true") == [
        ("empty_field", "expected an empty text or {}, got 'true'")
    ]


KNOWN = [
    "nested_list.name=x",
    "nestedList.unknown=x",
    "nested_list[0].name=x",
    "everything.nested_list.name=x",
    "string_map.a=x",
    "nested_map[1].name=x",
    "string_field.x=1",
    "int32_list.x=1",
    "string_wrapper.value.x=1",
    "nested=x",
    "any_field=x",
    "struct_field.fields=x",
    "string_map[a=1",
    "string_map[a][b]=1",
    "string_field[a]=1",
    "int32_list[]=1",
    "nested[name]=x",
    "struct_field.x=1",
    "struct_field.x.y=1",
    "struct_field[x]=1",
    "value_field.x=1",
    "value_field.struct_value.x=1",
    "list_value_field[0]=1",
    "list_value_field.0=1",
    "any_field.string_field=x",
    "any_field[@type]=x",
]


@pytest.mark.parametrize("query", KNOWN)
@pytest.mark.parametrize("ignore_unknown", [False, True])
def test_a_known_field_is_never_ignored(query: str, *, ignore_unknown: bool) -> None:
    """What names a field, but in a way that a query has not, is refused whatever is ignored."""
    parameters = Parameters(JsonDecoder(POOL, ignore_unknown=ignore_unknown))

    assert [name for name, _ in query_faults(query, parameters=parameters)] == [
        query.partition("=")[0]
    ]


@pytest.mark.parametrize(
    "query",
    [
        "x=1",
        "x[]=1",
        "x.y[0]=1",
        "nested.x=1",
        "nested[x]=1",
        "nested[child][x]=1",
        "timestamp_field.x=1",
    ],
)
def test_an_unknown_name_is_ignored(query: str) -> None:
    """Where unknown fields pass, so does a name of which a step is no field."""
    parameters = Parameters(JsonDecoder(POOL, ignore_unknown=True))

    assert queried(query, parameters=parameters) == EVERYTHING()
    assert query_faults(query) != []


@pytest.mark.parametrize(("query", "name", "words"), REFUSED)
def test_refuses(query: str, name: str, words: str) -> None:
    """A parameter that names nothing, or not what it can set, or a wrong value, is told by its name."""
    ((where, told),) = query_faults(query)

    assert where == name
    assert words in told


@pytest.mark.parametrize(
    ("query", "bound", "name"),
    [
        ("string_field=x", "string_field", "string_field"),
        ("stringField=x", "string_field", "stringField"),
        ("nested.name=x", "nested.name", "nested.name"),
        ("nested.name=x", "nested", "nested.name"),
        ("string_map[a]=x", "string_map", "string_map[a]"),
        ("int32_field=1", "", "int32_field"),
        ("timestamp_field=2026-11-22T08:00:00Z", "timestamp_field.seconds", "timestamp_field"),
        ("string_wrapper=x", "string_wrapper.value", "string_wrapper"),
        ("struct_field={}", "struct_field.fields", "struct_field"),
        (
            "everything.value_field=1",
            "everything.value_field.string_value",
            "everything.value_field",
        ),
    ],
)
def test_refuses_what_path_or_body_provide(query: str, bound: str, name: str) -> None:
    """A field of the path or the body is not the query's to set."""
    ((where, told),) = query_faults(query, bound)

    assert where == name
    assert told == "is not a query parameter here: path or body provide this field"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timestamp_field=2026-11-22T08:00:00Z", "timestampField.seconds=5"),
        ("string_wrapper=x", "string_wrapper.value=y"),
        ("mask_field=a", "mask_field.paths=b"),
        ("struct_field={}", "struct_field.fields[a]=1"),
        ("everything.value_field=1", "everything.value_field.string_value=x"),
        ("value_field={}", "value_field.struct_value.fields[a]=1"),
    ],
)
def test_a_message_is_given_whole_or_by_its_fields(one: str, other: str) -> None:
    """Not both: in whatever order, the second is an error and not a choice."""
    for first, second in ((one, other), (other, one)):
        ((where, told),) = query_faults(f"{first}&{second}")

        assert where == second.partition("=")[0]
        assert told == f"given twice, as {first.partition('=')[0]!r} too"


def test_a_sibling_of_what_the_path_provides_is_free() -> None:
    """Beside a path variable, the other fields of its message are the query's."""
    assert queried("nested.number=1", "nested.name") == EVERYTHING(nested={"number": 1})


@pytest.mark.parametrize("last", ["int32_field", "timestamp_field", "enum_field"])
def test_a_long_path_is_told_to_its_end(last: str) -> None:
    """Its end says which field it is; only a name that is no field's is cut early."""
    name = "everything." * 20 + last

    assert [where for where, _ in query_faults(f"{name}=x")] == [name]
    assert len(query_faults(f"{name}{'x' * 200}=x")[0][0]) < len(name)


def test_tells_all_faults_at_once() -> None:
    """Every wrong parameter is told, and an unknown one once however often it comes."""
    names = [name for name, _ in query_faults("a=1&int32_field=x&a=2&nested=&bool_field=true")]

    assert names == ["a", "int32_field", "nested"]


def test_unknown_parameters_pass_where_unknown_fields_do() -> None:
    """One setting lets unknown names pass in JSON and in a query; a wrong value never passes."""
    lenient = Parameters(JsonDecoder(POOL, ignore_unknown=True))

    message = queried("utm_source=x&int32_field=1&nested.nope=1", parameters=lenient)

    assert message == EVERYTHING(int32_field=1)
    with pytest.raises(ValueError, match=r"int32_field: expected"):
        queried("int32_field=x", parameters=lenient)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"a=%FF", "the query is not UTF-8"),
        (b"a=\xff", "the query is not UTF-8"),
        (b"%C3=1", "the query is not UTF-8"),
        (b"&".join([b"a=1"] * 1001), "the query has more than 1000 parameters"),
    ],
)
def test_refuses_what_is_no_query(query: bytes, words: str) -> None:
    """A query that is no UTF-8, or has more parameters than anyone needs, is refused as a whole."""
    with pytest.raises(ValueError, match=words):
        parse_query(query)


def variable(message: Any, path: str, text: str) -> Any:
    """Returns the message with a path variable set."""
    PARAMETERS.set_variable(message, resolve(EVERYTHING.DESCRIPTOR, path), text)
    return message


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("string_field", "a/b", EVERYTHING(string_field="a/b")),
        ("nested.child.name", "x", EVERYTHING(nested={"child": {"name": "x"}})),
        ("enum_field", "COLOR_BLUE", EVERYTHING(enum_field=2)),
        ("bool_field", "1", EVERYTHING(bool_field=True)),
        ("choice_int32", "5", EVERYTHING(choice_int32=5)),
    ],
)
def test_a_variable_sets_its_field(path: str, text: str, expected: Any) -> None:
    """A path variable sets a field of any depth."""
    assert variable(EVERYTHING(), path, text) == expected


SAID = EVERYTHING(string_field="a", int32_field=1, nested={"name": "n"}, choice_string="c")
SAID.timestamp_field.seconds = 1
SAID.int64_wrapper.value = 1
SAID.mask_field.paths.append("a")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("string_field", "a"),
        ("int32_field", "1.0"),
        ("nested.name", "n"),
        ("nested.number", "5"),
        ("double_field", "1"),
        ("timestamp_field", "1970-01-01T01:00:01+01:00"),
        ("int64_wrapper", "1"),
        ("mask_field", "a"),
        ("choice_string", "c"),
    ],
)
def test_path_and_body_may_agree(path: str, text: str) -> None:
    """What the body says too, in whatever form, is no conflict."""
    message = EVERYTHING()
    message.CopyFrom(SAID)

    variable(message, path, text)


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("string_field", "b", "the path says 'b', and the body something else"),
        ("int32_field", "2", "the path says '2', and the body something else"),
        ("nested.name", "m", "and the body something else"),
        ("timestamp_field", "1970-01-01T00:00:02Z", "and the body something else"),
        ("int64_wrapper", "2", "and the body something else"),
        ("mask_field", "b", "and the body something else"),
        ("choice_int32", "1", "only one field of 'choice' can be given"),
        ("choice_nested.name", "1", "only one field of 'choice' can be given"),
        ("int32_field", "x", "expected an integer"),
    ],
)
def test_path_and_body_must_not_differ(path: str, text: str, words: str) -> None:
    """What the body says differently is a fault, and not a choice."""
    message = EVERYTHING()
    message.CopyFrom(SAID)

    with pytest.raises(ValueError, match=words):
        variable(message, path, text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([f.name for f in EVERYTHING.DESCRIPTOR.fields]) | st.text(max_size=5),
            st.sampled_from(["", ".", "[", "]", "[a]", "[1].b", ".name", ".value", ".x.y"]),
            st.text(max_size=5) | st.sampled_from(["1", "true", "{}", "[1]", "a"]),
        ),
        max_size=4,
    )
)
@settings(deadline=None)
def test_any_query_is_read_or_refused(pairs: list[tuple[str, str, str]]) -> None:
    """No query raises anything but a ValueError."""
    message = EVERYTHING()
    try:
        PARAMETERS.set_query(message, [(name + tail, text) for name, tail, text in pairs], [])
    except ValueError:
        return

    assert message.IsInitialized()
