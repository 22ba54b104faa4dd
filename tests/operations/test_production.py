"""The page on production gives settings that there are, and times that fit each other."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import sizing
from gateway.cli import main
from gateway.settings import Settings
from tests.operations.production import PAGE, examples
from tests.whole.conftest import ROOT


def test_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are settings, the probes ask paths of the edge, and nobody kills too early."""
    text, _ = examples("yaml")
    pod: Any = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    settings = Settings()

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


def test_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are settings, the check asks for readiness and has time, and nobody kills too early."""
    _, text = examples("yaml")
    edge: Any = yaml.safe_load(text)["services"]["edge"]
    for name, value in edge["environment"].items():
        monkeypatch.setenv(name, str(value))
    settings = Settings()

    def seconds(text: str) -> float:
        return float(text.removesuffix("ms")) / 1000 if "ms" in text else float(text.rstrip("s"))

    assert edge["healthcheck"]["test"] == ["CMD", "python", "-m", "gateway.health", "--ready"]
    assert seconds(edge["healthcheck"]["timeout"]) > settings.readiness.timeout_seconds
    stops = settings.drain_delay_seconds + settings.drain_seconds
    assert seconds(edge["stop_grace_period"]) > stops
    assert edge["ports"] == [f"{settings.port}:{settings.port}"]


def test_the_repositorys_own_containers() -> None:
    """Edge and core are checked as the page says, and have time to stop."""
    services: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    checks = {name: services[name]["healthcheck"]["test"][3:] for name in ("core", "gateway")}

    assert checks == {"core": ["grpc_core.health"], "gateway": ["gateway.health", "--ready"]}
    assert services["gateway-tls"]["healthcheck"]["test"][4].endswith(
        Settings(descriptor_set=Path("/")).ready_path
    )


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


def test_the_figures_are_those_that_are_measured() -> None:
    """Each case of `python -m bench.sizing` has its row, and the container's sum is right."""
    text = (PAGE.parent / "size-it.md").read_text()
    rows = dict(re.findall(r"^\| (a[^|]+|the[^|]+) \| ([\d.]+) [kM]B \|", text, re.MULTILINE))
    found = {name: float(figure) for name, figure in rows.items()}

    assert list(found)[1:] == list(sizing.CASES)
    whole, idle, tls, reader, _, _, call = found.values()
    summed = whole + 2 * (reader + tls - idle) + 0.2 * call
    assert f"= {round(summed, -1):.0f} MB" in text
