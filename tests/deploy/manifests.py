"""The objects of deploy/kubernetes, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/protoway"
FOLDER = ROOT / "deploy/kubernetes"
COMPONENTS = ("core", "edge")
KIND = "app.kubernetes.io/component"
"""The label that tells core and edge apart."""


def objects(text: str) -> list[Any]:
    """Returns the objects of a text with YAML documents."""
    return [each for each in yaml.safe_load_all(text) if each is not None]


def committed(*names: str) -> list[Any]:
    """Returns the objects of some files of the folder."""
    return [each for name in names for each in objects((FOLDER / name).read_text())]


def of_kind(found: Iterable[Any], *kinds: str) -> list[Any]:
    """Returns the objects of some kinds."""
    return [each for each in found if each["kind"] in kinds]


def one(found: Iterable[Any], kind: str, component: str) -> Any:
    """Returns the one object of a kind that belongs to core or edge."""
    (only,) = (
        each for each in of_kind(found, kind) if each["metadata"]["labels"][KIND] == component
    )
    return only


def pod(found: Iterable[Any], component: str) -> Any:
    """Returns the pod template of a Deployment."""
    return one(found, "Deployment", component)["spec"]["template"]


def container(found: Iterable[Any], component: str) -> Any:
    """Returns the one container of a Deployment."""
    (only,) = pod(found, component)["spec"]["containers"]
    return only


def ports(found: Iterable[Any], component: str) -> dict[str, int]:
    """Returns the ports of a container, by their names."""
    return {each["name"]: each["containerPort"] for each in container(found, component)["ports"]}


def variables(found: Iterable[Any], component: str) -> dict[str, str]:
    """Returns the variables of a container that have a value in the manifest."""
    env = container(found, component)["env"]
    return {each["name"]: each["value"] for each in env if "value" in each}


def selected(found: Iterable[Any], labels: Mapping[str, str]) -> list[str]:
    """Returns the components whose pods have these labels."""
    found = list(found)
    return [
        component
        for component in COMPONENTS
        if labels.items() <= pod(found, component)["metadata"]["labels"].items()
    ]


def selectors(one: Any) -> Iterator[Mapping[str, str]]:
    """Yields each mapping of labels below a key that selects pods."""
    if isinstance(one, dict):
        for key, value in one.items():
            if key in {"selector", "podSelector", "labelSelector"} and value:
                yield value.get("matchLabels", value)
            else:
                yield from selectors(value)
    elif isinstance(one, list):
        for each in one:
            yield from selectors(each)
