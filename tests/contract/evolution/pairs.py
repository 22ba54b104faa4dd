"""Pairs of contracts that differ in one thing, for the rules that `buf breaking` has too.

`buf_verdicts.json` holds what it said of each; `make evolution` asks it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Final

SCALARS: Final = (
    *("double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string"),
    *("bytes", "uint32", "sfixed32", "sfixed64", "sint32", "sint64", "E", "N"),
)
"""All types of fields; `E` is an enum, and `N` a message."""


@dataclass(frozen=True)
class Pair:
    """Two revisions of a contract: files by name, without the folder and the header that `files` adds."""

    name: str
    old: Mapping[str, str]
    new: Mapping[str, str]
    old_syntax: str = "proto3"
    new_syntax: str = "proto3"
    new_package: str = ""
    """Package of the new files if it is another one."""
    imports: tuple[str, ...] = field(default=())
    """Files that all files but themselves import."""

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> str:
        """The folder of its files, so that all pairs fit into one descriptor set."""
        return f"pairs/{self.name}"

    def files(self, *, new: bool) -> Iterator[tuple[str, str]]:
        """Yields path and text of the files of one side."""
        syntax = self.new_syntax if new else self.old_syntax
        package = f"pairs.{self.name}" + (self.new_package if new else "")
        head = f'edition = "{syntax}";' if syntax.isdigit() else f'syntax = "{syntax}";'
        for name, text in (self.new if new else self.old).items():
            imported = [each for each in self.imports if each != name]
            lines = [head, f"package {package};"]
            lines += (
                f'import "{each if "/" in each else f"{self.folder}/{each}"}";' for each in imported
            )
            yield f"{self.folder}/{name}", "\n".join((*lines, text))


def _files(given: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"a.proto": given} if isinstance(given, str) else given


def _pair(
    name: str,
    old: str | Mapping[str, str],
    new: str | Mapping[str, str],
    syntax: str = "proto3",
    new_syntax: str = "",
    new_package: str = "",
    imports: tuple[str, ...] = (),
) -> Pair:
    return Pair(name, _files(old), _files(new), syntax, new_syntax or syntax, new_package, imports)


def _fields() -> Iterator[Pair]:
    m = "message M {{ int32 a = 1; {} }}".format
    yield _pair("nothing", m("string b = 2;"), m("string b = 2;"))
    yield _pair("field_added", m(""), m("string b = 2;"))
    yield _pair("field_added_in_the_middle", m("string c = 3;"), m("string b = 2; string c = 3;"))
    yield _pair(
        "fields_in_another_order", m("string b = 2;"), "message M { string b = 2; int32 a = 1; }"
    )
    yield _pair("field_deleted", m("string b = 2;"), m(""))
    yield _pair("field_deleted_number_reserved", m("string b = 2;"), m("reserved 2;"))
    yield _pair("field_deleted_name_reserved", m("string b = 2;"), m('reserved "b";'))
    yield _pair("field_deleted_both_reserved", m("string b = 2;"), m('reserved 2; reserved "b";'))
    yield _pair("field_deleted_in_a_range", m("string b = 5;"), m('reserved 2 to 9; reserved "b";'))
    yield _pair("field_deleted_to_max", m("string b = 5;"), m('reserved 2 to max; reserved "b";'))
    yield _pair(
        "field_deleted_beside_the_range", m("string b = 5;"), m('reserved 2 to 4; reserved "b";')
    )
    yield _pair("field_renamed", m("string b = 2;"), m("string c = 2;"))
    yield _pair("field_renamed_json_kept", m("string b = 2;"), m('string c = 2 [json_name = "b"];'))
    yield _pair("field_renamed_same_json", m("string b_c = 2;"), m("string bC = 2;"))
    yield _pair("field_json_name", m("string b = 2;"), m('string b = 2 [json_name = "x"];'))
    yield _pair(
        "field_json_name_as_by_default",
        m("string b_c = 2;"),
        m('string b_c = 2 [json_name = "bC"];'),
    )
    yield _pair("field_renumbered", m("string b = 2;"), m("string b = 3;"))
    yield _pair("field_renumbered_reserved", m("string b = 2;"), m("string b = 3; reserved 2;"))
    yield _pair(
        "field_numbers_swapped", m("string b = 2;"), "message M { int32 a = 2; string b = 1; }"
    )
    yield _pair("field_number_used_again", m("string b = 2;"), m("bytes z = 2;"))
    yield _pair("field_jstype", m("int64 b = 2;"), m("int64 b = 2 [jstype = JS_STRING];"))
    yield _pair(
        "field_jstype_of_other_types", m("int64 b = 2 [jstype = JS_STRING];"), m("int32 b = 2;")
    )
    yield _pair("field_ctype", m("string b = 2;"), m("string b = 2 [ctype = CORD];"))
    yield _pair(
        "field_ctype_piece_to_string", m("string b = 2 [ctype = STRING_PIECE];"), m("string b = 2;")
    )
    yield _pair("field_deprecated", m("string b = 2;"), m("string b = 2 [deprecated = true];"))
    yield _pair(
        "field_packed", m("repeated int32 b = 2;"), m("repeated int32 b = 2 [packed = false];")
    )
    yield _pair("field_optional_added", m("string b = 2;"), m("optional string b = 2;"))
    yield _pair("field_optional_removed", m("optional string b = 2;"), m("string b = 2;"))
    yield _pair("field_repeated", m("string b = 2;"), m("repeated string b = 2;"))
    yield _pair("field_singular", m("repeated string b = 2;"), m("string b = 2;"))
    yield _pair(
        "field_optional_to_repeated", m("optional int32 b = 2;"), m("repeated int32 b = 2;")
    )
    yield _pair("message_field_repeated", m("M b = 2;"), m("repeated M b = 2;"))
    yield _pair("field_to_map", m("string b = 2;"), m("map<string, string> b = 2;"))
    yield _pair("map_to_field", m("map<string, string> b = 2;"), m("string b = 2;"))
    yield _pair(
        "map_to_repeated_messages",
        m("map<string, string> b = 2;"),
        m("message X { string key = 1; string value = 2; } repeated X b = 2;"),
    )
    yield _pair("map_value_type", m("map<string, string> b = 2;"), m("map<string, int32> b = 2;"))
    yield _pair(
        "map_value_compatible", m("map<string, int32> b = 2;"), m("map<string, uint32> b = 2;")
    )
    yield _pair("map_key_type", m("map<string, string> b = 2;"), m("map<int32, string> b = 2;"))
    yield _pair("map_renamed", m("map<string, string> b = 2;"), m("map<string, string> c = 2;"))
    yield _pair("map_deleted", m("map<string, string> b = 2;"), m('reserved 2; reserved "b";'))
    yield _pair(
        "several_changes", m("string b = 2; string c = 3;"), m("int32 b = 2; string d = 3;")
    )


def _types() -> Iterator[Pair]:
    for old, new in permutations(SCALARS, 2):
        text = "enum E {{ Z = 0; }} message N {{}} message M {{ {} a = 1; }}".format
        yield _pair(f"type_{old.lower()}_to_{new.lower()}", text(old), text(new))
    base = "message A {{}} message B {{}} message M {{ {} a = 1; }}".format
    yield _pair("message_type", base("A"), base("B"))
    enums = (
        "enum A {{ Z = 0; Y = 1; }} message O {{ enum A {{ Z = 0; Y = 1; {} }} }}"
        " message M {{ {} a = 1; }}"
    )
    yield _pair("enum_moved", enums.format("", "A"), enums.format("", "O.A"))
    yield _pair("enum_moved_and_wider", enums.format("", "A"), enums.format("X = 2;", "O.A"))
    yield _pair(
        "enum_moved_and_narrower", enums.format("X = 2;", "O.A"), enums.format("X = 2;", "A")
    )
    other = (
        "enum A {{ Z = 0; }} message O {{ enum B {{ Z = 0; }} enum A {{ Q = 0; }} }}"
        " message M {{ {} a = 1; }}"
    )
    yield _pair("enum_of_another_name", other.format("A"), other.format("O.B"))
    yield _pair("enum_of_other_values", other.format("A"), other.format("O.A"))
    yield _pair(
        "enum_moved_to_int32_and_renamed",
        "enum A { Z = 0; } message M { A a = 1; }",
        "enum A { Z = 0; } message M { int32 b = 1; }",
    )
    yield _pair(
        "well_known_type",
        "message M { google.protobuf.Timestamp a = 1; }",
        "message M { google.protobuf.Duration a = 1; }",
        imports=("google/protobuf/timestamp.proto", "google/protobuf/duration.proto"),
    )
    yield _pair(
        "scalar_to_wrapper",
        "message M { string a = 1; }",
        "message M { google.protobuf.StringValue a = 1; }",
        imports=("google/protobuf/wrappers.proto",),
    )


def _oneofs() -> Iterator[Pair]:
    m = "message M {{ {} }}".format
    yield _pair(
        "into_oneof", m("string a = 1; string b = 2;"), m("oneof o { string a = 1; string b = 2; }")
    )
    yield _pair(
        "out_of_oneof",
        m("oneof o { string a = 1; string b = 2; }"),
        m("string a = 1; string b = 2;"),
    )
    yield _pair(
        "one_into_oneof",
        m("oneof o { string a = 1; } string b = 2;"),
        m("oneof o { string a = 1; string b = 2; }"),
    )
    yield _pair(
        "one_out_of_oneof",
        m("oneof o { string a = 1; string b = 2; }"),
        m("oneof o { string a = 1; } string b = 2;"),
    )
    yield _pair("oneof_renamed", m("oneof o { string a = 1; }"), m("oneof p { string a = 1; }"))
    yield _pair(
        "between_oneofs",
        m("oneof o { int32 x = 3; string a = 1; } oneof p { string b = 2; }"),
        m("oneof o { int32 x = 3; } oneof p { string b = 2; string a = 1; }"),
    )
    yield _pair("optional_into_oneof", m("optional string a = 1;"), m("oneof o { string a = 1; }"))
    yield _pair("oneof_to_optional", m("oneof o { string a = 1; }"), m("optional string a = 1;"))
    yield _pair(
        "added_to_oneof",
        m("oneof o { string a = 1; }"),
        m("oneof o { string a = 1; string b = 2; }"),
    )
    yield _pair(
        "deleted_from_oneof",
        m("oneof o { string a = 1; string b = 2; }"),
        m("oneof o { string a = 1; }"),
    )
    yield _pair(
        "deleted_from_oneof_reserved",
        m("oneof o { string a = 1; string b = 2; }"),
        m('oneof o { string a = 1; } reserved 2; reserved "b";'),
    )
    yield _pair(
        "oneof_deleted_reserved",
        m("int32 x = 3; oneof o { string a = 1; }"),
        m('int32 x = 3; reserved 1; reserved "a";'),
    )
    yield _pair("oneof_added", m("int32 x = 3;"), m("int32 x = 3; oneof o { string a = 1; }"))


def _messages() -> Iterator[Pair]:
    yield _pair("message_added", "message M {}", "message M {} message N {}")
    yield _pair("message_deleted", "message M {} message N {}", "message M {}")
    yield _pair("message_renamed", "message M { int32 a = 1; }", "message N { int32 a = 1; }")
    yield _pair("message_moved_inside", "message M {} message N {}", "message M { message N {} }")
    yield _pair("nested_message_deleted", "message M { message N {} }", "message M {}")
    yield _pair(
        "deeply_nested_deleted",
        "message M { message N { message O { enum E { Z = 0; } } } }",
        "message M { message N {} }",
    )
    yield _pair(
        "outer_message_deleted",
        "message L {} message M { message N { enum E { Z = 0; } } }",
        "message L {}",
    )
    yield _pair("nested_enum_deleted", "message M { enum E { Z = 0; } }", "message M {}")
    yield _pair(
        "used_message_renamed",
        "message N {} message M { N a = 1; }",
        "message O {} message M { O a = 1; }",
    )
    m = "message M {{ {} }}".format
    yield _pair("reserved_added", m(""), m('reserved 2; reserved "b";'))
    yield _pair("reserved_number_deleted", m("reserved 2, 3;"), m("reserved 3;"))
    yield _pair("reserved_name_deleted", m('reserved "b", "c";'), m('reserved "c";'))
    yield _pair("reserved_range_shorter", m("reserved 2 to 9;"), m("reserved 2 to 8;"))
    yield _pair("reserved_range_split", m("reserved 2 to 9;"), m("reserved 2 to 4, 5 to 9;"))
    yield _pair("reserved_range_with_a_hole", m("reserved 2 to 9;"), m("reserved 2 to 4, 6 to 9;"))
    yield _pair("reserved_range_wider", m("reserved 5;"), m("reserved 2 to 9;"))
    yield _pair("reserved_range_to_max", m("reserved 5 to max;"), m("reserved 5 to 100;"))
    yield _pair("reserved_number_used", m('reserved 2; reserved "b";'), m("string b = 2;"))
    yield _pair(
        "reserved_number_used_by_another",
        m('reserved 2; reserved "b";'),
        m('reserved "b"; string c = 2;'),
    )
    yield _pair("message_deprecated", m(""), m("option deprecated = true;"))
    yield _pair("descriptor_accessor", m(""), m("option no_standard_descriptor_accessor = true;"))
    yield _pair(
        "descriptor_accessor_back", m("option no_standard_descriptor_accessor = true;"), m("")
    )


def _enums() -> Iterator[Pair]:
    e = "enum E {{ Z = 0; {} }}".format
    yield _pair("value_added", e(""), e("A = 1;"))
    yield _pair("value_deleted", e("A = 1;"), e(""))
    yield _pair("value_deleted_number_reserved", e("A = 1;"), e("reserved 1;"))
    yield _pair("value_deleted_name_reserved", e("A = 1;"), e('reserved "A";'))
    yield _pair("value_deleted_both_reserved", e("A = 1;"), e('reserved 1; reserved "A";'))
    yield _pair("value_deleted_in_a_range", e("A = 7;"), e('reserved 5 to 7; reserved "A";'))
    yield _pair("value_deleted_to_max", e("A = 7;"), e('reserved 5 to max; reserved "A";'))
    yield _pair("value_renamed", e("A = 1;"), e("B = 1;"))
    yield _pair("value_renumbered", e("A = 1;"), e("A = 2;"))
    yield _pair("values_swapped", e("A = 1; B = 2;"), e("A = 2; B = 1;"))
    yield _pair("values_in_another_order", e("A = 1; B = 2;"), e("B = 2; A = 1;"))
    yield _pair("zero_renamed", "enum E { Z = 0; }", "enum E { Y = 0; }")
    yield _pair("alias_added", e("A = 1;"), e("option allow_alias = true; A = 1; B = 1;"))
    yield _pair(
        "alias_deleted",
        e("option allow_alias = true; A = 1; B = 1; C = 1;"),
        e("option allow_alias = true; A = 1; B = 1;"),
    )
    yield _pair("aliases_deleted", e("option allow_alias = true; A = 1; B = 1;"), e(""))
    yield _pair(
        "aliases_deleted_one_name_reserved",
        e("option allow_alias = true; A = 1; B = 1;"),
        e('reserved 1; reserved "A";'),
    )
    yield _pair(
        "aliases_deleted_names_reserved",
        e("option allow_alias = true; A = 1; B = 1;"),
        e('reserved 1; reserved "A", "B";'),
    )
    yield _pair("negative_value_deleted", e("A = -1;"), e('reserved -5 to -1; reserved "A";'))
    yield _pair("enum_added", e(""), e("") + "enum F { Y = 0; }")
    yield _pair("enum_deleted", e("") + "enum F { Y = 0; }", e(""))
    yield _pair("enum_renamed", e(""), "enum F { Z = 0; }")
    yield _pair("enum_reserved_deleted", e("reserved 5 to 9;"), e("reserved 5 to 6, 8 to 9;"))
    yield _pair("enum_reserved_name_deleted", e('reserved "A";'), e(""))
    yield _pair("enum_reserved_to_max", e("reserved 5 to max;"), e("reserved 6 to max;"))


def _services() -> Iterator[Pair]:
    def s(text: str) -> str:
        return f"message Q {{}} message R {{}} service S {{ {text} }}"

    yield _pair("method_added", s(""), s("rpc A(Q) returns (R);"))
    yield _pair(
        "method_deleted",
        s("rpc A(Q) returns (R); rpc B(Q) returns (R);"),
        s("rpc A(Q) returns (R);"),
    )
    yield _pair("method_renamed", s("rpc A(Q) returns (R);"), s("rpc B(Q) returns (R);"))
    yield _pair("request_type", s("rpc A(Q) returns (R);"), s("rpc A(R) returns (R);"))
    yield _pair("response_type", s("rpc A(Q) returns (R);"), s("rpc A(Q) returns (Q);"))
    yield _pair("client_streams", s("rpc A(Q) returns (R);"), s("rpc A(stream Q) returns (R);"))
    yield _pair(
        "client_streams_no_more", s("rpc A(stream Q) returns (R);"), s("rpc A(Q) returns (R);")
    )
    yield _pair("server_streams", s("rpc A(Q) returns (R);"), s("rpc A(Q) returns (stream R);"))
    yield _pair("both_stream", s("rpc A(Q) returns (R);"), s("rpc A(stream Q) returns (stream R);"))
    yield _pair(
        "idempotency",
        s("rpc A(Q) returns (R);"),
        s("rpc A(Q) returns (R) { option idempotency_level = NO_SIDE_EFFECTS; }"),
    )
    yield _pair(
        "method_deprecated",
        s("rpc A(Q) returns (R);"),
        s("rpc A(Q) returns (R) { option deprecated = true; }"),
    )
    yield _pair("service_added", s(""), s("") + " service T {}")
    yield _pair("service_deleted", s("") + " service T {}", s(""))
    yield _pair(
        "service_renamed",
        s("rpc A(Q) returns (R);"),
        "message Q {} message R {} service T { rpc A(Q) returns (R); }",
    )
    yield _pair(
        "methods_in_another_order",
        s("rpc A(Q) returns (R); rpc B(Q) returns (R);"),
        s("rpc B(Q) returns (R); rpc A(Q) returns (R);"),
    )


def _file_pairs() -> Iterator[Pair]:
    for option, value in (
        ("go_package", '"x"'),
        ("java_package", '"x"'),
        ("java_multiple_files", "true"),
        ("java_outer_classname", '"X"'),
        ("java_generic_services", "true"),
        ("cc_generic_services", "true"),
        ("py_generic_services", "true"),
        ("cc_enable_arenas", "false"),
        ("optimize_for", "CODE_SIZE"),
        ("objc_class_prefix", '"X"'),
        ("csharp_namespace", '"X"'),
        ("swift_prefix", '"X"'),
        ("php_class_prefix", '"X"'),
        ("php_namespace", '"X"'),
        ("php_metadata_namespace", '"X"'),
        ("ruby_package", '"X"'),
        ("java_string_check_utf8", "true"),
        ("deprecated", "true"),
    ):
        yield _pair(
            f"option_{option}",
            "message M { string a = 1; }",
            f"option {option} = {value}; message M {{ string a = 1; }}",
        )
    yield _pair(
        "java_utf8_of_proto2",
        "message M { optional string a = 1; }",
        "option java_string_check_utf8 = true; message M { optional string a = 1; }",
        "proto2",
    )
    yield _pair(
        "option_that_is_default",
        "message M {}",
        "option optimize_for = SPEED; option cc_enable_arenas = true; message M {}",
    )
    yield _pair("package", "message M {}", "message M {}", new_package=".v2")
    yield _pair(
        "file_added",
        {"a.proto": "message M {}"},
        {"a.proto": "message M {}", "b.proto": "message N {}"},
    )
    yield _pair(
        "file_deleted",
        {"a.proto": "message M {}", "b.proto": "message N {}"},
        {"a.proto": "message M {}"},
    )
    yield _pair(
        "file_renamed",
        {"a.proto": "message M { int32 a = 1; }"},
        {"b.proto": "message M { int32 a = 1; }"},
    )
    yield _pair(
        "file_renamed_and_field_type",
        {"a.proto": "message M { int32 a = 1; }"},
        {"b.proto": "message M { string a = 1; }"},
    )
    yield _pair(
        "message_moved",
        {"a.proto": "message M {} message L {}", "b.proto": "message N {}"},
        {"a.proto": "message L {}", "b.proto": "message N {} message M {}"},
    )
    yield _pair(
        "message_moved_and_changed",
        {"a.proto": "message M { int32 a = 1; } message L {}", "b.proto": "message N {}"},
        {"a.proto": "message L {}", "b.proto": "message N {} message M { bool a = 1; }"},
    )
    yield _pair(
        "enum_moved_to_file",
        {"a.proto": "enum E { Z = 0; } message L {}", "b.proto": "message N {}"},
        {"a.proto": "message L {}", "b.proto": "message N {} enum E { Z = 0; }"},
    )
    yield _pair(
        "service_moved",
        {"a.proto": "service S {} message L {}", "b.proto": "message N {}"},
        {"a.proto": "message L {}", "b.proto": "message N {} service S {}"},
    )
    yield _pair(
        "service_in_deleted_file",
        {"a.proto": "message L {}", "b.proto": "message Q {} service S { rpc A(Q) returns (Q); }"},
        {"a.proto": "message L {}"},
    )


def _proto2() -> Iterator[Pair]:
    def two(name: str, old: str, new: str) -> Pair:
        return _pair(name, f"message M {{ {old} }}", f"message M {{ {new} }}", "proto2")

    a = "optional int32 a = 1;"
    yield two("required_added", a, f"{a} required int32 b = 2;")
    yield two("required_deleted", f"{a} required int32 b = 2;", a)
    yield two(
        "required_deleted_reserved", f"{a} required int32 b = 2;", f'{a} reserved 2; reserved "b";'
    )
    yield two("optional_to_required", f"{a} optional int32 b = 2;", f"{a} required int32 b = 2;")
    yield two("required_to_optional", f"{a} required int32 b = 2;", f"{a} optional int32 b = 2;")
    yield two("required_to_repeated", f"{a} required int32 b = 2;", f"{a} repeated int32 b = 2;")
    yield two("default_added", "optional int32 a = 1;", "optional int32 a = 1 [default = 5];")
    yield two(
        "default_changed",
        "optional int32 a = 1 [default = 4];",
        "optional int32 a = 1 [default = 5];",
    )
    yield two("default_deleted", "optional int32 a = 1 [default = 4];", "optional int32 a = 1;")
    yield two("default_zero", "optional int32 a = 1;", "optional int32 a = 1 [default = 0];")
    yield two(
        "default_string",
        'optional string a = 1 [default = "x"];',
        'optional string a = 1 [default = "y"];',
    )
    yield two(
        "default_bytes",
        'optional bytes a = 1 [default = "\\001x"];',
        'optional bytes a = 1 [default = "\\x01x"];',
    )
    yield two(
        "default_bytes_changed",
        'optional bytes a = 1 [default = "\\001x"];',
        'optional bytes a = 1 [default = "\\002x"];',
    )
    yield two(
        "default_string_to_bytes",
        'optional string a = 1 [default = "x"];',
        'optional bytes a = 1 [default = "x"];',
    )
    yield two("default_bool", "optional bool a = 1 [default = true];", "optional bool a = 1;")
    yield two(
        "default_float",
        "optional float a = 1 [default = 0.1];",
        "optional float a = 1 [default = 0.10000000149];",
    )
    yield two(
        "default_float_to_double",
        "optional float a = 1 [default = 0.1];",
        "optional double a = 1 [default = 0.1];",
    )
    yield two(
        "default_nan",
        "optional double a = 1 [default = nan];",
        "optional double a = 1 [default = nan];",
    )
    yield two(
        "default_inf",
        "optional double a = 1 [default = inf];",
        "optional double a = 1 [default = -inf];",
    )
    yield two(
        "default_int_to_int64",
        "optional int32 a = 1 [default = 7];",
        "optional int64 a = 1 [default = 7];",
    )
    yield two(
        "default_bool_to_int",
        "optional bool a = 1 [default = true];",
        "optional int32 a = 1 [default = 1];",
    )
    yield two(
        "default_string_to_int",
        'optional string a = 1 [default = "x"];',
        "optional int32 a = 1 [default = 1];",
    )
    yield two("default_to_repeated", "optional int32 a = 1 [default = 5];", "repeated int32 a = 1;")
    enum = "enum E { Z = 0; A = 1; } "
    yield two(
        "default_enum", f"{enum} optional E a = 1;", f"{enum} optional E a = 1 [default = A];"
    )
    yield two(
        "default_enum_first", f"{enum} optional E a = 1;", f"{enum} optional E a = 1 [default = Z];"
    )
    yield two(
        "default_enum_reordered",
        "enum E { Z = 0; A = 1; } optional E a = 1;",
        "enum E { A = 1; Z = 0; } optional E a = 1;",
    )
    yield two(
        "group_to_message",
        "optional group A = 1 { optional int32 x = 1; }",
        "message A { optional int32 x = 1; } optional A a = 1;",
    )
    yield two(
        "group_field_deleted",
        "optional group A = 1 { optional int32 x = 1; optional int32 y = 2; }",
        "optional group A = 1 { optional int32 x = 1; }",
    )
    yield two("extension_range_deleted", "extensions 100 to 200;", "extensions 100 to 150;")
    yield two(
        "extension_range_split", "extensions 100 to 200;", "extensions 100 to 150, 151 to 200;"
    )
    yield two("extension_range_added", "extensions 100 to 200;", "extensions 100 to 300;")
    yield two("extension_range_all_deleted", f"{a} extensions 100 to max;", a)
    x = "message M {{ extensions 100 to 200; }} {}".format
    for name, old, new in (
        ("extension_deleted", "extend M { optional int32 e = 100; }", ""),
        (
            "extension_type",
            "extend M { optional int32 e = 100; }",
            "extend M { optional string e = 100; }",
        ),
        (
            "extension_renamed",
            "extend M { optional int32 e = 100; }",
            "extend M { optional int32 f = 100; }",
        ),
        (
            "extension_repeated",
            "extend M { optional int32 e = 100; }",
            "extend M { repeated int32 e = 100; }",
        ),
        (
            "extension_renumbered",
            "extend M { optional int32 e = 100; }",
            "extend M { optional int32 e = 101; }",
        ),
        (
            "extension_moved_inside",
            "message N {} extend M { optional int32 e = 100; }",
            "message N { extend M { optional int32 e = 100; } }",
        ),
        (
            "extension_default",
            "extend M { optional int32 e = 100; }",
            "extend M { optional int32 e = 100 [default = 5]; }",
        ),
        (
            "nested_extension_deleted",
            "message N { extend M { optional int32 e = 100; } }",
            "message N {}",
        ),
    ):
        yield _pair(name, x(old), x(new), "proto2")


def _syntaxes() -> Iterator[Pair]:
    two, three = (
        "message M { optional string a = 1; repeated int32 b = 2; }",
        "message M { string a = 1; repeated int32 b = 2; }",
    )
    yield _pair("proto2_to_proto3", two, three, "proto2", "proto3")
    yield _pair("proto2_to_proto3_optional", two, two, "proto2", "proto3")
    yield _pair("proto3_to_proto2", three, two, "proto3", "proto2")
    yield _pair(
        "proto3_to_proto2_numbers",
        "message M { int32 a = 1; }",
        "message M { optional int32 a = 1; }",
        "proto3",
        "proto2",
    )
    yield _pair(
        "enum_proto2_to_proto3", "enum E { Z = 0; }", "enum E { Z = 0; }", "proto2", "proto3"
    )
    yield _pair(
        "enum_proto3_to_proto2", "enum E { Z = 0; }", "enum E { Z = 0; }", "proto3", "proto2"
    )
    yield _pair(
        "proto3_to_edition",
        "message M { optional string a = 1; }",
        "message M { string a = 1; }",
        "proto3",
        "2023",
    )
    yield _pair(
        "proto3_to_edition_implicit",
        three,
        "message M { string a = 1 [features.field_presence = IMPLICIT]; repeated int32 b = 2; }",
        "proto3",
        "2023",
    )
    yield _pair(
        "proto2_to_edition",
        two,
        "option features.enum_type = CLOSED; option features.utf8_validation = NONE;"
        " option features.json_format = LEGACY_BEST_EFFORT;"
        " message M { string a = 1; repeated int32 b = 2; }",
        "proto2",
        "2023",
    )
    yield _pair(
        "required_to_edition",
        "message M { required string a = 1; }",
        "message M { string a = 1 [features.field_presence = LEGACY_REQUIRED]; }",
        "proto2",
        "2023",
    )

    def edition(name: str, old: str, new: str) -> Pair:
        return _pair(name, old, new, "2023")

    yield edition(
        "edition_presence",
        "message M { string a = 1; }",
        "message M { string a = 1 [features.field_presence = IMPLICIT]; }",
    )
    yield edition(
        "edition_file_presence",
        "message M { string a = 1; M b = 2; }",
        "option features.field_presence = IMPLICIT; message M { string a = 1; M b = 2; }",
    )
    yield edition(
        "edition_required",
        "message M { string a = 1; }",
        "message M { string a = 1 [features.field_presence = LEGACY_REQUIRED]; }",
    )
    yield edition(
        "edition_required_deleted",
        "message M { string b = 2; string a = 1 [features.field_presence = LEGACY_REQUIRED]; }",
        "message M { string b = 2; reserved 1; reserved a; }",
    )
    yield edition(
        "edition_delimited",
        "message N {} message M { N a = 1; }",
        "message N {} message M { N a = 1 [features.message_encoding = DELIMITED]; }",
    )
    yield edition(
        "edition_delimited_file",
        "message N {} message M { N a = 1; map<string, N> b = 2; }",
        "option features.message_encoding = DELIMITED;"
        " message N {} message M { N a = 1; map<string, N> b = 2; }",
    )
    yield edition(
        "edition_enum_closed",
        "enum E { Z = 0; }",
        "enum E { option features.enum_type = CLOSED; Z = 0; }",
    )
    yield edition(
        "edition_enum_file_closed",
        "enum E { Z = 0; }",
        "option features.enum_type = CLOSED; enum E { Z = 0; }",
    )
    yield edition(
        "edition_utf8",
        "message M { string a = 1; bytes b = 2; }",
        "message M { string a = 1 [features.utf8_validation = NONE]; bytes b = 2; }",
    )
    yield edition(
        "edition_utf8_file",
        "message M { string a = 1; }",
        "option features.utf8_validation = NONE; message M { string a = 1; }",
    )
    yield edition(
        "edition_json_message",
        "message M { string a = 1; }",
        "message M { option features.json_format = LEGACY_BEST_EFFORT; string a = 1; }",
    )
    yield edition(
        "edition_json_enum",
        "enum E { Z = 0; }",
        "enum E { option features.json_format = LEGACY_BEST_EFFORT; Z = 0; }",
    )
    yield edition(
        "edition_json_back",
        "enum E { option features.json_format = LEGACY_BEST_EFFORT; Z = 0; }",
        "enum E { Z = 0; }",
    )
    yield edition(
        "edition_packed",
        "message M { repeated int32 a = 1; }",
        "message M { repeated int32 a = 1 [features.repeated_field_encoding = EXPANDED]; }",
    )
    yield edition(
        "edition_default", "message M { int32 a = 1; }", "message M { int32 a = 1 [default = 3]; }"
    )
    yield edition(
        "edition_into_oneof",
        "message M { string a = 1; }",
        "message M { oneof o { string a = 1; } }",
    )
    yield _pair(
        "edition_newer",
        "message M { string a = 1; }",
        "message M { string a = 1; }",
        "2023",
        "2024",
    )


PAIRS: Final = (
    *_fields(),
    *_types(),
    *_oneofs(),
    *_messages(),
    *_enums(),
    *_services(),
    *_file_pairs(),
    *_proto2(),
    *_syntaxes(),
)
