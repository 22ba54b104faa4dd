"""What a contract says beside its types, in its document."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract.json_options import JsonOptions
from tests.render.documents import (
    answer_schema,
    document_of,
    matches,
    operations,
    parameters,
    request_schema,
    resolved,
)

SHELF = """
service Shelves {
  rpc Create(Shelf) returns (Shelf) { option (google.api.http) = {post: "/shelves" body: "*"}; }
  rpc Find(Shelf) returns (Shelf) { option (google.api.http) = {get: "/shelves/{id}"}; }
}
message Shelf {
  string id = 1 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = IMMUTABLE];
  string theme = 2 [(google.api.field_behavior) = REQUIRED];
  repeated string tags = 3 [(google.api.field_behavior) = REQUIRED];
  Place place = 4 [(google.api.field_behavior) = REQUIRED];
  string created = 5 [(google.api.field_behavior) = OUTPUT_ONLY];
  string secret = 6 [(google.api.field_behavior) = INPUT_ONLY];
  string note = 7 [(google.api.field_behavior) = OPTIONAL];
  optional string title = 8;
  string etag = 9 [(google.api.field_behavior) = OUTPUT_ONLY, (google.api.field_behavior) = REQUIRED];
}
message Place {
  string room = 1 [(google.api.field_behavior) = REQUIRED];
  string row = 2;
}
"""
GIVEN = {"id": "1", "theme": "t", "tags": ["a"], "place": {"room": "r"}}


@pytest.fixture(scope="module")
def shelves() -> dict[str, Any]:
    """The document of a contract with every kind of field behavior."""
    return document_of(SHELF)


def test_required_fields_have_to_be_given(shelves: dict[str, Any]) -> None:
    """A request without one of them is wrong; so is one whose value is the same as nothing."""
    schema = request_schema(shelves["paths"]["/shelves"]["post"])

    assert resolved(shelves, schema)["required"] == ["id", "theme", "tags", "place"]
    assert shelves["paths"]["/shelves"]["post"]["requestBody"]["required"] is True
    assert matches(shelves, schema, GIVEN)
    for name in GIVEN:
        assert not matches(shelves, schema, {k: v for k, v in GIVEN.items() if k != name})
        assert not matches(shelves, schema, {**GIVEN, name: None})
    for name, nothing in (("theme", ""), ("tags", []), ("place", {})):
        assert not matches(shelves, schema, {**GIVEN, name: nothing})
    assert matches(shelves, schema, {**GIVEN, "title": None, "note": ""})


def test_required_is_said_of_requests_alone(shelves: dict[str, Any]) -> None:
    """An answer need not have what a request must: an empty value is not printed."""
    schema = answer_schema(shelves["paths"]["/shelves"]["post"])

    assert matches(shelves, schema, {})


def test_output_only_fields_are_read_only(shelves: dict[str, Any]) -> None:
    """They are `readOnly` in bodies, are never required of a caller, and no query asks for them."""
    create, find = (
        shelves["paths"][p][m] for p, m in (("/shelves", "post"), ("/shelves/{id}", "get"))
    )

    for schema in (request_schema(create), answer_schema(create)):
        properties = resolved(shelves, schema)["properties"]
        assert [name for name, each in properties.items() if each.get("readOnly")] == [
            "created",
            "etag",
        ]
    assert not parameters(find).keys() & {"created", "etag"}


def test_input_only_fields_are_write_only(shelves: dict[str, Any]) -> None:
    """They are `writeOnly` where a body is described."""
    schema = request_schema(shelves["paths"]["/shelves"]["post"])

    assert resolved(shelves, schema)["properties"]["secret"]["writeOnly"] is True


def test_a_query_requires_what_the_contract_does(shelves: dict[str, Any]) -> None:
    """A parameter is required if its field is, and each message that the field is in."""
    found = parameters(shelves["paths"]["/shelves/{id}"]["get"])

    required = [name for name, parameter in found.items() if parameter.get("required")]
    assert required == ["theme", "tags", "place.room"]


def test_a_nested_field_is_not_required_where_its_message_is_not() -> None:
    """Who does not give the message need not give what is required in it."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {get: "/a"}; } }
        message M { Inner inner = 1; }
        message Inner { string name = 1 [(google.api.field_behavior) = REQUIRED]; }""")
    [operation] = operations(document)

    assert "required" not in parameters(operation)["inner.name"]


def test_behaviors_without_a_keyword_are_said_in_words(shelves: dict[str, Any]) -> None:
    """IMMUTABLE stands in the description."""
    schema = request_schema(shelves["paths"]["/shelves"]["post"])

    assert "Immutable" in resolved(shelves, schema)["properties"]["id"]["description"]


def test_a_field_in_the_path_is_not_required_of_the_body() -> None:
    """What the path provides, at any depth, is no part of the body."""
    document = document_of("""
        service S {
          rpc A(M) returns (M) { option (google.api.http) = {put: "/a/{name}" body: "*"}; }
          rpc B(M) returns (M) { option (google.api.http) = {put: "/b/{inner.name}" body: "inner"}; }
          rpc C(M) returns (M) { option (google.api.http) = {put: "/c/{inner.name}" body: "*"}; }
        }
        message M {
          string name = 1 [(google.api.field_behavior) = REQUIRED];
          Inner inner = 2;
          oneof choice { string one = 3; string other = 4; }
        }
        message Inner {
          string name = 1 [(google.api.field_behavior) = REQUIRED];
          string note = 2;
        }""")
    a, b, c = (request_schema(operation) for operation in operations(document))

    assert matches(document, a, {"inner": {"name": "x"}})
    assert not matches(document, a, {"inner": {"note": "x"}})
    assert matches(document, b, {"note": "x"})
    assert not matches(document, b, {"name": "x"})
    assert matches(document, c, {"name": "x", "inner": {"note": "y"}})
    assert not matches(document, c, {"inner": {"note": "y"}})


def test_what_a_path_excludes_is_no_parameter() -> None:
    """Where the path provides one field of a oneof, the query can give none of the others."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {get: "/a/{one}"}; } }
        message M { oneof choice { string one = 1; string other = 2; } string free = 3; }""")
    [operation] = operations(document)

    assert list(parameters(operation)) == ["free"]


def test_required_fields_of_proto2_are_required() -> None:
    """The edge refuses a request without them, and no answer is without."""
    document = document_of(
        """
        service S { rpc A(M) returns (M) { option (google.api.http) = {post: "/a" body: "*"}; } }
        message M { string id = 1 [features.field_presence = LEGACY_REQUIRED]; string note = 2; }
        """,
        syntax='edition = "2023";',
    )
    [operation] = operations(document)

    for schema in (request_schema(operation), answer_schema(operation)):
        assert resolved(document, schema)["required"] == ["id"]


def test_deprecated_is_said_of_each_kind_of_element() -> None:
    """Methods, whole services, messages, fields, parameters, enums and their values."""
    document = document_of("""
        service Old {
          option deprecated = true;
          rpc A(M) returns (M) { option (google.api.http) = {post: "/a" body: "*"}; }
        }
        service New {
          rpc B(M) returns (M) {
            option deprecated = true;
            option (google.api.http) = {get: "/b"};
          }
          rpc C(M) returns (M) { option (google.api.http) = {get: "/c"}; }
        }
        message M {
          option deprecated = true;
          string name = 1 [deprecated = true];
          Color color = 2;
        }
        enum Color {
          NONE = 0;
          // A colour.
          RED = 1 [deprecated = true];
        }
        """)
    paths = document["paths"]
    schemas = document["components"]["schemas"]

    assert [op.get("deprecated") for op in operations(document)] == [True, True, None]
    assert parameters(paths["/c"]["get"])["name"]["deprecated"] is True
    for name in ("t.M", "t.M-Input"):
        assert schemas[name]["deprecated"] is True
        assert schemas[name]["properties"]["name"]["deprecated"] is True
    assert "`RED`: Deprecated. A colour." in schemas["t.Color"]["description"]


def test_numbers_of_an_enum_are_explained() -> None:
    """Where enums are printed as numbers, the document says what each of them means."""
    document = document_of(
        """
        service S { rpc A(M) returns (M) { option (google.api.http) = {get: "/a"}; } }
        message M { Color color = 2; }
        enum Color { NONE = 0; RED = 1; }
        """,
        JsonOptions(enum_numbers=True),
    )

    color = document["components"]["schemas"]["t.Color"]
    assert color["type"] == "integer"
    assert "1 is `RED`" in color["description"]


def test_values_that_the_contract_lists_are_an_enum() -> None:
    """`gateway.v1.values` limits what is sent, in bodies and in queries; null stays possible."""
    document = document_of("""
        service S {
          rpc A(M) returns (M) {
            option (google.api.http) = {post: "/a" body: "*" additional_bindings {get: "/a"}};
          }
        }
        message M {
          string unit = 1 [(gateway.v1.values) = {in: ["m", "ft"]}];
          repeated string units = 2 [(gateway.v1.values) = {in: ["m", "ft"]}];
          double length = 3 [(gateway.v1.values) = {greater_than: 0}];
          int32 count = 4 [(gateway.v1.values) = {greater_than: 0}];
          string id = 5 [(google.api.field_info).format = UUID4];
        }""")
    post, get = operations(document)
    schema = request_schema(post)

    assert matches(document, schema, {"unit": None, "units": ["m"], "length": 0.1, "count": 1})
    for wrong in ({"unit": "yd"}, {"units": ["m", "yd"]}, {"length": 0}, {"count": 0}):
        assert not matches(document, schema, wrong)
    found = parameters(get)
    assert found["unit"]["schema"]["enum"] == ["m", "ft"]
    assert found["units"]["schema"]["items"]["enum"] == ["m", "ft"]
    assert found["length"]["schema"]["exclusiveMinimum"] == 0
    assert found["id"]["schema"]["format"] == "uuid"


def test_operation_ids_are_unique() -> None:
    """Additional bindings, names that end in a number, names that underscores make the same, any method."""
    document = document_of("""
        service S {
          rpc Get(M) returns (M) {
            option (google.api.http) = {
              get: "/1"
              additional_bindings {get: "/2"}
              additional_bindings {custom {kind: "*" path: "/any"}}
              additional_bindings {custom {kind: "*" path: "/any:verb"}}
            };
          }
          rpc Get_2(M) returns (M) { option (google.api.http) = {get: "/3"}; }
          rpc get(M) returns (M) { option (google.api.http) = {get: "/4"}; }
        }
        message M {}""")

    ids = [operation["operationId"] for operation in operations(document)]
    assert len(ids) == len(set(ids)) == 4 + 2 * 8
    assert ids[:2] == ["t_S_Get", "t_S_Get-2"]


def test_operation_ids_are_stable() -> None:
    """What else is in a contract changes no id, nor does a later binding."""
    service = """
        service S {{
          {before}
          rpc Get(M) returns (M) {{
            option (google.api.http) = {{get: "/1" additional_bindings {{get: "/2"}} {more}}};
          }}
        }}
        message M {{}}"""
    more = 'additional_bindings {get: "/3"}'
    before = 'rpc Get_2(M) returns (M) { option (google.api.http) = {get: "/0"}; }'

    few = document_of(service.format(before="", more=""))
    many = document_of(service.format(before=before, more=more))
    for path in ("/1", "/2"):
        assert few["paths"][path]["get"]["operationId"] == many["paths"][path]["get"]["operationId"]


def test_a_query_is_described_as_the_edge_takes_it() -> None:
    """Scalars and what JSON writes as one, nested ones, JSON values and maps; lists of messages are not."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {get: "/a"}; } }
        message M {
          string one = 1;
          repeated int64 many = 2;
          google.protobuf.Timestamp time = 3;
          repeated google.protobuf.Int32Value wrapped = 4;
          google.protobuf.Struct object = 5;
          map<string, int32> counts = 6;
          map<string, M> messages = 7;
          repeated M list = 8;
          M self = 9;
          google.protobuf.Any any = 10;
          A a = 11;
        }
        message A { B b = 1; }
        message B { C c = 1; }
        message C { D d = 1; }
        message D { E e = 1; }
        message E { string deep = 1; }""")
    [operation] = operations(document)
    found = parameters(operation)

    assert found.keys() == {"one", "many", "time", "wrapped", "object", "counts", "a.b.c.d.e.deep"}
    assert found["many"]["schema"]["type"] == "array"
    assert found["time"]["schema"]["format"] == "date-time"
    assert found["wrapped"]["schema"]["items"]["type"] == "integer"
    assert found["object"]["content"]["application/json"]["schema"]["type"] == "object"
    assert found["counts"]["style"] == "deepObject"


def test_the_mask_of_a_patch_need_not_be_given() -> None:
    """The edge infers it from the body, though the contract requires it."""
    document = document_of("""
        service S {
          rpc Patch(M) returns (Thing) {
            option (google.api.http) = {patch: "/things/{thing.id}" body: "thing"};
          }
        }
        message M {
          Thing thing = 1 [(google.api.field_behavior) = REQUIRED];
          google.protobuf.FieldMask update_mask = 2 [(google.api.field_behavior) = REQUIRED];
        }
        message Thing { string id = 1; string name = 2; }""")
    [operation] = operations(document)

    assert "required" not in parameters(operation)["updateMask"]
    assert operation["requestBody"]["required"] is True
    assert list(document["paths"]) == ["/things/{thing_id}"]


def test_parameters_of_a_path_are_the_bindings_own() -> None:
    """Two bindings on one path share its names; what each segment may be is each one's own."""
    document = document_of("""
        service S {
          rpc Get(M) returns (M) { option (google.api.http) = {get: "/a/{number}"}; }
          rpc Delete(M) returns (M) { option (google.api.http) = {delete: "/a/{name}"}; }
          rpc Deep(M) returns (M) {
            option (google.api.http) = {get: "/b/{name=x/*/y/*}/{name_1}"};
          }
        }
        message M { int32 number = 1; string name = 2; string name_1 = 3; }""")
    get, delete, deep = operations(document)

    assert parameters(get, "path")["number"]["schema"]["type"] == "integer"
    assert parameters(delete, "path")["number"]["schema"]["type"] == "string"
    assert list(parameters(deep, "path")) == ["name", "name_2", "name_1"]
    assert "/b/x/{name}/y/{name_2}/{name_1}" in document["paths"]


def test_types_that_are_sent_and_answered_have_two_schemas() -> None:
    """A type that is only sent keeps its name; all references lead somewhere."""
    document = document_of("""
        service S {
          rpc A(Sent) returns (Both) { option (google.api.http) = {post: "/a" body: "*"}; }
          rpc B(Both) returns (Both) { option (google.api.http) = {post: "/b" body: "*"}; }
        }
        message Sent { int64 a = 1; }
        message Both { int64 a = 1; Both both = 2; Kind kind = 3; }
        enum Kind { NONE = 0; }""")
    names = document["components"]["schemas"].keys()

    assert {"t.Sent", "t.Both", "t.Both-Input", "t.Kind", "t.Kind-Input"} <= names
    assert "t.Sent-Input" not in names


def test_an_error_can_be_the_last_of_a_stream() -> None:
    """Among messages, though all of their fields are always printed, the Status matches too."""
    document = document_of(
        """
        service S { rpc A(M) returns (stream M) { option (google.api.http) = {get: "/a"}; } }
        message M { int32 count = 1; }""",
        JsonOptions(defaults=True),
    )
    [operation] = operations(document)
    kind = "type.googleapis.com/google.rpc.Status"
    status = {"@type": kind, "code": 3, "message": "", "details": []}

    assert matches(document, answer_schema(operation), [{"count": 0}, status])
    assert not matches(document, answer_schema(operation), [{"count": 0}, {}])


def test_raw_bodies_are_of_any_type() -> None:
    """An HttpBody is whatever it says that it is, in both directions."""
    document = document_of("""
        service S {
          rpc A(google.api.HttpBody) returns (google.api.HttpBody) {
            option (google.api.http) = {post: "/a" body: "*"};
          }
        }""")
    [operation] = operations(document)

    assert operation["requestBody"]["content"] == {"*/*": {}}
    assert operation["responses"]["200"]["content"] == {"*/*": {}}


def test_dotted_bodies_are_what_they_name() -> None:
    """A body of a nested field has that field's schema, and the query what is beside it at each depth."""
    document = document_of("""
        service S {
          rpc A(M) returns (M) {
            option (google.api.http) = {
              post: "/a/{outer.inner.name}" body: "outer.inner" response_body: "outer.note"
            };
          }
        }
        message M { Outer outer = 1 [(google.api.field_behavior) = REQUIRED]; string free = 2; }
        message Outer {
          Inner inner = 1 [(google.api.field_behavior) = REQUIRED];
          string note = 2;
        }
        message Inner { string name = 1; string text = 2; }""")
    [operation] = operations(document)

    assert parameters(operation).keys() == {"free", "outer.note"}
    assert operation["requestBody"]["required"] is True
    assert matches(document, request_schema(operation), {"text": ""})
    assert not matches(document, request_schema(operation), {"name": ""})
    assert answer_schema(operation) == {"type": "string"}


def test_messages_without_fields_are_given_as_no_text() -> None:
    """`?all=` and `?all={}` give one of a query; those in a list are not given."""
    document = document_of("""
        service S { rpc A(M) returns (M) { option (google.api.http) = {get: "/a"}; } }
        message M { All all = 1; repeated All list = 2; }
        message All {}""")
    [operation] = operations(document)

    [parameter] = parameters(operation).values()
    assert parameter["schema"]["enum"] == ["", "{}"]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ('post: "/a/{id}" body: "id"', {"at", "word", "one.x", "two"}),
        ('post: "/a/{at}" body: "at"', {"id", "word", "one.x", "two"}),
        ('post: "/a/{word}" body: "word.value"', {"id", "at", "one.x", "two"}),
        ('post: "/a/{one.x}" body: "two"', {"id", "at", "word"}),
        ('post: "/a/{two}" body: "one.x"', {"id", "at", "word"}),
    ],
)
def test_a_body_that_the_path_provides_is_none(rule: str, named: set[str]) -> None:
    """Or one that excludes what the path provides: nothing is left to be sent."""
    document = document_of(
        """
        service S { rpc A(M) returns (M) { option (google.api.http) = {RULE}; } }
        message M {
          string id = 1;
          google.protobuf.Timestamp at = 2;
          google.protobuf.StringValue word = 3;
          oneof choice { One one = 4; string two = 5; }
        }
        message One { string x = 1; }""".replace("RULE", rule)
    )
    [operation] = operations(document)

    assert "requestBody" not in operation
    assert parameters(operation).keys() == named


def test_a_query_does_not_document_what_holds_the_body() -> None:
    """A message that is one text, and of which a part is the body, is not the query's to give."""
    document = document_of("""
        service S {
          rpc A(M) returns (M) {
            option (google.api.http) = {
              post: "/a" body: "at.seconds" additional_bindings {get: "/a/{word.value}"}
            };
          }
        }
        message M { google.protobuf.Timestamp at = 1; google.protobuf.StringValue word = 2; }""")
    first, second = operations(document)

    assert parameters(first).keys() == {"word"}
    assert parameters(second).keys() == {"at"}


def test_of_required_fields_of_a_oneof_one_is_given() -> None:
    """A message cannot have two of them, and a query has no word for that; one alone is required."""
    document = document_of("""
        service S {
          rpc A(M) returns (M) {
            option (google.api.http) = {post: "/a" body: "*" additional_bindings {get: "/a"}};
          }
        }
        message M {
          oneof two {
            string a = 1 [(google.api.field_behavior) = REQUIRED];
            string b = 2 [(google.api.field_behavior) = REQUIRED];
            string c = 3;
          }
          oneof one { string d = 4 [(google.api.field_behavior) = REQUIRED]; string e = 5; }
        }""")
    post, get = operations(document)
    schema = request_schema(post)

    for right in ({"a": "x", "d": "y"}, {"b": "x", "d": "y", "c": None, "e": None}):
        assert matches(document, schema, right)
    for wrong in ({"d": "y"}, {"a": "x"}, {"c": "x", "d": "y"}, {"a": "x", "b": "x", "d": "y"}):
        assert not matches(document, schema, wrong)
    required = {name for name, each in parameters(get).items() if each.get("required")}
    assert required == {"d"}


@pytest.mark.parametrize("first", ["any", "get"])
def test_a_binding_of_one_method_comes_before_one_of_all(first: str) -> None:
    """In whatever order they stand, as requests find them."""
    rules = ['custom {kind: "*" path: "/a/{id}"}', 'get: "/a/{number}"']
    one, other = rules if first == "any" else reversed(rules)
    document = document_of(
        """
        service S {
          rpc A(M) returns (M) { option (google.api.http) = {ONE additional_bindings {OTHER}}; }
        }
        message M { string id = 1; int32 number = 2; }""".replace("ONE", one).replace(
            "OTHER", other
        )
    )
    ((_, found),) = document["paths"].items()

    assert parameters(found["get"]).keys() == {"id"}
    assert parameters(found["post"]).keys() == {"number"}
    assert not found["get"]["operationId"].endswith("-get")
