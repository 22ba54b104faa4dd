"""All bindings of a contract, and all that is wrong with them."""

from __future__ import annotations

from gateway.contract.bindings import bind, warnings
from gateway.contract.descriptors import load
from tests.contracts import compile_text

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string name = 1; string other = 2; }
service S {
  rpc A(M) returns (M) { option (google.api.http) = {get: "/v1/{name}"}; }
  rpc B(M) returns (M) { option (google.api.http) = {get: "/v1/{other}"}; }
  rpc C(M) returns (M) { option (google.api.http) = {get: "/v1/{nome}"}; }
  rpc D(M) returns (M) { option (google.api.http) = {get: "v1"}; }
  rpc E(M) returns (M) { option (google.api.http) = {get: "/v1/literal"}; }
}
"""


def test_every_problem_is_found() -> None:
    """One look at a contract tells all that is to be mended, each with its place and its method."""
    found, problems = bind(load(compile_text(PROTO)).methods)

    assert [str(binding) for binding in found] == ["GET /v1/{name}", "GET /v1/literal"]
    assert [str(problem) for problem in problems] == [
        "test.proto:8:26: t.S.B: GET /v1/{other} is bound already, to t.S.A (GET /v1/{name})",
        "test.proto:9:26: t.S.C: path template '/v1/{nome}', column 6: t.M has no field 'nome'",
        "test.proto:10:26: t.S.D: path template 'v1', column 1: expected '/', found 'v'",
    ]


def test_a_contract_without_rules_is_a_problem() -> None:
    """An edge that would serve nothing says so, instead of starting."""
    text = 'syntax = "proto3"; message M {} service S { rpc A(M) returns (M); }'
    found, problems = bind(load(compile_text(text)).methods)

    assert found == []
    assert "no method of the served services has an HTTP rule" in str(problems[0])


NO_BODY = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message Book { string id = 1; string title = 2; Book next = 3; }
message M { string name = 1; Book book = 2; int32 a = 3; int32 b = 4; }
message Id { string id = 1; }
message None {}
service S {
  rpc Add(Book) returns (None) { option (google.api.http) = {post: "/add"}; }
  rpc Many(M) returns (stream None) { option (google.api.http) = {put: "/many"}; }
  rpc Nested(M) returns (None) { option (google.api.http) = {patch: "/nested/{book.id}/{name}/{a}/{b}"}; }
  rpc Cancel(Id) returns (None) { option (google.api.http) = {post: "/{id}:cancel"}; }
  rpc Nothing(None) returns (None) { option (google.api.http) = {post: "/nothing"}; }
  rpc Get(Book) returns (None) { option (google.api.http) = {get: "/get"}; }
  rpc All(Book) returns (None) { option (google.api.http) = {post: "/all" body: "*"}; }
  rpc Part(M) returns (None) { option (google.api.http) = {post: "/part" body: "book"}; }
  rpc Upload(stream Book) returns (None) { option (google.api.http) = {post: "/upload"}; }
}
"""


def test_a_forgotten_body_is_a_warning() -> None:
    """For POST, PUT and PATCH, if fields are left that no path variable gives; a client stream has a body."""
    found, problems = bind(load(compile_text(NO_BODY)).methods)

    assert problems == []
    assert [str(warning).partition(" to the rule")[0] for warning in warnings(found, {})] == [
        f"test.proto:{line}:{column}: t.S.{binding} has no body, so {names} can only be given in the query:"
        ' add body: "*"'
        for line, column, binding, names in (
            (10, 34, "Add: POST /add", "id, title, next"),
            (11, 39, "Many: PUT /many", "name, book, a, …"),
            (12, 34, "Nested: PATCH /nested/{book.id}/{name}/{a}/{b}", "book.title, book.next"),
        )
    ]
