"""The protobuf project's own JSON conformance cases, by their names.

Source: conformance/binary_json_conformance_suite.cc and conformance/json_*_test.cc of
protocolbuffers/protobuf. Their test message is ours with other field names; a case that is about the names of
its fields has a message of its own here. Left out are cases of proto2's message sets and of performance.
"""
# ruff: noqa: E501 -- names and texts stand as the suite has them

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json, print_json
from tests.contracts import compile_text
from tests.transcoding.messages import EVERYTHING, OLD, POOL, decoded, encoded

NAMES = load(
    compile_text("""syntax = "proto3";
package conformance;
import "google/protobuf/struct.proto";
message Names {
  int32 fieldname1 = 1;
  int32 field_name2 = 2;
  int32 _field_name3 = 3;
  int32 field__name4_ = 4;
  int32 field0name5 = 5;
  int32 field_0_name6 = 6;
  int32 fieldName7 = 7;
  int32 FieldName8 = 8;
  int32 field_Name9 = 9;
  int32 Field_Name10 = 10;
  int32 FIELD_NAME11 = 11;
  int32 FIELD_name12 = 12;
  int32 __field_name13 = 13;
  int32 __Field_name14 = 14;
  int32 field__name15 = 15;
  int32 field__Name16 = 16;
  int32 field_name17__ = 17;
  int32 Field_name18__ = 18;
  map<uint32, uint32> map_uint32 = 21;
  map<uint64, uint64> map_uint64 = 22;
  oneof choice {
    uint32 oneof_uint32 = 31;
    uint64 oneof_uint64 = 32;
    bool oneof_bool = 33;
    float oneof_float = 34;
    double oneof_double = 35;
    bytes oneof_bytes = 36;
    Color oneof_enum = 37;
  }
  google.protobuf.NullValue plain_null = 41;
}
enum Color { FOO = 0; }
""")
)
NAMES_MESSAGE: Any = GetMessageClass(NAMES.pool.FindMessageTypeByName("conformance.Names"))

JSON_NAMES = (
    '{"fieldname1": 1, "fieldName2": 2, "FieldName3": 3, "fieldName4": 4, "field0name5": 5, '
    '"field0Name6": 6, "fieldName7": 7, "FieldName8": 8, "fieldName9": 9, "FieldName10": 10, '
    '"FIELDNAME11": 11, "FIELDName12": 12, "FieldName13": 13, "FieldName14": 14, '
    '"fieldName15": 15, "fieldName16": 16, "fieldName17": 17, "FieldName18": 18}'
)
PROTO_NAMES = (
    '{"fieldname1": 1, "field_name2": 2, "_field_name3": 3, "field__name4_": 4, "field0name5": 5, '
    '"field_0_name6": 6, "fieldName7": 7, "FieldName8": 8, "field_Name9": 9, "Field_Name10": 10, '
    '"FIELD_NAME11": 11, "FIELD_name12": 12, "__field_name13": 13, "__Field_name14": 14, '
    '"field__name15": 15, "field__Name16": 16, "field_name17__": 17, "Field_name18__": 18}'
)
_ALL_NAMED = " ".join(
    f"{field.name}: {field.number}"
    for field in NAMES_MESSAGE.DESCRIPTOR.fields
    if field.number <= 18
)


def named(text: str) -> Any:
    """Returns the message of field names that a JSON text stands for."""
    message = NAMES_MESSAGE()
    JsonCodec(NAMES.pool, JsonOptions()).decoder.reader(NAMES_MESSAGE.DESCRIPTOR)(
        message, parse_json(text.encode()), 0
    )
    return message


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("FieldNameInSnakeCase … WithDoubleUnderscores", JSON_NAMES, _ALL_NAMED),
        ("OriginalProtoFieldName", PROTO_NAMES, _ALL_NAMED),
        ("FieldNameEscaped", r'{"fieldn\u0061me1": 1}', "fieldname1: 1"),
        (
            "Uint32MapField",
            '{"mapUint32": {"1": 2, "3": 4}}',
            "map_uint32 {key: 1 value: 2} map_uint32 {key: 3 value: 4}",
        ),
        ("Uint64MapField", '{"mapUint64": {"1": 2}}', "map_uint64 {key: 1 value: 2}"),
        ("OneofZeroUint32", '{"oneofUint32": 0}', "oneof_uint32: 0"),
        ("OneofZeroUint64", '{"oneofUint64": 0}', "oneof_uint64: 0"),
        ("OneofZeroBool", '{"oneofBool": false}', "oneof_bool: false"),
        ("OneofZeroFloat", '{"oneofFloat": 0.0}', "oneof_float: 0"),
        ("OneofZeroDouble", '{"oneofDouble": 0.0}', "oneof_double: 0"),
        ("OneofZeroBytes", '{"oneofBytes": ""}', 'oneof_bytes: ""'),
        ("OneofZeroEnum", '{"oneofEnum": "FOO"}', "oneof_enum: FOO"),
        ("NullValueInNormalMessage", '{"plainNull": null}', ""),
        ("OneofFieldNullFirst", '{"oneofUint32": null, "oneofBool": true}', "oneof_bool: true"),
    ],
)
def test_field_names(name: str, text: str, expected: str) -> None:
    """JSON names and proto names are both read, and all members of a oneof keep their zero."""
    message = named(text)

    assert message == text_format.Parse(expected, NAMES_MESSAGE())
    writer = JsonCodec(NAMES.pool, JsonOptions()).encoder().writer(NAMES_MESSAGE.DESCRIPTOR)
    assert named(print_json(writer(message)).decode()) == message


def test_field_names_are_printed_in_lower_camel_case() -> None:
    """FieldNameInLowerCamelCase and its siblings: what is printed are the JSON names."""
    writer = JsonCodec(NAMES.pool, JsonOptions()).encoder().writer(NAMES_MESSAGE.DESCRIPTOR)

    assert writer(named(PROTO_NAMES)) == parse_json(JSON_NAMES.encode())


# (name of the case, JSON in, the message in text format)
READ = [
    ("HelloWorld", '{"stringField":"Hello, World!"}', "string_field: 'Hello, World!'"),
    ("OneLineNoSpaces", '{"int32Field":1,"int64Field":2}', "int32_field: 1 int64_field: 2"),
    (
        "OneLineWithSpaces",
        '{ "int32Field" : 1 , "int64Field" : 2 }',
        "int32_field: 1 int64_field: 2",
    ),
    (
        "MultilineNoSpaces",
        '{\n"int32Field"\n:\n1\n,\n"int64Field"\n:\n2\n}',
        "int32_field: 1 int64_field: 2",
    ),
    (
        "MultilineWithSpaces",
        '{\n  "int32Field"  :  1\n  ,\n  "int64Field"  :  2\n}\n',
        "int32_field: 1 int64_field: 2",
    ),
    ("Int32FieldMaxValue", '{"int32Field": 2147483647}', "int32_field: 2147483647"),
    ("Int32FieldMinValue", '{"int32Field": -2147483648}', "int32_field: -2147483648"),
    ("Uint32FieldMaxValue", '{"uint32Field": 4294967295}', "uint32_field: 4294967295"),
    (
        "Int64FieldMaxValue",
        '{"int64Field": "9223372036854775807"}',
        "int64_field: 9223372036854775807",
    ),
    (
        "Int64FieldMinValue",
        '{"int64Field": "-9223372036854775808"}',
        "int64_field: -9223372036854775808",
    ),
    (
        "Uint64FieldMaxValue",
        '{"uint64Field": "18446744073709551615"}',
        "uint64_field: 18446744073709551615",
    ),
    (
        "Int64FieldMaxValueNotQuoted",
        '{"int64Field": 9223372036854774784}',
        "int64_field: 9223372036854774784",
    ),
    (
        "Int64FieldMinValueNotQuoted",
        '{"int64Field": -9223372036854775808}',
        "int64_field: -9223372036854775808",
    ),
    (
        "Uint64FieldMaxValueNotQuoted",
        '{"uint64Field": 18446744073709549568}',
        "uint64_field: 18446744073709549568",
    ),
    ("Int32FieldStringValue", '{"int32Field": "2147483647"}', "int32_field: 2147483647"),
    (
        "Int32FieldStringValueEscaped",
        r'{"int32Field": "2\u003147483647"}',
        "int32_field: 2147483647",
    ),
    ("Int32FieldStringValueZero", '{"int32Field": "0"}', ""),
    ("Int32FieldQuotedExponentialValue", '{"int32Field": "1e5"}', "int32_field: 100000"),
    ("Int32FieldFloatTrailingZero", '{"int32Field": 100000.000}', "int32_field: 100000"),
    ("Int32FieldExponentialFormat", '{"int32Field": 1e5}', "int32_field: 100000"),
    ("Int32FieldMaxFloatValue", '{"int32Field": 2.147483647e9}', "int32_field: 2147483647"),
    ("Int32FieldMinFloatValue", '{"int32Field": -2.147483648e9}', "int32_field: -2147483648"),
    ("Uint32FieldMaxFloatValue", '{"uint32Field": 4.294967295e9}', "uint32_field: 4294967295"),
    ("BoolFieldTrue", '{"boolField":true}', "bool_field: true"),
    ("BoolFieldFalse", '{"boolField":false}', ""),
    ("FloatFieldMinPositiveValue", '{"floatField": 1.175494e-38}', "float_field: 1.175494e-38"),
    ("FloatFieldMaxNegativeValue", '{"floatField": -1.175494e-38}', "float_field: -1.175494e-38"),
    ("FloatFieldMaxPositiveValue", '{"floatField": 3.402823e+38}', "float_field: 3.402823e+38"),
    ("FloatFieldMinNegativeValue", '{"floatField": -3.402823e+38}', "float_field: -3.402823e+38"),
    ("FloatFieldQuotedValue", '{"floatField": "1"}', "float_field: 1"),
    (
        "FloatFieldQuotedExponentialValue",
        '{"floatField": "1.175494e-38"}',
        "float_field: 1.175494e-38",
    ),
    ("FloatFieldInfinity", '{"floatField": "Infinity"}', "float_field: inf"),
    ("FloatFieldNegativeInfinity", '{"floatField": "-Infinity"}', "float_field: -inf"),
    ("DoubleFieldMinPositiveValue", '{"doubleField": 2.22507e-308}', "double_field: 2.22507e-308"),
    (
        "DoubleFieldMaxNegativeValue",
        '{"doubleField": -2.22507e-308}',
        "double_field: -2.22507e-308",
    ),
    ("DoubleFieldMaxPositiveValue", '{"doubleField": 1.79769e+308}', "double_field: 1.79769e+308"),
    (
        "DoubleFieldMinNegativeValue",
        '{"doubleField": -1.79769e+308}',
        "double_field: -1.79769e+308",
    ),
    ("DoubleFieldQuotedValue", '{"doubleField": "1"}', "double_field: 1"),
    (
        "DoubleFieldQuotedExponentialValue",
        '{"doubleField": "2.22507e-308"}',
        "double_field: 2.22507e-308",
    ),
    ("DoubleFieldInfinity", '{"doubleField": "Infinity"}', "double_field: inf"),
    ("DoubleFieldNegativeInfinity", '{"doubleField": "-Infinity"}', "double_field: -inf"),
    ("EnumField", '{"enumField": "COLOR_BLUE"}', "enum_field: COLOR_BLUE"),
    ("EnumFieldWithAlias", '{"enumField": "COLOR_RED"}', "enum_field: COLOR_RED"),
    ("EnumFieldWithAliasUseAlias", '{"enumField": "COLOR_SCARLET"}', "enum_field: COLOR_RED"),
    ("EnumFieldNumericValueZero", '{"enumField": 0}', ""),
    ("EnumFieldNumericValueNonZero", '{"enumField": 1}', "enum_field: COLOR_RED"),
    ("EnumFieldUnknownValue", '{"enumField": 123}', "enum_field: 123"),
    ("StringField", '{"stringField": "Hello world!"}', 'string_field: "Hello world!"'),
    ("StringFieldUnicode", '{"stringField": "谷歌"}', 'string_field: "谷歌"'),
    (
        "StringFieldEscape",
        r'{"stringField": "\"\\\/\b\f\n\r\t"}',
        r'string_field: "\"\\/\b\f\n\r\t"',
    ),
    ("StringFieldUnicodeEscape", r'{"stringField": "\u8C37\u6B4C"}', 'string_field: "谷歌"'),
    (
        "StringFieldUnicodeEscapeWithLowercaseHexLetters",
        r'{"stringField": "\u8c37\u6b4c"}',
        'string_field: "谷歌"',
    ),
    (
        "StringFieldSurrogatePair",
        r'{"stringField": "\uD83D\uDE01"}',
        r'string_field: "\xF0\x9F\x98\x81"',
    ),
    (
        "StringFieldEmbeddedNull",
        r'{"stringField": "Hello\u0000world!"}',
        r'string_field: "Hello\000world!"',
    ),
    ("BytesField", '{"bytesField": "AQI="}', r'bytes_field: "\x01\x02"'),
    ("BytesFieldBase64Url", '{"bytesField": "-_"}', r'bytes_field: "\xfb"'),
    ("MessageField", '{"nested": {"number": 1234}}', "nested {number: 1234}"),
    (
        "OneofFieldNullFirst",
        '{"choiceInt32": null, "choiceString": "test"}',
        'choice_string: "test"',
    ),
    (
        "OneofFieldNullSecond",
        '{"choiceString": "test", "choiceInt32": null}',
        'choice_string: "test"',
    ),
    ("OneofZeroMessage", '{"choiceNested": {}}', "choice_nested {}"),
    ("OneofZeroString", '{"choiceString": ""}', 'choice_string: ""'),
    (
        "Int32MapField",
        '{"nestedMap": {"1": {}, "3": {}}}',
        "nested_map {key: 1 value {}} nested_map {key: 3 value {}}",
    ),
    ("Int64MapField", '{"int64Map": {"1": 2}}', "int64_map {key: 1 value: 2}"),
    (
        "BoolMapField",
        '{"boolMap": {"true": 1, "false": 0}}',
        "bool_map {key: true value: 1} bool_map {key: false value: 0}",
    ),
    (
        "MessageMapField",
        '{"nestedMap": {"1": {"number": 5}}}',
        "nested_map {key: 1 value {number: 5}}",
    ),
    ("Int32MapEscapedKey", r'{"nestedMap": {"\u0031": {}}}', "nested_map {key: 1 value {}}"),
    ("Int64MapEscapedKey", r'{"int64Map": {"\u0031": 2}}', "int64_map {key: 1 value: 2}"),
    ("BoolMapEscapedKey", r'{"boolMap": {"tr\u0075e": 1}}', "bool_map {key: true value: 1}"),
    ("PrimitiveRepeatedField", '{"int32List": [1, 2, 3, 4]}', "int32_list: [1, 2, 3, 4]"),
    (
        "EnumRepeatedField",
        '{"enumList": ["COLOR_RED", "COLOR_BLUE"]}',
        "enum_list: [COLOR_RED, COLOR_BLUE]",
    ),
    (
        "StringRepeatedField",
        '{"stringList": ["Hello", "world"]}',
        'string_list: ["Hello", "world"]',
    ),
    (
        "BytesRepeatedField",
        '{"bytesList": ["AAEC", "AQI="]}',
        r'bytes_list: ["\x00\x01\x02", "\x01\x02"]',
    ),
    (
        "MessageRepeatedField",
        '{"nestedList": [{"number": 1}, {"number": 2}]}',
        "nested_list {number: 1} nested_list {number: 2}",
    ),
    ("OptionalBoolWrapper", '{"boolWrapper": false}', "bool_wrapper {}"),
    ("OptionalInt32Wrapper", '{"int32Wrapper": 0}', "int32_wrapper {}"),
    ("OptionalUint32Wrapper", '{"uint32Wrapper": 0}', "uint32_wrapper {}"),
    ("OptionalInt64Wrapper", '{"int64Wrapper": 0}', "int64_wrapper {}"),
    ("OptionalUint64Wrapper", '{"uint64Wrapper": 0}', "uint64_wrapper {}"),
    ("OptionalFloatWrapper", '{"floatWrapper": 0}', "float_wrapper {}"),
    ("OptionalDoubleWrapper", '{"doubleWrapper": 0}', "double_wrapper {}"),
    ("OptionalStringWrapper", '{"stringWrapper": ""}', "string_wrapper {}"),
    ("OptionalBytesWrapper", '{"bytesWrapper": ""}', "bytes_wrapper {}"),
    (
        "OptionalWrapperTypesWithNonDefaultValue",
        (
            '{"boolWrapper": true, "int32Wrapper": 1, "uint32Wrapper": 1, "int64Wrapper": "1", "uint64Wrapper": "1",'
            ' "floatWrapper": 1, "doubleWrapper": 1, "stringWrapper": "1", "bytesWrapper": "AQI="}'
        ),
        (
            "bool_wrapper {value: true} int32_wrapper {value: 1} uint32_wrapper {value: 1} int64_wrapper {value: 1}"
            " uint64_wrapper {value: 1} float_wrapper {value: 1} double_wrapper {value: 1} string_wrapper {value: '1'}"
            r' bytes_wrapper {value: "\x01\x02"}'
        ),
    ),
    (
        "RepeatedInt32Wrapper",
        '{"int32WrapperList": [0, 1]}',
        "int32_wrapper_list {} int32_wrapper_list {value: 1}",
    ),
    (
        "WrapperTypesWithNullValue",
        '{"boolWrapper": null, "int32Wrapper": null, "stringWrapper": null, "int32WrapperList": null}',
        "",
    ),
    (
        "DurationMinValue",
        '{"durationField": "-315576000000.999999999s"}',
        "duration_field {seconds: -315576000000 nanos: -999999999}",
    ),
    (
        "DurationMaxValue",
        '{"durationField": "315576000000.999999999s"}',
        "duration_field {seconds: 315576000000 nanos: 999999999}",
    ),
    ("DurationNull", '{"durationField": null}', ""),
    ("DurationNegativeSeconds", '{"durationField": "-5s"}', "duration_field {seconds: -5}"),
    ("DurationNegativeNanos", '{"durationField": "-0.5s"}', "duration_field {nanos: -500000000}"),
    (
        "TimestampMinValue",
        '{"timestampField": "0001-01-01T00:00:00Z"}',
        "timestamp_field {seconds: -62135596800}",
    ),
    (
        "TimestampMaxValue",
        '{"timestampField": "9999-12-31T23:59:59.999999999Z"}',
        "timestamp_field {seconds: 253402300799 nanos: 999999999}",
    ),
    (
        "TimestampRepeatedValue",
        '{"timestampList": ["0001-01-01T00:00:00Z"]}',
        "timestamp_list {seconds: -62135596800}",
    ),
    (
        "TimestampLeap",
        '{"timestampField": "1993-02-10T00:00:00.000Z"}',
        "timestamp_field {seconds: 729302400}",
    ),
    (
        "TimestampWithPositiveOffset",
        '{"timestampField": "1970-01-01T08:00:01+08:00"}',
        "timestamp_field {seconds: 1}",
    ),
    (
        "TimestampWithNegativeOffset",
        '{"timestampField": "1969-12-31T16:00:01-08:00"}',
        "timestamp_field {seconds: 1}",
    ),
    ("TimestampNull", '{"timestampField": null}', ""),
    ("FieldMask", '{"maskField": "foo,barBaz"}', 'mask_field {paths: "foo" paths: "bar_baz"}'),
    ("EmptyFieldMask", '{"maskField": ""}', "mask_field {}"),
    (
        "Struct",
        '{"structField": {"n": null, "i": 1234, "b": true, "d": 1234.5678, "s": "x", "l": [1, "2"], "o": {"v": 0}}}',
        (
            "struct_field {fields {key: 'n' value {null_value: NULL_VALUE}} fields {key: 'i' value {number_value: 1234}}"
            " fields {key: 'b' value {bool_value: true}} fields {key: 'd' value {number_value: 1234.5678}}"
            " fields {key: 's' value {string_value: 'x'}} fields {key: 'l' value {list_value {values {number_value: 1}"
            " values {string_value: '2'}}}} fields {key: 'o' value {struct_value {fields {key: 'v' value {number_value: 0}}}}}}"
        ),
    ),
    (
        "StructWithEmptyListValue",
        '{"structField": {"l": []}}',
        "struct_field {fields {key: 'l' value {list_value {}}}}",
    ),
    ("ValueAcceptInteger", '{"valueField": 1}', "value_field {number_value: 1}"),
    ("ValueAcceptFloat", '{"valueField": 1.5}', "value_field {number_value: 1.5}"),
    ("ValueAcceptBool", '{"valueField": false}', "value_field {bool_value: false}"),
    ("ValueAcceptNull", '{"valueField": null}', "value_field {null_value: NULL_VALUE}"),
    ("ValueAcceptString", '{"valueField": "hello"}', "value_field {string_value: 'hello'}"),
    (
        "ValueAcceptList",
        '{"valueField": [0, "hello"]}',
        "value_field {list_value {values {number_value: 0} values {string_value: 'hello'}}}",
    ),
    (
        "ValueAcceptObject",
        '{"valueField": {"value": 1}}',
        "value_field {struct_value {fields {key: 'value' value {number_value: 1}}}}",
    ),
    (
        "RepeatedValue",
        '{"valueList": [["a"]]}',
        "value_list {list_value {values {string_value: 'a'}}}",
    ),
    (
        "RepeatedListValue",
        '{"listValueField": ["a"]}',
        "list_value_field {values {string_value: 'a'}}",
    ),
    ("NullValueInOtherOneofOldFormat", '{"choiceNull": "NULL_VALUE"}', "choice_null: NULL_VALUE"),
    ("NullValueInOtherOneofNewFormat", '{"choiceNull": null}', "choice_null: NULL_VALUE"),
    (
        "Any",
        '{"anyField": {"@type": "type.googleapis.com/echo.v1.Nested", "number": 5}}',
        "any_field {[type.googleapis.com/echo.v1.Nested] {number: 5}}",
    ),
    (
        "AnyNested",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Any", "value": {"@type": "type.googleapis.com/echo.v1.Nested", "number": 5}}}',
        "any_field {[type.googleapis.com/google.protobuf.Any] {[type.googleapis.com/echo.v1.Nested] {number: 5}}}",
    ),
    (
        "AnyUnorderedTypeTag",
        '{"anyField": {"number": 5, "@type": "type.googleapis.com/echo.v1.Nested"}}',
        "any_field {[type.googleapis.com/echo.v1.Nested] {number: 5}}",
    ),
    (
        "AnyWithInt32ValueWrapper",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 5}}',
        "any_field {[type.googleapis.com/google.protobuf.Int32Value] {value: 5}}",
    ),
    (
        "AnyWithDuration",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.5s"}}',
        "any_field {[type.googleapis.com/google.protobuf.Duration] {seconds: 1 nanos: 500000000}}",
    ),
    (
        "AnyWithTimestamp",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": "1970-01-01T00:00:00Z"}}',
        "any_field {[type.googleapis.com/google.protobuf.Timestamp] {}}",
    ),
    (
        "AnyWithFieldMask",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.FieldMask", "value": "foo,barBaz"}}',
        "any_field {[type.googleapis.com/google.protobuf.FieldMask] {paths: ['foo', 'bar_baz']}}",
    ),
    (
        "AnyWithStruct",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"foo": 1}}}',
        "any_field {[type.googleapis.com/google.protobuf.Struct] {fields {key: 'foo' value {number_value: 1}}}}",
    ),
    (
        "AnyWithValueForJsonObject",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Value", "value": {"foo": 1}}}',
        "any_field {[type.googleapis.com/google.protobuf.Value] {struct_value {fields {key: 'foo' value {number_value: 1}}}}}",
    ),
    (
        "AnyWithValueForInteger",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Value", "value": 1}}',
        "any_field {[type.googleapis.com/google.protobuf.Value] {number_value: 1}}",
    ),
    (
        "AnyEmpty",
        '{"anyField": {"@type": "type.googleapis.com/google.protobuf.Empty"}}',
        "any_field {[type.googleapis.com/google.protobuf.Empty] {}}",
    ),
    ("AnyWithNoType", '{"anyField": {}}', "any_field {}"),
    ("AnyNull", '{"anyField": null}', ""),
    (
        "AllFieldAcceptNull",
        (
            '{"int32Field": null, "int64Field": null, "uint32Field": null, "uint64Field": null, "sint32Field": null,'
            ' "sint64Field": null, "fixed32Field": null, "fixed64Field": null, "sfixed32Field": null, "sfixed64Field": null,'
            ' "floatField": null, "doubleField": null, "boolField": null, "stringField": null, "bytesField": null,'
            ' "enumField": null, "nested": null, "int32List": null, "floatList": null, "doubleList": null, "boolList": null,'
            ' "stringList": null, "bytesList": null, "enumList": null, "nestedList": null, "stringMap": null,'
            ' "boolMap": null, "nestedMap": null, "optionalInt32": null, "choiceString": null, "structField": null}'
        ),
        "",
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ]
)
def test_reads(text: str, expected: str) -> None:
    """What the suite accepts becomes the message that the suite expects, and survives being printed."""
    wanted = text_format.Parse(expected, EVERYTHING(), descriptor_pool=POOL)

    message = decoded(text)

    assert message == wanted
    assert decoded(print_json(encoded(message))) == wanted


@pytest.mark.parametrize("field", ["floatField", "doubleField"])
def test_reads_nan(field: str) -> None:
    """FloatFieldNan, DoubleFieldNan: NaN is read, and printed as the word."""
    message = decoded(f'{{"{field}": "NaN"}}')

    assert encoded(message) == {field: "NaN"}


# (name of the case, JSON in)
REFUSED = [
    ("StringEndsWithEscapeChar", '{"stringField": "abc\\'),
    ("FieldNameNotQuoted", "{int32Field: 1}"),
    ("TrailingCommaInAnObject", '{"int32Field":1,}'),
    ("TrailingCommaInAnObjectWithSpace", '{"int32Field":1 ,}'),
    ("TrailingCommaInAnObjectWithSpaceCommaSpace", '{"int32Field":1 , }'),
    ("TrailingCommaInAnObjectWithNewlines", '{\n"int32Field":1,\n}'),
    ("JsonWithComments", '{\n// This is a comment.\n"int32Field": 1\n}'),
    ("MissingCommaOneLine", '{ "int32Field": 1 "int64Field": 2 }'),
    ("MissingCommaMultiline", '{\n  "int32Field": 1\n  "int64Field": 2\n}'),
    ("FieldNameDuplicate", '{"nested": {"number": 1}, "nested": {}}'),
    ("FieldNameDuplicateDifferentCasing1", '{"int32_field": 1, "int32Field": 2}'),
    ("FieldNameDuplicateDifferentCasing2", '{"int32Field": 1, "int32_field": 2}'),
    ("Int32FieldTooLarge", '{"int32Field": 2147483648}'),
    ("Int32FieldTooSmall", '{"int32Field": -2147483649}'),
    ("Uint32FieldTooLarge", '{"uint32Field": 4294967296}'),
    ("Int64FieldTooLarge", '{"int64Field": "9223372036854775808"}'),
    ("Int64FieldTooSmall", '{"int64Field": "-9223372036854775809"}'),
    ("Uint64FieldTooLarge", '{"uint64Field": "18446744073709551616"}'),
    ("Uint64QuotedExponentFieldTooLarge", '{"uint64Field": "1e536870000"}'),
    ("Int32FieldNotInteger", '{"int32Field": 0.5}'),
    ("Uint32FieldNotInteger", '{"uint32Field": 0.5}'),
    ("Int64FieldNotInteger", '{"int64Field": "0.5"}'),
    ("Uint64FieldNotInteger", '{"uint64Field": "0.5"}'),
    ("Int32FieldTrueValue", '{"int32Field": true}'),
    ("Int32FieldFalseValue", '{"int32Field": false}'),
    ("Int32FieldNotNumber", '{"int32Field": "3x3"}'),
    ("Uint32FieldNotNumber", '{"uint32Field": "3x3"}'),
    ("Int64FieldNotNumber", '{"int64Field": "3x3"}'),
    ("Uint64FieldNotNumber", '{"uint64Field": "3x3"}'),
    ("Int32FieldStringValuePartiallyNumeric", '{"int32Field": "12abc"}'),
    ("Int32FieldStringValuePartiallyNumericSpace", '{"int32Field": "12 34"}'),
    ("Int32FieldStringValuePartiallyNumericComma", '{"int32Field": "12,34"}'),
    ("Int32FieldStringValuePartiallyNumericUnicode", '{"int32Field": "12谷歌34"}'),
    ("Int32FieldStringValueNonNumeric", '{"int32Field": "abc"}'),
    ("Int32FieldStringValueArabicIndicDigits", '{"int32Field": "١٢٣"}'),
    ("Int64FieldStringValueFullwidthDigits", '{"int64Field": "１２３"}'),  # noqa: RUF001 -- the case
    ("Int32FieldEmptyString", '{"int32Field": ""}'),
    ("Uint32FieldEmptyString", '{"uint32Field": ""}'),
    ("Int64FieldEmptyString", '{"int64Field": ""}'),
    ("Uint64FieldEmptyString", '{"uint64Field": ""}'),
    ("Int32FieldPlusSign", '{"int32Field": +1}'),
    ("Int32FieldLeadingZero", '{"int32Field": 01}'),
    ("Int32FieldNegativeWithLeadingZero", '{"int32Field": -01}'),
    ("Int32FieldLeadingSpace", '{"int32Field": " 1"}'),
    ("Int32FieldTrailingSpace", '{"int32Field": "1 "}'),
    ("BoolFieldIntegerZero", '{"boolField":0}'),
    ("BoolFieldIntegerOne", '{"boolField":1}'),
    ("BoolFieldCamelCaseTrue", '{"boolField":True}'),
    ("BoolFieldAllCapitalFalse", '{"boolField":FALSE}'),
    ("BoolFieldDoubleQuotedTrue", '{"boolField":"true"}'),
    ("BoolFieldDoubleQuotedFalse", '{"boolField":"false"}'),
    ("FloatFieldNanNotQuoted", '{"floatField": NaN}'),
    ("FloatFieldInfinityNotQuoted", '{"floatField": Infinity}'),
    ("FloatFieldNegativeInfinityNotQuoted", '{"floatField": -Infinity}'),
    ("FloatFieldTooSmall", '{"floatField": -3.502823e+38}'),
    ("FloatFieldTooLarge", '{"floatField": 3.502823e+38}'),
    ("FloatFieldEmptyString", '{"floatField": ""}'),
    ("FloatFieldStringValuePartiallyNumeric", '{"floatField": "12abc"}'),
    ("FloatFieldStringValueNonNumeric", '{"floatField": "abc"}'),
    ("FloatFieldTrueValue", '{"floatField": true}'),
    ("DoubleFieldNanNotQuoted", '{"doubleField": NaN}'),
    ("DoubleFieldInfinityNotQuoted", '{"doubleField": Infinity}'),
    ("DoubleFieldTooSmall", '{"doubleField": -1.89769e+308}'),
    ("DoubleFieldTooLarge", '{"doubleField": 1.89769e+308}'),
    ("DoubleFieldTooLarge, quoted", '{"doubleField": "1.89769e+308"}'),
    ("DoubleFieldEmptyString", '{"doubleField": ""}'),
    ("DoubleFieldFalseValue", '{"doubleField": false}'),
    ("EnumFieldNotQuoted", '{"enumField": COLOR_RED}'),
    ("StringFieldUppercaseEscapeLetter", r'{"stringField": "\U8C37\U6b4C"}'),
    ("StringFieldInvalidEscape", r'{"stringField": "\uXXXX\u6B4C"}'),
    ("StringFieldUnterminatedEscape", r'{"stringField": "\u8C3"}'),
    ("StringFieldUnpairedHighSurrogate", r'{"stringField": "\uD800"}'),
    ("StringFieldUnpairedLowSurrogate", r'{"stringField": "\uDC00"}'),
    ("StringFieldSurrogateInWrongOrder", r'{"stringField": "\uDE01\uD83D"}'),
    ("StringFieldNotAString", '{"stringField": 12345}'),
    ("StringFieldSingleQuoteKey", "{'stringField': \"Hello world!\"}"),
    ("StringFieldSingleQuoteValue", "{\"stringField\": 'Hello world!'}"),
    ("StringFieldSingleQuoteBoth", "{'stringField': 'Hello world!'}"),
    ("OneofFieldDuplicate", '{"choiceInt32": 1, "choiceString": "test"}'),
    ("Int32MapFieldKeyNotQuoted", '{"nestedMap": {1: {}}}'),
    ("BoolMapFieldKeyNotQuoted", '{"boolMap": {true: 1}}'),
    ("RepeatedFieldWrongElementTypeExpectingIntegersGotBool", '{"int32List": [1, false, 3, 4]}'),
    ("RepeatedFieldWrongElementTypeExpectingIntegersGotString", '{"int32List": [1, 2, "name", 4]}'),
    (
        "RepeatedFieldWrongElementTypeExpectingIntegersGotMessage",
        '{"int32List": [1, 2, 3, {"a": 4}]}',
    ),
    ("RepeatedFieldWrongElementTypeExpectingStringsGotInt", '{"stringList": ["1", 2, "3", "4"]}'),
    (
        "RepeatedFieldWrongElementTypeExpectingStringsGotBool",
        '{"stringList": ["1", "2", false, "4"]}',
    ),
    (
        "RepeatedFieldWrongElementTypeExpectingStringsGotMessage",
        '{"stringList": ["1", "3", {"a": 4}]}',
    ),
    ("RepeatedFieldWrongElementTypeExpectingMessagesGotInt", '{"nestedList": [{"number": 1}, 2]}'),
    (
        "RepeatedFieldWrongElementTypeExpectingMessagesGotBool",
        '{"nestedList": [{"number": 1}, false]}',
    ),
    (
        "RepeatedFieldWrongElementTypeExpectingMessagesGotString",
        '{"nestedList": [{"number": 1}, "2"]}',
    ),
    ("RepeatedFieldTrailingComma", '{"int32List": [1, 2, 3, 4,]}'),
    ("RepeatedFieldTrailingCommaWithSpaceCommaSpace", '{"int32List": [1, 2, 3, 4 , ]}'),
    ("RepeatedFieldTrailingCommaWithNewlines", '{"int32List": [\n  1,\n  2,\n]}'),
    ("RepeatedFieldPrimitiveElementIsNull", '{"int32List": [1, null, 2]}'),
    ("RepeatedFieldMessageElementIsNull", '{"nestedList": [{"number":1}, null, {"number":2}]}'),
    ("MapFieldKeyIsNull", '{"nestedMap": {null: 1}}'),
    ("MapFieldValueIsNull", '{"int64Map": {"0": null}}'),
    ("DurationMissingS", '{"durationField": "1"}'),
    ("DurationJsonInputTooSmall", '{"durationField": "-315576000001.000000000s"}'),
    ("DurationJsonInputTooLarge", '{"durationField": "315576000001.000000000s"}'),
    ("TimestampJsonInputTooSmall", '{"timestampField": "0000-01-01T00:00:00Z"}'),
    ("TimestampJsonInputTooLarge", '{"timestampField": "10000-01-01T00:00:00Z"}'),
    ("TimestampJsonInputMissingZ", '{"timestampField": "0001-01-01T00:00:00"}'),
    ("TimestampJsonInputMissingT", '{"timestampField": "0001-01-01 00:00:00Z"}'),
    ("TimestampJsonInputLowercaseZ", '{"timestampField": "0001-01-01T00:00:00z"}'),
    ("TimestampJsonInputLowercaseT", '{"timestampField": "0001-01-01t00:00:00Z"}'),
    ("FieldMaskInvalidCharacter", '{"maskField": "foo,bar_bar"}'),
    ("AnyWktRepresentationWithEmptyTypeAndValue", '{"anyField": {"@type": "", "value": ""}}'),
    ("AnyWktRepresentationWithBadType", '{"anyField": {"@type": "not_a_url", "value": ""}}'),
    ("RejectUnknownEnumStringValueInOptionalField", '{"enumField": "UNKNOWN"}'),
    ("RejectUnknownEnumStringValueInRepeatedField", '{"enumList": ["UNKNOWN"]}'),
    ("RejectUnknownEnumStringValueInMapValue", '{"boolMap": {"true": "UNKNOWN"}}'),
    ("RejectTopLevelNull", "null"),
]


@pytest.mark.parametrize("text", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refuses(text: str) -> None:
    """What the suite refuses is refused."""
    with pytest.raises(ValueError, match=r".+"):
        decoded(text)


# (name of the case, JSON in, the message in text format)
IGNORED = [
    ("IgnoreUnknownJsonNumber", '{"unknown": 1}', ""),
    ("IgnoreUnknownJsonString", '{"unknown": "a"}', ""),
    ("IgnoreUnknownJsonTrue", '{"unknown": true}', ""),
    ("IgnoreUnknownJsonFalse", '{"unknown": false}', ""),
    ("IgnoreUnknownJsonNull", '{"unknown": null}', ""),
    ("IgnoreUnknownJsonObject", '{"unknown": {"a": 1}}', ""),
    ("IgnoreUnknownEnumStringValueInOptionalField", '{"enum_field": "UNKNOWN"}', ""),
    ("… in a field with presence", '{"optionalEnum": "UNKNOWN"}', ""),
    ("IgnoreUnknownEnumStringValueInRepeatedField", '{"enumList": ["UNKNOWN"]}', ""),
    (
        "IgnoreUnknownEnumStringValueInRepeatedPart",
        '{"enumList": ["COLOR_RED", "UNKNOWN", "COLOR_RED"]}',
        "enum_list: [COLOR_RED, COLOR_RED]",
    ),
    ("IgnoreUnknownEnumStringValueInMapValue", '{"boolMap": {"true": "UNKNOWN"}}', ""),
    (
        "IgnoreUnknownEnumStringValueInMapPart",
        '{"boolMap": {"true": "COLOR_RED", "false": "UNKNOWN"}}',
        "bool_map {key: true value: COLOR_RED}",
    ),
    ("nested", '{"nested": {"unknown": 1, "number": 2}}', "nested {number: 2}"),
]


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in IGNORED], ids=[row[0] for row in IGNORED]
)
def test_lets_the_unknown_pass(text: str, expected: str) -> None:
    """Where unknown fields pass, they and unknown enum names leave no trace; the rest is read."""
    assert decoded(text, ignore_unknown=True) == text_format.Parse(expected, EVERYTHING())


# (name of the case, the message in text format, the JSON value)
PRINTED = [
    ("Int64FieldBeString", "int64_field: 1", {"int64Field": "1"}),
    ("Uint64FieldBeString", "uint64_field: 1", {"uint64Field": "1"}),
    ("EnumFieldUnknownValue", "enum_field: 123", {"enumField": 123}),
    ("SkipsDefaultPrimitive", "int32_field: 0", {}),
    ("NullValueInOtherOneof", "choice_null: NULL_VALUE", {"choiceNull": None}),
    ("DurationHasZeroFractionalDigit", "duration_field {seconds: 1}", {"durationField": "1s"}),
    (
        "DurationHas3FractionalDigits",
        "duration_field {seconds: 1 nanos: 10000000}",
        {"durationField": "1.010s"},
    ),
    (
        "DurationHas6FractionalDigits",
        "duration_field {seconds: 1 nanos: 10000}",
        {"durationField": "1.000010s"},
    ),
    (
        "DurationHas9FractionalDigits",
        "duration_field {seconds: 1 nanos: 10}",
        {"durationField": "1.000000010s"},
    ),
    (
        "TimestampHasZeroFractionalDigit",
        "timestamp_field {}",
        {"timestampField": "1970-01-01T00:00:00Z"},
    ),
    (
        "TimestampHas3FractionalDigits",
        "timestamp_field {nanos: 10000000}",
        {"timestampField": "1970-01-01T00:00:00.010Z"},
    ),
    (
        "TimestampHas6FractionalDigits",
        "timestamp_field {nanos: 10000}",
        {"timestampField": "1970-01-01T00:00:00.000010Z"},
    ),
    (
        "TimestampHas9FractionalDigits",
        "timestamp_field {nanos: 10}",
        {"timestampField": "1970-01-01T00:00:00.000000010Z"},
    ),
    (
        "AnyEmpty",
        "any_field {[type.googleapis.com/google.protobuf.Empty] {}}",
        {"anyField": {"@type": "type.googleapis.com/google.protobuf.Empty"}},
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in PRINTED], ids=[row[0] for row in PRINTED]
)
def test_prints(text: str, expected: dict[str, Any]) -> None:
    """What the suite looks for in the printed JSON is there."""
    message = text_format.Parse(text, EVERYTHING(), descriptor_pool=POOL)

    assert encoded(message) == expected


def test_prints_timestamps_in_utc() -> None:
    """TimestampZeroNormalized: an offset is gone after the way through."""
    message = decoded('{"timestampField": "1969-12-31T16:00:00-08:00"}')

    assert encoded(message) == {"timestampField": "1970-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("FloatFieldNormalizeQuietNan", bytes.fromhex("15 4523a17f")),
        ("FloatFieldNormalizeSignalingNan", bytes.fromhex("15 2143b5ff")),
        ("DoubleFieldNormalizeQuietNan", bytes.fromhex("09 bc9a785634 12fa7f")),
        ("DoubleFieldNormalizeSignalingNan", bytes.fromhex("09 21436587a9cbfbff")),
    ],
)
def test_normalizes_nan(name: str, data: bytes) -> None:
    """Every pattern of bits that is a NaN is printed as the one word."""
    assert list(encoded(EVERYTHING.FromString(data)).values()) == ["NaN"]


# (name of the case, the message in text format)
UNPRINTABLE = [
    ("DurationProtoInputTooSmall", "duration_field {seconds: -315576000001}"),
    ("DurationProtoInputTooLarge", "duration_field {seconds: 315576000001}"),
    ("DurationProtoNanosTooLarge", "duration_field {nanos: 1000000000}"),
    ("DurationProtoNanosWrongSign", "duration_field {seconds: 1 nanos: -1}"),
    ("DurationProtoNanosWrongSignNegativeSecs", "duration_field {seconds: -1 nanos: 1}"),
    ("TimestampProtoInputTooSmall", "timestamp_field {seconds: -62135596801}"),
    ("TimestampProtoInputTooLarge", "timestamp_field {seconds: 253402300800}"),
    ("TimestampProtoNegativeNanos", "timestamp_field {nanos: -1}"),
    ("TimestampProtoNanoTooLarge", "timestamp_field {nanos: 1000000000}"),
    ("FieldMaskPathsDontRoundTrip", 'mask_field {paths: "fooBar"}'),
    ("FieldMaskNumbersDontRoundTrip", 'mask_field {paths: "foo_3_bar"}'),
    ("FieldMaskTooManyUnderscore", 'mask_field {paths: "foo__bar"}'),
    ("an empty path does not round-trip", 'mask_field {paths: ""}'),
    ("a path with a comma does not round-trip", 'mask_field {paths: "a,b"}'),
    ("ValueRejectNanNumberValue", "value_field {number_value: nan}"),
    ("ValueRejectInfNumberValue", "value_field {number_value: inf}"),
]


@pytest.mark.parametrize(
    "text", [row[1] for row in UNPRINTABLE], ids=[row[0] for row in UNPRINTABLE]
)
def test_refuses_to_print(text: str) -> None:
    """What has no JSON is an error, and not some JSON."""
    message = text_format.Parse(text, EVERYTHING())

    with pytest.raises(ValueError, match=r"out of range|has no"):
        encoded(message)


def test_extensions_and_defaults_of_proto2() -> None:
    """FieldNameExtension, StoresDefaultPrimitive: a name in brackets, and a zero that was set."""
    text = '{"id": "", "count": 0, "[legacy.note]": "x", "[legacy.numbers]": [1]}'

    assert encoded(decoded(text, OLD)) == parse_json(text.encode())


# Cases that are not followed: (name, JSON in, why it is refused)
NOT_FOLLOWED = [
    (
        "EnumFieldWithAliasLowerCase",
        '{"enumField": "color_scarlet"}',
        "enum names are case-sensitive in the prose",
    ),
    (
        "EnumFieldWithAliasDifferentCase",
        '{"enumField": "cOLOR_RED"}',
        "enum names are case-sensitive in the prose",
    ),
]


@pytest.mark.parametrize(
    ("text", "reason"), [row[1:] for row in NOT_FOLLOWED], ids=[row[0] for row in NOT_FOLLOWED]
)
def test_differs_on_purpose(text: str, reason: str) -> None:
    """What the suite accepts and we refuse is listed here, with its reason."""
    with pytest.raises(ValueError, match=r"has no value|unknown field"):
        decoded(text)

    assert reason
