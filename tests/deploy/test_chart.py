"""The chart, rendered by Helm and held against the schemas of Kubernetes; run by `make deploy-check`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.render_kubernetes import main, render
from tests.deploy.manifests import CHART, container, objects, of_kind, one, pod, ports, variables
from tests.deploy.schemas import LOCATION

HELM, KUBECONFORM, SCHEMAS = (
    Path(os.environ.get(name, "/nowhere")) for name in ("HELM", "KUBECONFORM", "SCHEMAS")
)
FEED_STORE = ("--set", "feedStore.url=redis://protoway@redis.redis:6379/0")
GATEWAY = (
    *("--set", "gateway.enabled=true,gateway.parentRefs[0].name=gateway"),
    *("--set", "gateway.hostnames[0]=api.example.com"),
)
EVERYTHING = (
    *(*FEED_STORE, *GATEWAY, "--set", "serviceMonitor.enabled=true"),
    *("--set", "gateway.grpcHostnames[0]=grpc.example.com", "--set", "edge.contract.configMap=api"),
    *("--set", "serviceMonitor.labels.release=prometheus", "--set", "edge.nodeSelector.disk=ssd"),
    *("--set", "edge.env[0].name=PROTOWAY_PAGES,edge.env[0].value=/pages"),
    *("--set", "core.tolerations[0].operator=Exists", "--set", "core.podAnnotations.a=b"),
    *("--set", "networkPolicy.coreEgress[0].to[0].ipBlock.cidr=10.0.0.0/8"),
)
ALONE = (
    *("--set", "core.enabled=false", "--set", "edge.settings.upstream.address=orders:50051"),
    *("--set", "edge.autoscaling.enabled=false,core.autoscaling.enabled=false"),
    *("--set", "networkPolicy.enabled=false"),
)

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(
        not (HELM.exists() and KUBECONFORM.exists()), reason="no Helm, no kubeconform"
    ),
]


def problems(text: str) -> str:
    """Returns what kubeconform says of manifests; empty if they are valid."""
    command = (str(KUBECONFORM), "-strict", "-schema-location", str(SCHEMAS / LOCATION))
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert bool(said) == bool(done.returncode)
    return said


def refusal(*options: str) -> str:
    """Returns why Helm refuses values."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(*options)
    return str(caught.value.stderr)


def test_the_committed_manifests_are_those_of_the_chart() -> None:
    """deploy/kubernetes is what `make deploy-render` writes."""
    assert main(["--check"]) == 0


def test_helm_finds_nothing_wrong() -> None:
    """`helm lint`, strictly, with all that can be switched on."""
    command = (str(HELM), "lint", "--strict", "--kube-version", "1.27.0", str(CHART), *EVERYTHING)
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "options", [(), EVERYTHING, ALONE], ids=["defaults", "everything", "alone"]
)
def test_what_is_rendered_is_valid(options: tuple[str, ...]) -> None:
    """Each object has the fields of its kind, and no others."""
    assert problems(render(*options)) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("terminationGracePeriodSeconds:", "terminationGraceSeconds:"),
        ("maxUnavailable: 1\n", "maxUnavailable: true\n"),
        ("parentRefs:", "parents:"),
        ("request: 0s", "request: forever"),
        ("interval: 15s", "every: 15s"),
    ],
)
def test_what_is_wrong_is_found(before: str, after: str) -> None:
    """The schemas are strict: Kubernetes' own, and those of the CRDs."""
    text = render(*EVERYTHING)
    assert before in text

    assert problems(text.replace(before, after))


def test_the_grace_follows_the_drain() -> None:
    """Whoever changes how long a pod drains need not think of when it is killed."""
    found = objects(
        render(
            *("--set-json", "edge.settings.server.drain_delay_seconds=2.5"),
            *(
                "--set",
                "edge.settings.server.drain_seconds=100",
                "--set",
                "core.settings.drain_delay=0",
            ),
            *("--set", "terminationMarginSeconds=7"),
        )
    )

    grace = {
        name: pod(found, name)["spec"]["terminationGracePeriodSeconds"] for name in ("edge", "core")
    }
    assert grace == {"edge": 3 + 100 + 7, "core": 0 + 30 + 7}


def test_ports_and_waits_follow_the_settings() -> None:
    """A port, or a time that the edge may take, is given once: in its settings."""
    found = objects(
        render(
            *("--set", "edge.settings.server.port=9000,edge.settings.admin.port=9001"),
            *("--set", "edge.settings.readiness.timeout_seconds=5"),
            *("--set", "edge.settings.contract.reflect_wait_seconds=300"),
        )
    )
    edge = container(found, "edge")

    assert ports(found, "edge") == {"http": 9000, "admin": 9001}
    assert edge["readinessProbe"]["timeoutSeconds"] > 5
    assert edge["startupProbe"]["failureThreshold"] > 300


def test_numbers_are_written_as_they_are() -> None:
    """A variable of a million is no 1e+06."""
    found = objects(render("--set", "core.settings.max_message_bytes=1048576"))

    assert variables(found, "core")["CORE_MAX_MESSAGE_BYTES"] == "1048576"


def test_a_feed_store() -> None:
    """Its password and the secret of its keys are files from a Secret, and the edge may call it."""
    found = objects(render(*FEED_STORE))
    (mount,) = (
        each for each in container(found, "edge")["volumeMounts"] if each["name"] == "feed-store"
    )
    (volume,) = (each for each in pod(found, "edge")["spec"]["volumes"] if "secret" in each)

    given = variables(found, "edge")
    assert given["PROTOWAY_FEED_STORE"] == "redis://protoway@redis.redis:6379/0"
    files = {given[f"PROTOWAY_STORE_{name}_FILE"] for name in ("PASSWORD", "SECRET")}
    assert volume["name"] == mount["name"]
    assert files == {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    *_, to_redis = one(found, "NetworkPolicy", "edge")["spec"]["egress"]
    assert [each["port"] for each in to_redis["ports"]] == [6379]
    assert not of_kind(found, "Secret")


def test_a_feed_store_without_secrets() -> None:
    """Where no key of the Secret is named, none is mounted."""
    found = objects(
        render(*FEED_STORE, "--set", "feedStore.secret.password=,feedStore.secret.hash=")
    )

    assert not any("secret" in each for each in pod(found, "edge")["spec"]["volumes"])
    assert not any(name.endswith("_FILE") for name in variables(found, "edge"))


def test_names_that_stand_twice_are_refused() -> None:
    """Of a hostname with an HTTPRoute and a GRPCRoute, a Gateway would take one only."""
    said = refusal(*GATEWAY, "--set", "gateway.grpcHostnames[0]=api.example.com")

    assert "gateway.grpcHostnames: api.example.com is one of gateway.hostnames too" in said


def test_wrong_values_are_refused() -> None:
    """Helm reads the schema of the values, and names what is wrong."""
    assert "drain_second" in refusal("--set", "edge.settings.server.drain_seconds=soon")
    assert "replica" in refusal("--set", "edge.replica=3")
    assert "upstream" in refusal("--set", "core.enabled=false")
