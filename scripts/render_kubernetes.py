"""Renders deploy/kubernetes from the chart: `python scripts/render_kubernetes.py [--check]`. Needs Helm 3.

With `--check` nothing is written, and the exit status is 1 if a file is not what the chart renders. The
variable HELM names Helm's program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "deploy/helm/protoway"
FOLDER: Final = ROOT / "deploy/kubernetes"
RENDERINGS: Final[Mapping[str, Sequence[str]]] = {
    "protoway.yaml": (),
    "gateway-api.yaml": (
        *("--show-only", "templates/routes.yaml", "--set", "gateway.enabled=true"),
        *("--set", "gateway.parentRefs[0].name=gateway"),
        *("--set", "gateway.parentRefs[0].namespace=envoy-gateway-system"),
        *("--set", "gateway.hostnames[0]=api.example.com"),
        *("--set", "gateway.grpcHostnames[0]=grpc.example.com"),
    ),
    "service-monitor.yaml": (
        *("--show-only", "templates/servicemonitor.yaml", "--set", "serviceMonitor.enabled=true"),
    ),
}
"""Options of `helm template` for each file; without any, the chart has its default values."""
_HEAD: Final = (
    "# Rendered from deploy/helm/protoway by `make deploy-render`:"
    " change the chart, not this file.\n"
)


def render(*options: str) -> str:
    """Returns what the chart renders for the release `protoway`, as YAML documents.

    Raises:
        subprocess.CalledProcessError: Helm refuses; its `stderr` says why.
    """
    helm = os.environ.get("HELM", "helm")
    command = (helm, "template", "protoway", str(CHART), "--kube-version", "1.27.0", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the files; returns the exit status."""
    parser = argparse.ArgumentParser(description="Renders deploy/kubernetes from the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(arguments)
    stale = []
    for name, with_options in RENDERINGS.items():
        path, text = FOLDER / name, _HEAD + render(*with_options)
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    for name in stale:
        print(
            f"deploy/kubernetes/{name} is not what the chart renders: make deploy-render",
            file=sys.stderr,
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
