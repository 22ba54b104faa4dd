"""The compose file, brought up as a project of its own, and what docker knows of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.whole.conftest import ROOT, free_ports

PUBLISHED = {
    "CORE_PORT": 50051,
    "GATEWAY_PORT": 8080,
    "ENVOY_PORT": 8081,
    "CORE_TLS_PORT": 50052,
    "GATEWAY_TLS_PORT": 8443,
    "ENVOY_TLS_PORT": 8444,
    "PROMETHEUS_PORT": 9090,
    "BALANCER_PORT": 8082,
    "BALANCER_GRPC_PORT": 8083,
}
"""What the compose file publishes where nobody says otherwise."""

PROFILES = ("tls", "watch", "scale")

PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "protoway-e2e")
"""The name that docker has for the project; runs at one time on one engine need two."""


def docker(*arguments: str) -> str:
    """Runs docker; returns what it prints, and fails with what it says."""
    done = subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _instant(text: str) -> datetime:
    """Reads docker's time, which is finer than ours."""
    return datetime.fromisoformat(re.sub(r"\.(\d{6})\d*", r".\1", text))


@dataclass
class Stack:
    """The project, on ports that are free."""

    ports: dict[str, int] = field(
        default_factory=lambda: dict(zip(PUBLISHED, free_ports(len(PUBLISHED)), strict=True))
    )

    @property
    def core(self) -> str:
        """The address of the core."""
        return f"localhost:{self.ports['CORE_PORT']}"

    @property
    def http(self) -> str:
        """The base URL of the edge."""
        return f"http://localhost:{self.ports['GATEWAY_PORT']}"

    @property
    def envoy(self) -> str:
        """The base URL of Envoy."""
        return f"http://localhost:{self.ports['ENVOY_PORT']}"

    @property
    def prometheus(self) -> str:
        """The base URL of Prometheus."""
        return f"http://localhost:{self.ports['PROMETHEUS_PORT']}"

    @property
    def balancer(self) -> str:
        """The base URL of nginx before three edges."""
        return f"http://localhost:{self.ports['BALANCER_PORT']}"

    @property
    def balancer_grpc(self) -> str:
        """The address at which nginx takes gRPC."""
        return f"localhost:{self.ports['BALANCER_GRPC_PORT']}"

    def compose(self, *arguments: str) -> str:
        """Runs `docker compose` for this project, with all profiles."""
        os.environ.update({name: str(port) for name, port in self.ports.items()})
        profiles = (word for name in PROFILES for word in ("--profile", name))
        return docker("compose", "-p", PROJECT, *profiles, *arguments)

    def up(self, *services: str) -> None:
        """Builds and starts services, and what they depend on, until all are healthy."""
        self.compose("up", "--build", "--wait", "--quiet-pull", *services)

    def down(self) -> None:
        """Takes away all that was made, the images too."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local")

    def container(self, service: str) -> str:
        """Returns the id of the container of a service."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def containers(self) -> dict[str, Any]:
        """Returns what docker knows of each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def inspect(self, service: str) -> Any:
        """Returns what docker knows of one container."""
        return json.loads(docker("inspect", self.container(service)))[0]

    def seconds_until_healthy(self, service: str) -> float:
        """Returns how long after its start a container was found healthy, by docker's own clock."""
        state = self.inspect(service)["State"]
        assert state["Health"]["Status"] == "healthy", state
        started = _instant(state["StartedAt"])
        looks = [look for look in state["Health"]["Log"] if look["ExitCode"] == 0]
        found = min(end for look in looks if (end := _instant(look["End"])) > started)
        return (found - started).total_seconds()

    def left(self) -> dict[str, list[str]]:
        """Returns what there is of this project, by kind."""
        ours = f"label=com.docker.compose.project={PROJECT}"
        listings = {
            "containers": ("ps", "--all"),
            "networks": ("network", "ls"),
            "volumes": ("volume", "ls"),
            "images": ("image", "ls"),
        }
        return {
            kind: docker(*command, "--quiet", "--filter", ours).split()
            for kind, command in listings.items()
        }

    def copy(self, source: str, folder: Path) -> Path:
        """Copies a folder out of a container, `SERVICE:PATH`."""
        self.compose("cp", source, str(folder))
        return folder
