"""Whom the edge believes about a caller behind a proxy, as docs/how-to/reverse-proxy.md says it."""

from __future__ import annotations

import httpx
import pytest
from fastapi import Request

from gateway.admission.proxy_settings import ProxySettings
from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream, serving
from tests.whole.processes import DESCRIPTOR_SET


def seen(trusted: tuple[str, ...], headers: dict[str, str]) -> list[str]:
    """Returns the address and the scheme that a request has for the edge, which comes from 127.0.0.1."""
    section = ProxySettings(trusted=trusted)
    settings = Settings(descriptor_set=DESCRIPTOR_SET, log_level="warning", proxies=section)
    app = create_app(settings, ScriptedUpstream({}))

    @app.get("/caller")
    async def caller(request: Request) -> list[str]:
        assert request.client is not None
        return [request.client.host, request.url.scheme]

    with serving(app, settings) as url:
        told: list[str] = httpx.get(f"{url}/caller", headers=headers).json()
        return told


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (("loopback",), "203.0.113.7", "203.0.113.7"),
        (("loopback",), "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (("127.0.0.1", "10.0.0.0/24"), "203.0.113.7, 10.0.0.9", "203.0.113.7"),
        (("10.0.0.0/24",), "203.0.113.7", "127.0.0.1"),
        ((), "203.0.113.7", "127.0.0.1"),
    ],
    ids=["same machine", "what the caller says", "two proxies", "stranger", "nobody is trusted"],
)
def test_the_callers_address(trusted: tuple[str, ...], forwarded: str, address: str) -> None:
    """It is the last one in X-Forwarded-For that is no proxy's, if the proxy is believed at all."""
    headers = {"x-forwarded-for": forwarded, "x-forwarded-proto": "https"}
    scheme = "http" if address == "127.0.0.1" else "https"

    assert seen(trusted, headers) == [address, scheme]


def test_uvicorns_variable_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was read until `proxies_trusted` came; the start names the setting."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert seen((), {"x-forwarded-for": "203.0.113.7"}) == ["127.0.0.1", "http"]
    assert not caplog.text

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert seen((), {"x-forwarded-for": "203.0.113.7"}) == ["127.0.0.1", "http"]
    assert "FORWARDED_ALLOW_IPS is not read; set proxies_trusted" in caplog.text
