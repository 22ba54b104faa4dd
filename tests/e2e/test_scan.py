"""What docker says of the containers and the images: nothing runs that may more than it must."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from functools import cache, partial
from typing import Any

import pytest

from tests.e2e.compose import PROFILES, PROJECT, PUBLISHED, Stack, docker
from tests.whole.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SCALED = ("core-1", "core-2", "edge-1", "edge-2", "edge-3", "redis")
SERVICES = (
    *("core", "gateway", "envoy", "prometheus"),
    *("certificates", "core-tls", "gateway-tls", "envoy-tls"),
    *(*SCALED, "balancer"),
)
BUILT = {
    "core": {"grpc_core", "grpc_wire", "server_process"},
    "gateway": {"gateway", "grpc_wire", "server_process"},
    "certificates": {"make_tls.py"},
}
"""The images that are built here, and what of ours is in each."""
SECRET_NAME = re.compile(r"pass(word|wd)?$|secret|token|api_?key|credential", re.IGNORECASE)
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")
PASSWORD = re.compile(rb"://[^/\s:@]+:[^/\s:@]+@")
LOOKUP_SECONDS = 2
"""Far below the 8 s after which a question that nobody answers is given up."""
BASE = re.compile(r"usr/(lib|local/lib|share)/")
"""Where the base image has libraries, which have examples of keys."""
TOOLS = re.compile(r"(^|/)bin/([\w-]+-)?(gcc|cc|[gc]\+\+|clang|ld|as|make|cargo|uv)(-[\d.]+)?$")
CACHES = ("root/.cache/", "var/cache/pip/", "var/lib/apt/lists/", "tmp/", "tls/")


@pytest.fixture(scope="module")
def containers(whole_stack: Stack) -> dict[str, Any]:
    """What docker knows of each container."""
    return whole_stack.containers()


@pytest.fixture(scope="module")
def files(
    whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The files of each image that is built here, by path: of all its layers, one after the other."""
    images = {service: whole_stack.inspect(service)["Image"] for service in BUILT}
    saved = tmp_path_factory.mktemp("images") / "images.tar"
    docker("save", "-o", str(saved), *images.values())
    found: dict[str, dict[str, bytes]] = {service: {} for service in BUILT}
    with tarfile.open(saved) as outer:
        layers = cache(partial(_layer, outer))  # they share those of Python
        listed = json.loads(_content(outer, "manifest.json"))
        for service, image in images.items():
            (entry,) = [each for each in listed if image.removeprefix("sha256:") in each["Config"]]
            for layer in entry["Layers"]:
                for path, content in layers(layer).items():
                    found[service][path] = found[service].get(path, b"") + content
    saved.unlink()
    return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _layer(saved: tarfile.TarFile, name: str) -> dict[str, bytes]:
    """Returns path -> content of a layer; of what is no regular file, nothing."""
    with tarfile.open(fileobj=saved.extractfile(name)) as layer:
        return {
            member.name.removeprefix("./"): _content(layer, member) if member.isreg() else b""
            for member in layer
        }


def _secret(text: str) -> bool:
    return bool(KEY.search(text.encode()) or PASSWORD.search(text.encode()))


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_may_do_what_it_must(containers: dict[str, Any], service: str) -> None:
    """It is nobody, writes to memory alone, has no capability and gets none, and has its limits."""
    config, host = containers[service]["Config"], containers[service]["HostConfig"]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    assert host["ReadonlyRootfs"]
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert all(host[limit] > 0 for limit in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit"))
    assert host["LogConfig"]["Config"].keys() == {"max-size", "max-file"}
    assert host["Tmpfs"].keys() == {"/tmp"}
    assert host["Init"]
    assert host["Dns"] == ["127.0.0.1"]
    once = service == "certificates"
    assert host["RestartPolicy"]["Name"] == ("no" if once else "unless-stopped")
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGTERM", 15)
    assert once or config["Healthcheck"]["Test"][0] == "CMD"
    writable = [mount["Destination"] for mount in containers[service]["Mounts"] if mount["RW"]]
    assert bool(writable) is once
    assert all(path.startswith("/tls/") for path in writable)


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "certificates"])
def test_the_kernel_says_so_too(containers: dict[str, Any], service: str) -> None:
    """The first process has no capability, and can gain none; the root cannot be written to."""
    container = containers[service]["Id"]
    lines = docker("exec", container, "cat", "/proc/1/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    assert "0" not in status["Uid"] + status["Gid"]
    assert {int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    with pytest.raises(AssertionError, match="Read-only file system"):
        docker("exec", "-u", "0", container, "touch", "/x")


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_in_an_environment(containers: dict[str, Any], service: str) -> None:
    """Neither the environment nor the command has any; what TLS needs are paths."""
    config = containers[service]["Config"]
    for line in config["Env"]:
        name, _, value = line.partition("=")
        assert not SECRET_NAME.search(name), line
        assert not _secret(value), line
        assert not name.endswith("_KEY") or value.startswith("/tls/"), line
    assert not _secret(json.dumps(config["Cmd"]))


TEMPLATES = "app/gateway/project/templates/"
"""What `protoway init` writes: tests of a project that does not exist yet."""


@pytest.mark.parametrize("service", BUILT)
def test_an_image_has_what_it_needs(files: dict[str, dict[str, bytes]], service: str) -> None:
    """Of ours it has one program, its transport and what was compiled; no test, key, compiler or cache."""
    paths = files[service]
    ours = {path.split("/")[1] for path in paths if path.startswith("app/") and path != "app/"}
    compiled = {name for name in ours if name.endswith(".so")}

    assert ours - compiled == BUILT[service]
    assert len(compiled) == (service in ("core", "gateway"))
    assert not [
        path
        for path in paths
        if path.startswith("app/") and "test" in path and not path.startswith(TEMPLATES)
    ]
    others = [path for path in paths if not BASE.match(path)]
    assert not [path for path in others if KEY.search(paths[path])]
    configured = [path for path in others if not path.startswith("venv/")]
    assert not [path for path in configured if PASSWORD.search(paths[path])]
    assert not [path for path in paths if TOOLS.search(path)]
    assert not [path for path in paths if path.startswith(CACHES) and paths[path]]


@pytest.mark.parametrize("service", BUILT)
def test_an_image_was_made_without_secrets(whole_stack: Stack, service: str) -> None:
    """No step of its making names any."""
    steps = docker("history", "--no-trunc", whole_stack.inspect(service)["Image"])

    assert not _secret(steps)
    assert not re.search(r"(?i)(password|secret|token|api_?key)\s*=", steps)


def test_core_and_edge_do_not_carry_each_other(files: dict[str, dict[str, bytes]]) -> None:
    """The packages of one that the other does not import are not in its image."""

    def packages(service: str) -> set[str]:
        found = (
            re.match(r"venv/lib/[^/]+/site-packages/([^/]+)/", path) for path in files[service]
        )
        return {match[1] for match in found if match}

    assert not {"fastapi", "uvicorn", "orjson", "cryptography", "pip"} & packages("core")
    # the edge verifies tokens, so its image has cryptography
    assert not {"currency_converter", "grpc_reflection", "pip"} & packages("gateway")


def test_who_is_in_which_network(whole_stack: Stack, containers: dict[str, Any]) -> None:
    """The core is beside its edges where nothing leads out, and alone where its port is published."""
    prefix = f"{PROJECT}_"
    members: dict[str, set[str]] = {}
    for service, container in containers.items():
        for network in container["NetworkSettings"]["Networks"]:
            members.setdefault(network.removeprefix(prefix), set()).add(service)
    members.pop("none")

    assert members == {
        "back": {"core", "gateway", "envoy", "prometheus"},
        "back-tls": {"core-tls", "gateway-tls", "envoy-tls"},
        "services": {"core"},
        "services-tls": {"core-tls"},
        "back-scale": {*SCALED, "balancer"},
        "front": {"gateway", "envoy", "prometheus", "gateway-tls", "envoy-tls", "balancer"},
    }
    for network in members:
        (known,) = json.loads(docker("network", "inspect", prefix + network))
        masqueraded = known["Options"].get("com.docker.network.bridge.enable_ip_masquerade")
        assert known["Internal"] is network.startswith("back")
        assert known["Internal"] or masqueraded == "false"


@pytest.mark.parametrize("service", ["core", "gateway"])
def test_no_name_of_the_world_outside_is_looked_up(whole_stack: Stack, service: str) -> None:
    """Another container is found by its name; what is none is refused at once, and asked of nobody."""
    lookup = (
        "import socket, sys, time\n"
        "socket.getaddrinfo(sys.argv[1], 80)\n"
        "started = time.monotonic()\n"
        "try: socket.getaddrinfo('absent.example', 80)\n"
        "except OSError: print(time.monotonic() - started)\n"
    )
    other = {"core": "gateway", "gateway": "core"}[service]

    said = whole_stack.compose("exec", "-T", service, "python", "-c", lookup, other)
    assert float(said) < LOOKUP_SECONDS


def test_the_ports_are_those_that_are_documented() -> None:
    """Where nobody says otherwise, each service is published where README and its readers expect it."""
    nobody = {name: text for name, text in os.environ.items() if name not in PUBLISHED}
    profiles = [word for name in PROFILES for word in ("--profile", name)]
    command = ["docker", "compose", *profiles, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=nobody, capture_output=True, text=True, check=True)
    services = json.loads(done.stdout)["services"].values()
    published = {int(port["published"]) for each in services for port in each.get("ports", ())}

    assert published == set(PUBLISHED.values())


def test_only_this_machine_reaches_the_ports(containers: dict[str, Any]) -> None:
    """Ports are published on loopback, unless the operator says otherwise."""
    bindings = [
        binding
        for container in containers.values()
        for published in container["NetworkSettings"]["Ports"].values()
        for binding in published or ()
    ]

    assert len(bindings) == len(PUBLISHED)
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
