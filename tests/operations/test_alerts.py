"""The files for Prometheus and Grafana ask for what there is, and do what their page says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.operations.series import SERIES as EDGE_SERIES
from grpc_core.metrics import SERIES as CORE_SERIES
from server_process.exposition import Series
from tests.operations.scrapes import promtool

FOLDER = Path(__file__).parents[2] / "docs/operations"
PAGE = (FOLDER / "watch-it.md").read_text()
ALERTS = FOLDER / "alerts.yml"
CASES = Path(__file__).parent / "alerts_test.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
OF_PROMETHEUS = {"job", "instance"}
"""Labels that it adds itself."""
OURS = re.compile(r"\b(?:(?:protoway|core|grpc_client|grpc_server|http_server|process)_\w+|up)\b")
NAMED = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"|(?:by|without)\s*\(([^)]*)\)")
needs_promtool = pytest.mark.skipif(
    promtool() is None, reason="no promtool: apt-get install prometheus"
)


def asked(expression: str) -> set[str]:
    """Returns the series that an expression asks for; labels are no series."""
    return set(OURS.findall(NAMED.sub("", expression)))


def labels(expression: str) -> set[str]:
    """Returns the labels that an expression names."""
    found = NAMED.findall(expression)
    return {each.strip() for one, many in found for each in (one or many).split(",")} - {""}


def known() -> dict[str, set[str]]:
    """Returns the labels of each series, by the name that Prometheus has it under."""
    found: dict[str, set[str]] = {"up": OF_PROMETHEUS}
    for each in (*EDGE_SERIES, *CORE_SERIES):
        for name, more in _written(each):
            found[name] = (
                found.get(name, set()) | {*each.labels} | {"worker"} | OF_PROMETHEUS | more
            )
    return found


def _written(series: Series) -> Iterator[tuple[str, set[str]]]:
    if series.kind == "histogram":
        yield from ((f"{series.name}_{end}", set[str]()) for end in ("sum", "count"))
        yield f"{series.name}_bucket", {"le"}
    else:
        yield series.name, set()


def panels() -> Iterator[tuple[str, str]]:
    """Yields title and expression of each query of the dashboard."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def expressions() -> dict[str, str]:
    """Returns all expressions of the files and the page."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in RULES}
    found |= {f"panel {title} {number}": text for number, (title, text) in enumerate(panels())}
    queries = re.findall(r"^\| [^|]+ \| `(.+)` \|$", PAGE.split("## Dashboard")[0], re.MULTILINE)
    assert queries
    return found | {f"query {text}": text for text in queries}


@pytest.mark.parametrize("expression", expressions().values(), ids=expressions())
def test_what_is_asked_for_is_there(expression: str) -> None:
    """Each series is one of the code, and each label one of its."""
    series = known()

    assert asked(expression)
    assert asked(expression) <= series.keys()
    assert labels(expression) <= set[str]().union(*(series[name] for name in asked(expression)))


def test_the_dashboard_has_each_series() -> None:
    """What is counted is shown, but for the start of processes and the like."""
    shown = {name for _, text in panels() for name in asked(text)}
    left_out = {
        *("protoway_worker_up", "core_worker_up", "protoway_ready", "grpc_server_started_total"),
        *("grpc_client_msg_sent_total", "grpc_client_msg_received_total"),
        *("process_start_time_seconds", "process_virtual_memory_bytes"),
    }
    for each in (*EDGE_SERIES, *CORE_SERIES):
        written = {name for name, _ in _written(each)}
        assert bool(written & shown) is (each.name not in left_out), each.name


def test_the_dashboard_can_be_imported() -> None:
    """Panels have ids of their own, places that do not overlap, and the datasource that is chosen."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in (panel["gridPos"],)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    sources = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}

    assert len(set(ids)) == len(ids)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert sources == {"${datasource}"}
    assert {"Edge", "Core", "Streams", "Upstream", "Processes"} <= {*rows}


def test_each_alert_is_explained() -> None:
    """In the order of the rules: what it means, and what to do."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", PAGE.split("## Alerts")[1], re.MULTILINE)

    assert [name for name, _, _ in rows] == [rule["alert"] for rule in RULES]
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}


def test_each_alert_has_a_case() -> None:
    """In which promtool expects it to fire."""
    cases: Any = yaml.safe_load(CASES.read_text())["tests"]
    fired = {
        case["alertname"]
        for test in cases
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in RULES}


def test_the_jobs_are_those_of_the_page() -> None:
    """And their targets are ports that the containers have."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    page, file = yaml.safe_load(text)["scrape_configs"], PROMETHEUS["scrape_configs"]
    for each in (*page, *file):
        (configured,) = each.pop("static_configs")
        (target,) = configured["targets"]
        each["port"] = target.rpartition(":")[2]

    assert page == file
    assert PROMETHEUS["rule_files"] == [ALERTS.name]


@needs_promtool
def test_promtool_takes_the_files(tmp_path: Path) -> None:
    """The configuration with its rules, and each expression of dashboard and page."""
    rules = [
        {"record": f"expression:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions().values())
    ]
    recorded = tmp_path / "rules.yml"
    recorded.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))

    assert "SUCCESS" in _promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert f"SUCCESS: {len(rules)} rules found" in _promtool("check", "rules", str(recorded))


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """By what `alerts_test.yml` says happens."""
    cases = tmp_path / "test.yml"
    cases.write_text(f"rule_files: [{json.dumps(str(ALERTS))}]\n{CASES.read_text()}")

    assert "SUCCESS" in _promtool("test", "rules", str(cases))


def _promtool(*arguments: str) -> str:
    tool = promtool()
    assert tool is not None
    done = subprocess.run([tool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
