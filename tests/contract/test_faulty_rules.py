"""What `check` says of a contract, and what is served of one with faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.app import create_app
from gateway.cli import main
from gateway.contract.descriptors import load
from gateway.contract.errors import ContractError
from gateway.contract.http_rule import Binding, bindings
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.transcoder import Transcoder
from tests.contracts import compile_text

HEAD = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "gateway/v1/options.proto";
message M { string name = 1; repeated string tags = 2; M nested = 3; google.api.HttpBody file = 4; }
service S {
"""
FAULTY = (
    HEAD
    + """
  rpc Good(M) returns (M) { option (google.api.http) = {get: "/good/{name}"}; }
  rpc Tags(M) returns (M) { option (google.api.http) = {get: "/tags/{tags}"}; }
  rpc Half(M) returns (M) {
    option (google.api.http) = {
      get: "/half/{unknown}"
      additional_bindings { get: "/half" }
      additional_bindings { custom { kind: "LIST" path: "/half" } }
      additional_bindings { post: "/whole" body: "*" additional_bindings { get: "/deep" } }
    };
  }
  rpc Again(M) returns (M) { option (google.api.http) = {get: "/good/{nested.name}"}; }
  rpc Events(M) returns (stream M) {
    option (google.api.http) = {get: "/events"};
    option (gateway.v1.stream) = {shared: true key: "tags"};
  }
}
"""
)
FAULTS = [
    ("test.proto:11:29: t.S.Tags", "t.M.tags is a repeated field, which a path cannot capture"),
    ("test.proto:13:5: t.S.Half", "t.M has no field 'unknown'"),
    ("test.proto:13:5: t.S.Half", "the kind 'LIST' of the custom pattern is no HTTP method"),
    ("test.proto:13:5: t.S.Half", "additional_bindings inside additional_bindings"),
    ("test.proto:20:30: t.S.Again", "is bound already, to t.S.Good (GET /good/{name})"),
    ("test.proto:23:5: t.S.Events", "(gateway.v1.stream): key: t.M.tags is no single"),
]
ROUTES = ["GET /good/{name}", "GET /half", "POST /whole"]


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A file with a contract of which some rules are faulty."""
    path = tmp_path / "faulty.binpb"
    path.write_bytes(compile_text(FAULTY))
    return path


def listed(stderr: str, prefix: str) -> list[str]:
    """Returns the lines of stderr that begin so, without that."""
    return [line.removeprefix(prefix) for line in stderr.splitlines() if line.startswith(prefix)]


def are_faults(lines: list[str]) -> bool:
    """Whether some lines are the faults of the contract above, in their order."""
    assert len(lines) == len(FAULTS), lines
    for line, (place, words) in zip(lines, FAULTS, strict=True):
        assert line.startswith(place), line
        assert words in line, line
    return True


def test_a_fault_refuses_the_start(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default nothing is served of a contract with a fault, and `check` lists all of them."""
    with pytest.raises(ContractError):
        create_app(Settings(descriptor_set=faulty), ScriptedUpstream({}))

    assert main(["check", "--descriptor-set", str(faulty)]) == 1
    assert are_faults(listed(capsys.readouterr().err, "protoway: "))


def test_faulty_rules_are_skipped(
    faulty: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is served; each fault is logged at the start, and listed by the commands, which succeed."""
    app = create_app(Settings(descriptor_set=faulty, skip_faulty_rules=True), ScriptedUpstream({}))
    logged = [record.getMessage() for record in caplog.records]
    skipping = ("--descriptor-set", str(faulty), "--skip-faulty-rules")

    assert served(app) == ROUTES
    assert are_faults(listed("\n".join(logged), "left out, and not served: "))
    assert main(["check", *skipping]) == 0
    out, err = capsys.readouterr()
    assert out == "3 bindings of 2 methods, 6 problems left out\n"
    assert are_faults(listed(err, "protoway: left out, and not served: "))
    assert main(["routes", *skipping]) == 0
    out, err = capsys.readouterr()
    assert [" ".join(line.split()[:2]) for line in out.splitlines()[1:]] == ROUTES
    assert are_faults(listed(err, "protoway: left out, and not served: "))


def served(app: FastAPI) -> list[str]:
    """Returns the bindings that an application serves; its document has the same."""
    transcoder: Transcoder = app.state.edge.served.transcoder
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    shown = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    names = [str(binding) for binding in transcoder.bindings]

    assert shown == set(names)
    return names


def test_envoy_is_given_the_rest(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The descriptor set that is made for Envoy has the rules that the edge serves, and no other."""
    out = tmp_path / "envoy.binpb"
    arguments = ("--descriptor-set", str(faulty), "--descriptor-set-out", str(out))

    assert main(["envoy", *arguments]) == 1
    capsys.readouterr()
    assert main(["envoy", *arguments, "--skip-faulty-rules"]) == 0
    assert are_faults(listed(capsys.readouterr().err, "protoway: left out, and not served: "))
    (file,) = [f for f in FileDescriptorSet.FromString(out.read_bytes()).file if f.package == "t"]
    rules = {
        method.name: method.options.Extensions[annotations_pb2.http]
        for method in file.service[0].method
        if method.options.HasExtension(annotations_pb2.http)
    }
    assert sorted(rules) == ["Good", "Half"]
    assert rules["Half"].get == "/half"
    assert [rule.post for rule in rules["Half"].additional_bindings] == ["/whole"]


def test_faulty_rules_of_a_service_configuration_are_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are listed with their place in the YAML, those too whose selector names no method."""
    path, rules = tmp_path / "set.binpb", tmp_path / "rules.yaml"
    path.write_bytes(compile_text(HEAD + "rpc A(M) returns (M); rpc B(M) returns (M); }"))
    rules.write_text(
        "http:\n  rules:\n"
        "  - selector: t.S.A\n    get: /a\n"
        "  - selector: t.S.B\n    get: /b/{x}\n"
        "  - selector: t.S.C\n    get: /c\n"
    )
    arguments = ("check", "--descriptor-set", str(path), "--http-rules", str(rules))

    assert main([*arguments]) == 1
    capsys.readouterr()
    assert main([*arguments, "--skip-faulty-rules"]) == 0
    out, err = capsys.readouterr()
    assert out == "1 bindings of 1 methods, 2 problems left out\n"
    assert listed(err, f"protoway: left out, and not served: {rules}") == [
        ":7:5: the selector 't.S.C' names no method that is served",
        ":5:5: t.S.B: path template '/b/{x}', column 5: t.M has no field 'x'",
    ]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("selector: t.S.B\n    gett: /b", ":5:5: t.S.B: no HTTP rule: "),
        ("selector: t.S.B\n    get: 1", ":5:5: t.S.B: no HTTP rule: "),
        ("selector: t.S.B\n    custom: {verb: X}", ":5:5: t.S.B: no HTTP rule: "),
        ("selector: t.S.B\n    additional_bindings: {get: /b}", ":5:5: t.S.B: no HTTP rule: "),
        ("selector: [t.S.B]\n    get: /b", ":5:5: "),
        ("t.S.B", ":5:5: no HTTP rule: "),
        ("", ":5:4: no HTTP rule: "),
    ],
)
@pytest.mark.parametrize("auto_mapping", ["--auto-mapping", "--no-auto-mapping"])
def test_an_item_that_is_no_rule_is_skipped_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], item: str, says: str, auto_mapping: str
) -> None:
    """The others are served; its method is not, by its annotation or by its name, if it is known."""
    path, rules = tmp_path / "set.binpb", tmp_path / "rules.yaml"
    rule = 'option (google.api.http) = {get: "/annotated"};'
    path.write_bytes(
        compile_text(HEAD + "rpc A(M) returns (M); rpc B(M) returns (M) {" + rule + "} }")
    )
    rules.write_text(f"http:\n  rules:\n  - selector: t.S.A\n    get: /a\n  - {item}\n")
    arguments = ("--descriptor-set", str(path), "--http-rules", str(rules), auto_mapping)

    assert main(["check", *arguments]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["routes", *arguments, "--skip-faulty-rules"]) == 0
    out, err = capsys.readouterr()
    (line,) = listed(err, f"protoway: left out, and not served: {rules}")
    assert line.startswith(says)
    served = [line.split()[1] for line in out.splitlines()[1:]]
    assert served == (["/a"] if "t.S.B" in says else ["/a", "/annotated"])


def test_envoy_maps_no_method_of_which_the_rules_were_left_out(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With auto-mapping it is given the rules of the others, for its own would map all that have none."""
    faulty.write_bytes(
        compile_text(FAULTY.replace("service S {", "service S { rpc None(M) returns (M);"))
    )
    out = tmp_path / "envoy.binpb"
    arguments = ("--descriptor-set", str(faulty), "--skip-faulty-rules", "--auto-mapping")

    assert main(["routes", *arguments]) == 0
    routes = [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert main(["envoy", *arguments, "--descriptor-set-out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "auto_mapping: false" in printed
    assert "auto_mapping: true" not in printed
    methods = load(out.read_bytes()).methods
    assert [
        str(b.template) for m in methods for b in bindings(m) if isinstance(b, Binding)
    ] == routes
    assert "/t.S/None" in routes
    assert "/t.S/Tags" not in routes


def test_a_contract_without_a_good_rule_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edge that would serve nothing does not start, and says what it left out."""
    path = tmp_path / "set.binpb"
    rule = 'rpc A(M) returns (M) { option (google.api.http) = {get: "/{x}"}; }'
    path.write_bytes(compile_text(HEAD + rule + "}"))

    assert main(["check", "--descriptor-set", str(path), "--skip-faulty-rules"]) == 1
    err = capsys.readouterr().err
    assert "left out, and not served: test.proto:9:24: t.S.A:" in err
    assert "protoway: no method of the served services has an HTTP rule" in err
    with pytest.raises(ContractError, match="no method of the served services"):
        create_app(Settings(descriptor_set=path, skip_faulty_rules=True), ScriptedUpstream({}))


BEYOND = (
    HEAD
    + """
  rpc Dotted(M) returns (M) {
    option (google.api.http) = {
      post: "/a" body: "nested.nested" response_body: "nested.name"
      additional_bindings { get: "/{name=**}" }
    };
  }
  rpc Watch(M) returns (stream M) {
    option (google.api.http) = {custom {kind: "WATCH" path: "/watched"}};
  }
}
"""
)


def test_a_warning_is_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is served, but not as one may expect, is printed with its place, and the exit status is 0."""
    path = tmp_path / "set.binpb"
    path.write_bytes(compile_text(BEYOND))

    assert main(["check", "--descriptor-set", str(path), "--openapi-path", ""]) == 0
    out, err = capsys.readouterr()
    assert out == "3 bindings of 2 methods, no problems\n"
    beyond = "goes beyond google/api/http.proto, which has it name a field of the message itself"
    assert err.splitlines() == [
        f"protoway: warning: test.proto:11:5: t.S.Dotted: POST /a: body 'nested.nested' {beyond}",
        f"protoway: warning: test.proto:11:5: t.S.Dotted: POST /a: response_body 'nested.name' {beyond}",
        (
            "protoway: warning: test.proto:11:5: t.S.Dotted: GET /{name=**} does not get"
            " /healthz, /livez, /readyz, /startupz: the edge answers that itself"
            " (health_path, live_path, ready_path, startup_path)"
        ),
        (
            "protoway: warning: test.proto:17:5: t.S.Watch: WATCH /watched is reached by WebSockets alone:"
            " no request can have its HTTP method here"
        ),
    ]
