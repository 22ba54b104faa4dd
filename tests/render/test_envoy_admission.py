"""Admission for Envoy: what is refused, so that Envoy never admits what the edge refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.admission.authentication.key_set import public_keys
from gateway.cli import main
from gateway.render.envoy_admission import RENDERED, admission_problems
from gateway.sections import Section
from gateway.settings import Settings
from tests.contracts import compile_text
from tests.edge.authentication.tokens import key, key_set, write_keys

CONTRACT = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "gateway/v1/options.proto";
message M { string name = 1; }
service S {
  rpc Open(M) returns (M) {
    option (google.api.http) = {get: "/open" additional_bindings {get: "/other"}};
    %s
  }
}
"""
RIGHTS = 'option (gateway.v1.rights) = {scopes: ["read"]};'


def _envoy(folder: Path, rights: str = "", config: str = "") -> int:
    """Renders a contract with a settings file; returns the exit status."""
    descriptor_set = folder / "set.binpb"
    descriptor_set.write_bytes(compile_text(CONTRACT % rights))
    file = folder / "protoway.yaml"
    file.write_text(f"contract: {{descriptor_set: {descriptor_set}}}\n{config}")
    return main(["envoy", "--config", str(file), "--descriptor-set-out", str(folder / "out.binpb")])


def test_without_admission_it_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting of admission is used, so nothing is refused."""
    assert _envoy(tmp_path) == 0
    assert "static_resources" in capsys.readouterr().out


_ISSUER = "issuer: https://i.example, audiences: [a], jwks: keys.json"
_SHORT = "jwt: {issuer: https://i.example, audience: a, jwks: keys.json"
_URL = "jwt: {issuers: [{issuer: i, audiences: [a], jwks: 'http://127.0.0.1:9/keys', algorithms: [ES256]}]}"
REFUSED = [
    ("api_keys: {file: keys.yaml}", "api_keys_file"),
    ("authorizer: {http: 'http://127.0.0.1:9000/check'}", "authorizer_http"),
    ("authorizer: {grpc: '127.0.0.1:9000', tls: true}", "authorizer_tls"),
    ("connections: {max_connections_per_address: 10}", "max_connections_per_address"),
    ("tickets: {enabled: true}", "tickets_enabled"),
    ("client_certificates: {identity: dns}", "client_certificates_identity"),
    ("server: {tls_client_ca: ca.pem}", "tls_client_ca"),
    (f"{_SHORT}, cookie: session}}", "jwt_cookie"),
    ("jwt: {issuer: https://i.example, jwks: keys.json}", "audiences"),
    ("jwt: {issuer: i, audience: a, jwks: 'https://i.example/keys'}", "jwt_jwks_ca"),
    (_URL, "algorithms"),
    (f"jwt: {{issuers: [{{{_ISSUER}, token_type: at+jwt}}]}}", "token_type"),
    (f"jwt: {{issuers: [{{{_ISSUER}, required_claims: [exp, jti]}}]}}", "required_claims"),
    (f"jwt: {{issuers: [{{{_ISSUER}, skew_seconds: 0}}]}}", "skew_seconds"),
    (f"jwt: {{issuers: [{{{_ISSUER}, claim_metadata: {{a.b: x}}}}]}}", "claim_metadata"),
    ("jwt: {issuers: [{issuer: i, audiences: [a], secret_file: s}]}", "secret_file"),
    ("limits: {requests_per_second: 9, shared: true}", "limits_shared"),
    ("limits: {rules: [{name: r, limit: 9, by: [identity]}]}", "by"),
    ("limits: {rules: [{name: r, limit: 9, by: [route]}]}", "by"),
    ("limits: {rules: [{name: r, limit: 9, counts: streams}]}", "counts"),
    ("limits: {rules: [{name: r, limit: 9, counts: bytes}]}", "counts"),
    ("limits: {rules: [{name: r, limit: 9, methods: [t.S/Open]}]}", "methods"),
    ("limits: {rules: [{name: r, limit: 9, costs: {t.S/Open: 2}}]}", "costs"),
    ("limits: {rules: [{name: r, limit: 9, seconds: 0.01}]}", "seconds"),
    ("overload: {adaptive: true}", "overload_adaptive"),
    ("rights: {rules: [{requests: GET /open, identity: certificate}]}", "identity"),
    ("rights: {rules: [{requests: GET /open, claims: {a: {exists: true}}}]}", "exists"),
    (
        "rights: {rules: [{requests: GET /open, claims: {a: {contains: x, equals: x}}}]}",
        "claims: a",
    ),
    ("rights: {rules: [{requests: GET /open, claims: {a.b: {contains: x}}}]}", "claims: a.b"),
    (
        "rights: {rules: [{requests: GET /open, anonymous: true}, {requests: GET /other, nobody: true}]}",
        "by method",
    ),
    ("rights: {rules: [{requests: GET /open, anonymous: true}]}", "by method"),
]


@pytest.mark.parametrize(("config", "name"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_envoy_would_not_obey_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, name: str
) -> None:
    """Exit status 2, the setting is named, and neither a configuration nor a descriptor set is written."""
    assert _envoy(tmp_path, config=config) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert name in printed.err
    assert "Envoy" in printed.err, "refused for another reason"
    assert not (tmp_path / "out.binpb").exists()


def _filters(text: str) -> dict[str, Any]:
    listener = yaml.safe_load(text)["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return {each["name"]: each.get("typed_config") for each in manager["http_filters"]}


def test_rights_in_the_contract_are_not_rendered_as_an_open_envoy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any setting, the contract alone denies all but who has the scope."""
    assert _envoy(tmp_path, RIGHTS) == 0

    filters = _filters(capsys.readouterr().out)
    rules = filters["envoy.filters.http.rbac"]["rules"]
    assert rules["action"] == "ALLOW"
    assert list(rules["policies"]) == ["health", "0 contract: scope contains read"]
    paths = [each["url_path"]["path"] for each in rules["policies"]["health"]["permissions"]]
    assert paths == [{"prefix": "/grpc.health.v1.Health/"}]
    names = list(filters)
    assert names.index("envoy.filters.http.grpc_json_transcoder") < names.index(
        "envoy.filters.http.rbac"
    )


def test_a_key_in_a_file_is_there_for_each_accepted_signature_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Envoy goes by `alg` of the key, so a key for others is left out; private parts are not written."""
    members = (
        key("rsa", "RS256").jwk(),
        key().jwk(),
        key("ed", "EdDSA").jwk(),
        key().private_jwk() | {"kid": "private"},
    )
    file = write_keys(tmp_path, *members)
    algorithms = "algorithms: [RS256, RS512, ES256]"
    issuer = f"issuer: i, audiences: [a], jwks: {file}, {algorithms}"
    assert _envoy(tmp_path, config=f"jwt: {{issuers: [{{{issuer}}}]}}") == 0

    provider = _filters(capsys.readouterr().out)["envoy.filters.http.jwt_authn"]["providers"]
    keys = json.loads(provider["issuer-0"]["local_jwks"]["inline_string"])["keys"]
    assert [(each["kid"], each["alg"]) for each in keys] == [("rsa", "RS256"), ("one", "ES256")]
    assert not {"d", "p", "q", "k"} & {name for each in keys for name in each}


def test_a_key_without_an_algorithm_is_one_for_each() -> None:
    """A key of RSA may verify several signatures; it is written once for each accepted one."""
    member = key("rsa", "RS256").jwk()
    del member["alg"]

    found = public_keys(key_set(member), "keys.json", ("RS256", "RS512", "ES256"))

    assert [each["alg"] for each in found] == ["RS256", "RS512"]


def test_a_file_without_a_fitting_key_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An Envoy that refuses everybody is not rendered in silence."""
    file = write_keys(tmp_path, key("rsa", "RS256").jwk())
    issuer = f"issuer: i, audiences: [a], jwks: {file}, algorithms: [ES256]"

    assert _envoy(tmp_path, config=f"jwt: {{issuers: [{{{issuer}}}]}}") == 2
    assert "jwt_jwks" in (error := capsys.readouterr().err)
    assert "has no key for ES256" in error


def test_each_section_of_admission_is_rendered_or_refused() -> None:
    """A new section is refused as soon as it is used, and this list says that somebody has thought of it."""
    sections = {
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Section)
        and field.annotation.__module__.startswith("gateway.admission.")
    }

    assert sections >= RENDERED
    assert sections - RENDERED == {"api_keys", "tickets", "client_certificates"}


def test_a_section_that_nobody_knows_is_refused() -> None:
    """The rule for those is made of the room that they are in."""

    class Later(Section):
        locked: bool = False

    Later.__module__ = "gateway.admission.later"

    class Grown(Settings):
        later: Later = Later()

    assert admission_problems(Grown(descriptor_set=Path("x"))) == []
    problems = admission_problems(Grown(descriptor_set=Path("x"), later=Later(locked=True)))
    assert problems == ["later_locked: not rendered for Envoy, which would admit what this refuses"]
