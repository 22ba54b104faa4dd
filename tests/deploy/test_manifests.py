"""The manifests of deploy/kubernetes fit each other, the settings of both programs, and Compose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.operations.series import SERIES
from gateway.settings import Settings
from grpc_core._generated.hello_pb2 import DESCRIPTOR
from grpc_core.settings import Settings as CoreSettings
from tests.deploy.manifests import (
    COMPONENTS,
    ROOT,
    committed,
    container,
    of_kind,
    one,
    pod,
    ports,
    selected,
    selectors,
    variables,
)

OBJECTS = committed("protoway.yaml")
ROUTES = committed("gateway-api.yaml")
MONITORS = committed("service-monitor.yaml")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SPANS_SECONDS = 5
"""For which a shutdown waits when all else has ended (docs/reference/operations.md)."""


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an edge in its pod: its ConfigMap, and its variables over it."""
    file = tmp_path / "edge.yaml"
    file.write_text(one(OBJECTS, "ConfigMap", "edge")["data"][file.name])
    for name, value in variables(OBJECTS, "edge").items():
        monkeypatch.setenv(name, value)
    mounted = Path(variables(OBJECTS, "edge")["PROTOWAY_CONFIG"])
    assert mounted.name == file.name
    assert {"name": "settings", "mountPath": str(mounted.parent), "readOnly": True} in container(
        OBJECTS, "edge"
    )["volumeMounts"]
    monkeypatch.setenv("PROTOWAY_CONFIG", str(file))
    return Settings()


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> CoreSettings:
    """The settings of a core in its pod."""
    for name, value in variables(OBJECTS, "core").items():
        monkeypatch.setenv(name, value)
    return CoreSettings()


def test_the_edge_is_reached_where_it_listens(edge: Settings) -> None:
    """The ports are those of its settings, and no listener is on loopback, as the admin one is by default."""
    assert ports(OBJECTS, "edge") == {"http": edge.port, "admin": edge.admin_port}
    assert not {edge.host, edge.admin_host} & set(LOOPBACK)


def test_the_core_is_reached_where_it_listens(core: CoreSettings) -> None:
    """The ports are those of its settings, and neither listener is on loopback."""
    assert ports(OBJECTS, "core") == {"grpc": core.port, "metrics": core.metrics_port}
    assert not {core.host, core.metrics_host} & set(LOOPBACK)


def test_the_edge_is_probed_by_its_paths(edge: Settings) -> None:
    """Each probe asks its path, on the port of the requests, and waits as long as the edge may take."""
    found = container(OBJECTS, "edge")
    probes = {name: found[name] for name in PROBES}

    assert {name: probe["httpGet"] for name, probe in probes.items()} == {
        "startupProbe": {"path": edge.startup_path, "port": "http"},
        "livenessProbe": {"path": edge.live_path, "port": "http"},
        "readinessProbe": {"path": edge.ready_path, "port": "http"},
    }
    startup = probes["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > edge.reflect_wait_seconds
    assert probes["readinessProbe"]["timeoutSeconds"] > edge.readiness.timeout_seconds


def test_the_core_is_probed_by_grpc(core: CoreSettings) -> None:
    """Each probe asks grpc.health.v1 on the port of the calls; without rates a core is alive, not ready."""
    found = container(OBJECTS, "core")
    greeter = DESCRIPTOR.services_by_name["Greeter"].full_name

    alive = {"port": core.port, "service": greeter}
    assert [found[name]["grpc"] for name in PROBES] == [alive, alive, {"port": core.port}]


def test_nobody_is_killed_before_it_has_drained(edge: Settings, core: CoreSettings) -> None:
    """A pod has its delay, its drain and the end of its spans; and the delay outlasts the failing probes."""
    drains = {
        "edge": (edge.drain_delay_seconds, edge.drain_seconds),
        "core": (core.drain_delay, core.shutdown_grace),
    }
    for component, (delay, drain) in drains.items():
        grace = pod(OBJECTS, component)["spec"]["terminationGracePeriodSeconds"]
        assert grace >= delay + drain + SPANS_SECONDS
        ready = container(OBJECTS, component)["readinessProbe"]
        assert delay > ready["periodSeconds"] * ready["failureThreshold"]


def test_the_edge_finds_each_core(edge: Settings) -> None:
    """The upstream is the core's headless Service; its port is the container's, as nothing translates it."""
    service = one(
        [each for each in of_kind(OBJECTS, "Service") if _is_main(each)], "Service", "core"
    )
    host, _, port = edge.upstream.partition(":")

    assert (service["metadata"]["name"], service["spec"]["clusterIP"]) == (host, "None")
    (served,) = service["spec"]["ports"]
    assert ports(OBJECTS, "core")[served["targetPort"]] == served["port"] == int(port)


def _is_main(service: Any) -> bool:
    return not service["metadata"]["name"].endswith("-metrics")


def test_connections_to_a_core_end(core: CoreSettings) -> None:
    """An edge looks the name up again when a connection ends, so it finds cores that were added."""
    assert core.max_connection_age


def test_each_selector_selects_one_kind_of_pod() -> None:
    """Whatever selects pods has the labels of core or edge, and of the one that it belongs to."""
    for each in OBJECTS:
        for labels in selectors(each):
            (found,) = selected(OBJECTS, labels)
            if each["kind"] != "NetworkPolicy":
                assert each["metadata"]["labels"].items() >= labels.items()
                assert found in each["metadata"]["name"]


def test_services_lead_to_ports_of_containers() -> None:
    """Each target is a named port of the pods that the Service selects."""
    for service in of_kind(OBJECTS, "Service"):
        (component,) = selected(OBJECTS, service["spec"]["selector"])
        targets = {each["targetPort"] for each in service["spec"]["ports"]}
        assert targets <= ports(OBJECTS, component).keys()


def test_network_policies_open_ports_that_there_are() -> None:
    """Callers reach the requests, Prometheus the metrics, the edge the core; a core calls nobody."""
    opened = {}
    for policy in of_kind(OBJECTS, "NetworkPolicy"):
        (component,) = selected(OBJECTS, policy["spec"]["podSelector"]["matchLabels"])
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        rules = policy["spec"]["ingress"]
        assert all(rule["from"] for rule in rules)  # an empty list would be everybody
        opened[component] = [port["port"] for rule in rules for port in rule["ports"]]
        assert set(opened[component]) == ports(OBJECTS, component).keys()
    assert opened == {"edge": ["http", "admin"], "core": ["grpc", "metrics"]}

    edge, core = (one(OBJECTS, "NetworkPolicy", name)["spec"] for name in ("edge", "core"))
    assert core["egress"] == []
    to_dns, to_core = edge["egress"]
    assert {(each["port"], each["protocol"]) for each in to_dns["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
    }
    assert selected(OBJECTS, to_core["to"][0]["podSelector"]["matchLabels"]) == ["core"]
    assert [each["port"] for each in to_core["ports"]] == ["grpc"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_autoscalers_ask_for_what_there_is(component: str) -> None:
    """The target is the Deployment, its CPU that of one event loop, and the series a gauge of the edge."""
    scaler = one(OBJECTS, "HorizontalPodAutoscaler", component)["spec"]
    deployment = one(OBJECTS, "Deployment", component)
    gauges = {series.name for series in SERIES if series.kind == "gauge"}

    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]  # each `kubectl apply` would set them back
    cpu, *others = scaler["metrics"]
    assert int(cpu["resource"]["target"]["averageValue"].removesuffix("m")) < 1000
    series = {each["pods"]["metric"]["name"] for each in others}
    assert series == ({"protoway_streams_open"} if component == "edge" else set())
    assert series <= gauges


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_are_as_confined_as_in_compose(component: str) -> None:
    """The user, the root file system, capabilities, memory and /tmp are those of docker-compose.yml."""
    compose: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-hardened"]
    spec, found = pod(OBJECTS, component)["spec"], container(OBJECTS, component)
    user, group = map(int, compose["user"].split(":"))

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": "no-new-privileges:true" not in compose["security_opt"],
        "readOnlyRootFilesystem": compose["read_only"],
        "capabilities": {"drop": compose["cap_drop"]},
    }
    assert found["resources"]["limits"]["memory"].replace("Mi", "m") == compose["mem_limit"]
    assert found["resources"]["requests"].keys() == {"cpu", "memory"}
    (tmp,) = (each["emptyDir"] for each in spec["volumes"] if each["name"] == "tmp")
    assert f"size={tmp['sizeLimit'].lower().removesuffix('i')}" in compose["tmpfs"][0]
    assert not spec["automountServiceAccountToken"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_is_mounted_is_there(component: str) -> None:
    """Each mount has its volume, each volume is mounted, and each ConfigMap is in the manifests."""
    spec, found = pod(OBJECTS, component)["spec"], container(OBJECTS, component)
    volumes = {each["name"]: each for each in spec["volumes"]}

    assert volumes.keys() == {each["name"] for each in found["volumeMounts"]}
    maps = {each["configMap"]["name"] for each in volumes.values() if "configMap" in each}
    assert maps <= {each["metadata"]["name"] for each in of_kind(OBJECTS, "ConfigMap")}


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_get_no_variables_of_services(component: str) -> None:
    """Kubernetes' variables for a Service named protoway-… would be unknown settings, and stop the start."""
    assert pod(OBJECTS, component)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_disruption_takes_one(component: str) -> None:
    """A drain of nodes takes one pod at a time, and an update none before its successor is ready."""
    budget = one(OBJECTS, "PodDisruptionBudget", component)["spec"]
    strategy = one(OBJECTS, "Deployment", component)["spec"]["strategy"]["rollingUpdate"]

    assert budget["maxUnavailable"] == 1
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}


def test_routes_lead_to_the_edge_and_let_streams_last() -> None:
    """Each backend is a port of the edge's Service, no request has a timeout, and no hostname two routes."""
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(OBJECTS, "Service")}
    http, grpc = (of_kind(ROUTES, kind)[0]["spec"] for kind in ("HTTPRoute", "GRPCRoute"))

    for rule in [*http["rules"], *grpc["rules"]]:
        (backend,) = rule["backendRefs"]
        found = services[backend["name"]]["ports"]
        (served,) = (each for each in found if each["port"] == backend["port"])
        is_grpc = rule in grpc["rules"] or rule["name"] == "grpc"
        assert (served.get("appProtocol") == "kubernetes.io/h2c") is is_grpc
    assert [rule["timeouts"] for rule in http["rules"]] == [
        {"request": "0s", "backendRequest": "0s"}
    ] * 2
    assert not set(http["hostnames"]) & set(grpc["hostnames"])


def test_prometheus_scrapes_each_component() -> None:
    """A ServiceMonitor selects one Service, names a port of it, and its job is what the alerts call it."""
    for component in COMPONENTS:
        monitor = one(MONITORS, "ServiceMonitor", component)["spec"]
        (service,) = (
            each
            for each in of_kind(OBJECTS, "Service")
            if monitor["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
        )
        assert service["metadata"]["labels"][monitor["jobLabel"]] == component
        (endpoint,) = monitor["endpoints"]
        assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
        assert endpoint["port"] in {"admin", "metrics"}
