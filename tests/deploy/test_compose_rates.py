"""`CORE_RATES=ecb docker compose up`: what the cores of docker-compose.yml have then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grpc_core.settings import Settings
from tests.deploy.manifests import ROOT

COMPOSE: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CORES = ("core", "core-tls", "core-1", "core-2")


def base(rates: str) -> Any:
    """Returns what cores have with these rates."""
    path = COMPOSE["services"]["core"]["extends"]["file"]
    file = re.sub(r"\$\{CORE_RATES:-(\w+)\}", rates or r"\1", path)
    return yaml.safe_load((ROOT / file).read_text())["services"]["core"]


def test_one_variable_turns_all_cores() -> None:
    """Each core extends the file of the variable, and says nothing of `dns` itself."""
    services = COMPOSE["services"]
    assert {name for name in services if "extends" in services[name]} == set(CORES)
    assert len({str(services[name]["extends"]) for name in CORES}) == 1
    assert all(services[name]["dns"] == [] for name in CORES)


def test_nothing_leads_out_by_default() -> None:
    """No network and no names; what has a way out is only in the file for live rates."""
    assert base("") == base("bundled") == {"dns": ["127.0.0.1"]}
    leading_out = {
        name
        for name, network in COMPOSE["networks"].items()
        if not network.get("internal") and "driver_opts" not in network
    }
    assert base("ecb")["networks"] == [*leading_out] == ["online"]
    assert not any(
        leading_out & {*each.get("networks", ())} for each in COMPOSE["services"].values()
    )


def test_the_way_out_is_the_default_route() -> None:
    """Docker takes the network whose name is the least of those that are not internal."""
    not_internal = {name for name, each in COMPOSE["networks"].items() if not each.get("internal")}
    for core in CORES:
        its_own = not_internal & {*COMPOSE["services"][core]["networks"]}
        assert min(its_own | {"online"}) == "online"


def test_the_settings_are_those_of_the_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rates are kept in a volume, in a folder that the image gives to the core's user."""
    live = base("ecb")
    for name, value in live["environment"].items():
        if name.startswith("CORE_"):
            default = re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
            monkeypatch.setenv(name, default.replace("/rates/", f"{tmp_path}/"))
    settings = Settings()

    assert settings.rates == "ecb"
    assert settings.rates_url.startswith("https://www.ecb.europa.eu/")
    assert settings.rates_file is not None
    folder = Path(live["environment"]["CORE_RATES_FILE"]).parent
    (mounted,) = live["volumes"]
    volume, _, target = mounted.partition(":")
    assert (Path(target), volume in COMPOSE["volumes"]) == (folder, True)
    user = COMPOSE["services"]["core"]["user"].partition(":")[0]
    assert f"install -d -o {user} -g {user} {folder}\n" in (ROOT / "Dockerfile").read_text()
