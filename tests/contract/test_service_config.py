"""HTTP rules beside the .proto."""

from __future__ import annotations

import pytest

from gateway.contract.bindings import bind
from gateway.contract.descriptors import load
from gateway.contract.errors import ContractError
from gateway.contract.service_config import apply_rules, auto_mapped, read_service_config
from tests.contracts import compile_text

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string name = 1; }
service S {
  rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/{name}"}; }
  rpc Put(M) returns (M);
}
"""
CONTRACT = load(compile_text(PROTO))


def routes(text: str) -> list[str]:
    """Returns the bindings under a configuration, as `METHOD path -> RPC`."""
    contract = apply_rules(CONTRACT, read_service_config(text, "api.yaml"))
    found, problems = bind(contract.methods)
    assert problems == []
    return [f"{binding} -> {binding.method.full_name}" for binding in found]


def test_a_rule_takes_the_place_of_the_annotation() -> None:
    """A rule of the configuration replaces the annotation whole, and others stay."""
    text = """
type: google.api.Service
config_version: 3
http:
  rules:
  - selector: t.S.Get
    get: /v2/{name}
  - selector: t.S.Put
    put: /v1/{name}
    body: "*"
    additional_bindings:
    - post: /v1:put
      body: "*"
"""
    assert routes(text) == [
        "GET /v2/{name} -> t.S.Get",
        "PUT /v1/{name} -> t.S.Put",
        "POST /v1:put -> t.S.Put",
    ]


def test_the_last_rule_wins() -> None:
    """All service configuration rules follow "last one wins" order (google/api/http.proto)."""
    text = """
http:
  rules:
  - {selector: t.S.Get, get: "/a"}
  - {selector: t.S.Get, get: "/b"}
"""
    assert routes(text) == ["GET /b -> t.S.Get"]


def test_multi_segment_captures_can_be_decoded_fully() -> None:
    """`fully_decode_reserved_expansion` is passed on to the table."""
    text = "http: {fully_decode_reserved_expansion: true, rules: []}"

    assert apply_rules(CONTRACT, read_service_config(text, "api.yaml")).fully_decode


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http: [", "api.yaml:1:8: not YAML: "),
        ("name: x", "api.yaml: no `http` section"),
        ("- http", "api.yaml: no `http` section"),
        ("http: {rulez: []}", "api.yaml: "),
        (
            "http:\n  rules:\n  - selector: t.S.Nope\n    get: /x\n",
            "api.yaml:3:5: the selector 't.S.Nope' names no method that is served",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, says: str) -> None:
    """A configuration that is not one stops the start, with file, line and column."""
    with pytest.raises(ContractError) as caught:
        routes(text)

    assert str(caught.value).startswith(says)


def test_a_bad_template_in_a_rule_is_at_the_rule() -> None:
    """What is wrong with a rule is reported where the rule stands, not at the .proto."""
    text = "http:\n  rules:\n  - selector: t.S.Get\n    get: /v1/{nome}\n"
    _, problems = bind(apply_rules(CONTRACT, read_service_config(text, "api.yaml")).methods)

    assert [str(problem).split(": ")[:2] for problem in problems] == [["api.yaml:3:5", "t.S.Get"]]


def test_auto_mapping_is_for_methods_without_a_rule() -> None:
    """A method without a rule is reached as gRPC would reach it; one with a rule only by its rule."""
    found, _ = bind(auto_mapped(CONTRACT).methods)

    assert [str(binding) for binding in found] == ["GET /v1/{name}", "POST /t.S/Put"]
    assert found[1].body is not None


@pytest.mark.parametrize(
    "text",
    [
        b"http: \xff",
        b"http: \x07",
        b"[" * 3000,
        b"a: &a {rules: [{selector: t.S.Nope, get: /x}]}\nhttp: {<<: *a}",
    ],
)
def test_no_text_is_a_traceback(text: bytes) -> None:
    """Whatever the file holds: what is wrong with it is one line that names it."""
    with pytest.raises(ContractError) as caught:
        apply_rules(CONTRACT, read_service_config(text, "api.yaml"))

    assert str(caught.value).startswith("api.yaml")
    assert "\n" not in str(caught.value)
