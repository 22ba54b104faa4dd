"""The profile `watch`: Prometheus scrapes core, edge and Envoy, and knows the rules."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.e2e.compose import Stack, docker
from tests.operations.test_alerts import RULES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

WITHIN = 40
"""Seconds for some scrapes, which are 5 s apart."""
CONVERT = "/convert?from_currency=USD&to_currency=EUR&amount=1"
MOVES = {
    "edge": 'sum(rate(http_server_request_duration_seconds_count{http_route="/convert"}[1m]))',
    "core": 'sum(rate(grpc_server_handled_total{grpc_method="Convert",grpc_code="OK"}[1m]))',
    "envoy": 'sum(rate(envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="edge"}[1m]))',
}
"""Job -> a query that is above 0 when requests came."""


def _asked(stack: Stack, path: str, **parameters: str) -> Any:
    """Asks Prometheus' API; returns its data."""
    answer = httpx.get(f"{stack.prometheus}/api/v1/{path}", params=parameters).raise_for_status()
    return answer.json()["data"]


def _values(stack: Stack, query: str) -> list[float]:
    return [float(each["value"][1]) for each in _asked(stack, "query", query=query)["result"]]


def test_all_three_are_scraped_and_counted(watched_stack: Stack) -> None:
    """Each target is up, and requests through edge and Envoy are seen at all of them."""
    began = time.monotonic()
    missing = set(MOVES)
    while missing:
        assert time.monotonic() - began < WITHIN, missing
        for url in (watched_stack.http, watched_stack.envoy):
            assert httpx.get(f"{url}{CONVERT}").is_success
        missing = {job for job in missing if not any(_values(watched_stack, MOVES[job]))}
    targets = _asked(watched_stack, "targets")["activeTargets"]

    assert {each["labels"]["job"]: each["health"] for each in targets} == dict.fromkeys(MOVES, "up")
    ready = _asked(watched_stack, "query", query='protoway_ready{job="edge"}')["result"]
    assert {each["metric"]["check"]: each["value"][1] for each in ready} == {
        "contract": "1",
        "upstream": "1",
        "shutdown": "1",
    }


def test_the_rules_are_read(watched_stack: Stack) -> None:
    """All of them, without an error, and none of those about processes fires."""
    (group,) = _asked(watched_stack, "rules")["groups"]

    assert [each["name"] for each in group["rules"]] == [rule["alert"] for rule in RULES]
    assert not [each for each in group["rules"] if each["health"] == "err"]
    states = {each["name"]: each["state"] for each in group["rules"]}
    assert {states[name] for name in ("EdgeDown", "CoreDown", "EnvoyDown")} == {"inactive"}


def test_envoys_admin_pages_stay_its_own(watched_stack: Stack) -> None:
    """Its port for Prometheus has their one path that tells what it counts, and nothing can be changed."""
    probe = (
        "import sys, urllib.error, urllib.request\n"
        "for method, path in (line.split() for line in sys.argv[1:]):\n"
        "    request = urllib.request.Request('http://envoy:9903' + path, method=method)\n"
        "    try: print(urllib.request.urlopen(request, timeout=5).status)\n"
        "    except urllib.error.HTTPError as error: print(error.code)\n"
    )
    asked = ("GET /stats/prometheus", "POST /quitquitquit", "GET /config_dump", "GET /")
    answers = watched_stack.compose("exec", "-T", "core", "python", "-c", probe, *asked)

    assert answers.split() == ["200", "404", "404", "404"]


def test_health_is_readiness(stack: Stack) -> None:
    """An edge whose core hangs is not ready, as docker asks, and alive all the same.

    What was answered just before counts for some seconds, so docker too may have to ask again.
    """
    core = stack.container("core")
    ask = "python -m gateway.health --ready 2>&1; echo $?; python -m gateway.health; echo $?"
    docker("pause", core)
    try:
        for _ in range(20):
            told = docker("exec", stack.container("gateway"), "sh", "-c", ask)
            if told.split()[-2:] != ["0", "0"]:
                break
    finally:
        docker("unpause", core)

    assert "upstream: 'the upstream does not answer in time'" in told
    assert told.split()[-2:] == ["1", "0"]
    (test,) = {tuple(stack.inspect("gateway")["Config"]["Healthcheck"]["Test"])}
    assert test == ("CMD", "python", "-m", "gateway.health", "--ready")
