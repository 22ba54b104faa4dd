"""Environment variables that look like a setting and are none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.settings import EnvoySettings
from gateway.settings import Settings as EdgeSettings
from grpc_core.settings import Settings as CoreSettings
from server_process.variables import unknown_variables

SETTINGS = ("upstream", "upstream_tls", "min_compression_bytes", "port", "host")


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("PROTOWAY_UPSTRAEM", "no such setting; did you mean PROTOWAY_UPSTREAM?"),
        ("PROTOWAY_UPSTREAMTLS", "no such setting; did you mean PROTOWAY_UPSTREAM_TLS?"),
        (
            "PROTOWAY_COMPRESSION_MIN_BYTES",
            "no such setting; did you mean PROTOWAY_MIN_COMPRESSION_BYTES?",
        ),
        ("protoway_prot", "no such setting; did you mean PROTOWAY_PORT?"),
        ("PROTOWAY_XYZZY", "no such setting; unset it"),
        ("PROTOWAY_", "no such setting; unset it"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(variable: str, says: str) -> None:
    """Whatever its value is, and in the case in which it was written."""
    assert unknown_variables({variable: "x"}, "PROTOWAY_", SETTINGS) == [f"{variable}: {says}"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROTOWAY_UPSTREAM", "x"),
        ("protoway_upstream", "x"),
        ("PROTOWAY", "x"),
        ("OTHER_UPSTRAEM", "x"),
        ("PROTOWAY_SERVICE_HOST", "10.0.0.1"),
        ("PROTOWAY_SERVICE_PORT", "8080"),
        ("PROTOWAY_SERVICE_PORT_HTTP", "8080"),
        ("PROTOWAY_GRPC_SERVICE_HOST", "10.0.0.1"),
        ("PROTOWAY_GRPC_PORT", "tcp://10.0.0.1:50051"),
        ("PROTOWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("PROTOWAY_PORT_8080_TCP_PROTO", "tcp"),
        ("PROTOWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_the_others_pass(variable: str, value: str) -> None:
    """Settings, other programs' variables, and those of a Kubernetes Service whose name begins as ours."""
    assert unknown_variables({variable: value}, "PROTOWAY_", SETTINGS) == []


@pytest.mark.parametrize(
    ("variable", "settings"),
    [
        ("PROTOWAY_UPSTRAEM", EdgeSettings),
        ("PROTOWAY_UPSTRAEM", EnvoySettings),
        ("CORE_TIKCER", CoreSettings),
    ],
)
def test_settings_refuse_them(
    variable: str,
    settings: type[EdgeSettings | CoreSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also those that are made in Python."""
    monkeypatch.setenv(variable, "x")

    with pytest.raises(ValidationError, match=f"{variable}: no such setting; did you mean"):
        settings.model_validate({})


@pytest.mark.parametrize(
    ("settings", "given", "says"),
    [
        (EdgeSettings, {"descriptor": "x"}, "descriptor: no such setting; did you mean descriptor_set?"),
        (EnvoySettings, {"admin": 1}, "admin: no such setting; did you mean admin_port?"),
        (EdgeSettings, {"descriptor_set_out": 1}, "descriptor_set_out: no such setting; did you mean"),
        (EdgeSettings, {"xyzzy": 1, "prot": 1}, "xyzzy: no such setting; prot: no such setting; did you"),
        (CoreSettings, {"wokers": 2}, "wokers: no such setting; did you mean workers?"),
    ],
)  # fmt: skip
def test_an_unknown_argument_is_named_with_the_nearest(
    settings: type[EdgeSettings | CoreSettings], given: dict[str, object], says: str
) -> None:
    """In Python, as it was written; the setting that is missing then is not named beside it."""
    with pytest.raises(ValidationError) as caught:
        settings(**given)  # type: ignore[arg-type] # they are wrong on purpose

    (problem,) = caught.value.errors()
    assert problem["msg"].startswith(f"Value error, {says}")


def test_variables_of_our_other_commands_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `protoway envoy` do not stop the edge, nor those of `docker compose` the core."""
    monkeypatch.setenv("PROTOWAY_ADMIN_PORT", "9901")
    monkeypatch.setenv("CORE_TLS_PORT", "50052")

    EdgeSettings(descriptor_set="x")  # type: ignore[arg-type] # as text
    CoreSettings()
