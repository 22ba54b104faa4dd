"""The chart's values: what is allowed, what is refused, and what other files say of them."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

import gateway
from gateway.settings import Settings
from grpc_core.settings import Settings as CoreSettings
from tests.deploy.manifests import CHART, ROOT

VALUES: Any = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Any = json.loads((CHART / "values.schema.json").read_text())
SETTINGS = {
    "core": CoreSettings.model_fields.keys(),
    # some have another name in the file
    "edge": {*Settings.model_fields, "upstream_address", "contract_reload", "admin_host"}
    | {"readiness_upstream"},
}
"""The settings that may stand in the values, by program."""
PAGE = (ROOT / "docs/operations/kubernetes.md").read_text()


def changed(path: str, value: Any) -> Any:
    """Returns the default values with another one at a dotted path."""
    values = copy.deepcopy(VALUES)
    *folders, last = path.split(".")
    place = values
    for each in folders:
        place = place.setdefault(each, {})
    place[last] = value
    return values


def test_the_defaults_are_allowed() -> None:
    """The schema is one, and takes the chart's own values."""
    Draft7Validator.check_schema(SCHEMA)

    assert list(Draft7Validator(SCHEMA).iter_errors(VALUES)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("egde", {}),
        ("edge.replica", 3),
        ("edge.replicas", -1),
        ("edge.replicas", "3"),
        ("edge.image.pullPolicy", "Sometimes"),
        ("edge.image.repository", ""),
        ("edge.settings.server.port", 80),
        ("edge.settings.server.host", "127.0.0.1"),
        ("edge.settings.admin.host", "localhost"),
        ("edge.settings.admin.port", None),
        ("edge.settings.server.drain_seconds", "30s"),
        ("edge.settings.json", True),
        ("edge.resources.limits.memory", "512 MB"),
        ("edge.autoscaling.streams", 0),
        ("core.settings.port", 50052),
        ("core.settings.drain-delay", 3),
        ("core.enabled", "yes"),
        ("core.enabled", False),  # and no upstream is given
        ("feedStore.secret.name", ""),
        ("feedStore.url", "redis.redis:6379"),
        ("feedStore.url", "redis://protoway:password@redis.redis:6379"),
        ("terminationMarginSeconds", 1),
        ("networkPolicy.callers", []),  # everybody, to Kubernetes
        ("networkPolicy.callers", [{}]),
        ("gateway.enabled", True),  # and no Gateway is named
        ("gateway.hostnames", ["https://api.example.com"]),
        ("serviceMonitor.interval", 15),
    ],
)
def test_a_wrong_value_is_refused(path: str, value: Any) -> None:
    """A name that there is not, a wrong type, and what would not work in a cluster."""
    assert not Draft7Validator(SCHEMA).is_valid(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("edge.autoscaling.streams", None),
        ("edge.settings.jwt", {"issuer": "https://issuer.example.com", "jwks": "/keys.json"}),
        ("edge.settings.upstreams", [{"name": "orders"}]),
        ("edge.settings.server.host", "::"),
        ("networkPolicy.prometheus", []),
        ("networkPolicy.callers", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
        ("core.settings.ticker", "off"),
        ("feedStore.url", "rediss://protoway@redis.redis:6379/0"),
        ("feedStore.url", "redis+sentinel://a:26379,b:26379/main/0"),
    ],
)
def test_a_right_value_is_allowed(path: str, value: Any) -> None:
    """The schema bounds what the chart reads, and leaves the edge's other settings to the edge."""
    assert list(Draft7Validator(SCHEMA).iter_errors(changed(path, value))) == []


def test_edges_alone_need_an_upstream() -> None:
    """Without a core, the address of another server is enough."""
    values = changed("core.enabled", False)
    values["edge"]["settings"]["upstream"] = {"address": "orders:50051"}

    assert Draft7Validator(SCHEMA).is_valid(values)


def test_the_chart_installs_this_version() -> None:
    """The images' tag is the version of the code beside it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == gateway.__version__


def test_the_variables_of_the_store_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the chart sets for a feed store is what the edge reads."""
    if "store" not in Settings.model_fields:
        pytest.skip("this edge has no feed store yet")
    template = (CHART / "templates/edge.yaml").read_text()
    for name in ("PASSWORD", "SECRET"):
        assert f'"{name}" .secret.' in template
        (tmp_path / name).write_text(name)
        monkeypatch.setenv(f"PROTOWAY_STORE_{name}_FILE", str(tmp_path / name))
    assert "name: PROTOWAY_FEED_STORE, value: {{ .url | quote }}" in template
    monkeypatch.setenv("PROTOWAY_FEED_STORE", "redis://redis.redis:6379/0")

    store: Any = dict(Settings(descriptor_set=tmp_path))["store"]

    assert store.url == "redis://redis.redis:6379/0"


def test_the_page_names_values_that_there_are() -> None:
    """Each dotted name of the page that begins with a key of the values leads to one, or to a setting."""
    dotted = re.findall(r"`((?:\w+\.)+\w+)(?:: [^`]+)?`", PAGE)
    named = {each for each in dotted if each.split(".")[0] in VALUES}

    assert named
    for path in named:
        program, inside, setting = path.partition(".settings.")
        if inside:
            assert setting.replace(".", "_") in SETTINGS[program], path
            continue
        place = VALUES
        for key in path.split("."):
            assert key in place, path
            place = place[key]


def test_the_arithmetic_of_a_million_readers_is_right() -> None:
    """Each row of the table has the result of its arithmetic, rounded as it is written."""
    page = (ROOT / "docs/operations/size-it.md").read_text()
    rows = re.findall(r"^\| .+ \| `([-\d.*/+() ]+)` \| `([\d.]+)`", page, re.MULTILINE)

    assert len(rows) == 14
    for arithmetic, result in rows:
        digits = len(result.partition(".")[2])
        assert round(eval(arithmetic), digits) == float(result), arithmetic
