"""Admission for Envoy: what is refused, so that Envoy never admits what the edge refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.render.envoy_admission import RENDERED
from gateway.sections import Section
from gateway.settings import Settings
from tests.contracts import compile_text

CONTRACT = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "gateway/v1/options.proto";
message M { string name = 1; }
service S {
  rpc Open(M) returns (M) {
    option (google.api.http) = {get: "/open"};
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


REFUSED = [
    ("api_keys: {file: keys.yaml}", "api_keys_file"),
    ("authorizer: {http: 'http://127.0.0.1:9000/check'}", "authorizer_http"),
    ("max_connections_per_address: 10", "max_connections_per_address"),
]


@pytest.mark.parametrize(("config", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_what_envoy_would_not_obey_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, name: str
) -> None:
    """Exit status 2, the setting is named, and neither a configuration nor a descriptor set is written."""
    assert _envoy(tmp_path, config=config) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert name in printed.err
    assert not (tmp_path / "out.binpb").exists()


def test_rights_in_the_contract_are_not_rendered_as_an_open_envoy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The method is named, with its place in the contract."""
    assert _envoy(tmp_path, RIGHTS) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "test.proto:10:" in printed.err
    assert "t.S.Open: (gateway.v1.rights)" in printed.err


def test_sections_that_nobody_has_named_are_refused() -> None:
    """Each section of admission is rendered, or refused by its name: a new one is not forgotten."""
    sections = {
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Section)
        and field.annotation.__module__.startswith("gateway.admission.")
    }

    assert sections >= RENDERED
    assert sections - RENDERED == {"api_keys", "authorizer", "jwt", "limits", "overload", "rights"}
