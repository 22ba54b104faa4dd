"""What a scrape says, read as Prometheus reads it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, TypeAlias

from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from gateway.operations.metrics import Metrics
from gateway.operations.series import SERIES
from server_process.exposition import render

Labels: TypeAlias = frozenset[tuple[str, str]]
Scrape: TypeAlias = dict[tuple[str, Labels], float]


def scrape(app: FastAPI) -> Scrape:
    """Returns the samples of an application that has counted."""
    metrics: Metrics = app.state.metrics
    text, _ = render(SERIES, {"0": metrics.snapshot()}, "")
    return parse(text.decode())


def parse(text: str) -> Scrape:
    """Returns the samples of a text."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Scrape, name: str, **labels: Any) -> float:
    """Returns the sum of the samples that have these labels."""
    wanted = {(key, str(value)) for key, value in labels.items()}
    return sum(value for (each, has), value in samples.items() if each == name and wanted <= has)


def values(samples: Scrape, name: str, label: str) -> set[str]:
    """Returns the values that a label has."""
    return {dict(has)[label] for each, has in samples if each == name}


def promtool() -> str | None:
    """Returns Prometheus' own checker, where it is installed."""
    return shutil.which("promtool")


def check(text: bytes) -> None:
    """Has promtool read a scrape; it says nothing about one that is right."""
    tool = promtool()
    assert tool is not None
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
