"""The page on production gives settings that there are, and times that fit each other."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import main
from gateway.settings import Settings
from tests.operations.production import examples


def test_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are settings, the probes ask paths of the edge, and nobody kills too early."""
    (text,) = examples("yaml")
    pod: Any = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    settings = Settings()  # type: ignore[call-arg] # the variables

    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startup": settings.startup_path,
        "liveness": settings.live_path,
        "readiness": settings.ready_path,
    }
    assert container["ports"][0]["containerPort"] == settings.port
    ends = settings.drain_delay_seconds + settings.drain_seconds
    assert pod["terminationGracePeriodSeconds"] > ends
    ready = probes["readiness"]
    assert ready["timeoutSeconds"] > settings.readiness.timeout_seconds
    assert settings.drain_delay_seconds > ready["periodSeconds"] * ready["failureThreshold"]


def test_systemd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command is one that there is, and has time to stop."""
    service, sockets = (configparser.ConfigParser(interpolation=None) for _ in range(2))
    for parser, text in zip((service, sockets), examples("ini"), strict=True):
        parser.optionxform = str  # type: ignore[assignment,method-assign] # the documented way
        parser.read_string(text)
    program, command, *options = shlex.split(service["Service"]["ExecStart"])
    settings = Settings(descriptor_set=tmp_path)

    assert (Path(program).name, command, options[-2:]) == (
        "protoway",
        "serve",
        ["--host", "systemd"],
    )
    assert main([command, *options]) != 0
    assert capsys.readouterr().err.startswith("protoway: cannot read /etc/edge/edge.yaml")
    assert service["Service"]["Type"] == "notify"
    stops = settings.drain_delay_seconds + settings.drain_seconds
    assert float(service["Service"]["TimeoutStopSec"]) > stops
    assert int(sockets["Socket"]["ListenStream"]) == settings.port


def test_nginx() -> None:
    """Its times are on the right side of the edge's."""
    (text,) = examples("nginx")
    settings = Settings(descriptor_set=Path("/"))

    def seconds(name: str) -> float:
        (line,) = (line for line in text.splitlines() if line.split()[:1] == [name])
        return float(line.split()[1].removesuffix("s;"))

    assert seconds("keepalive_timeout") < settings.keep_alive_seconds
    assert seconds("proxy_read_timeout") > settings.heartbeat_seconds
