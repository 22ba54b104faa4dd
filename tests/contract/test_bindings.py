"""All bindings of a contract, and all that is wrong with them."""

from __future__ import annotations

from gateway.contract.bindings import bind
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
