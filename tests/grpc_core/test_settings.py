"""What can be set, and what cannot."""

import pytest
from pydantic import ValidationError

from grpc_core.settings import Settings


def test_the_defaults_serve_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any setting, the core listens on loopback; an empty variable is no setting."""
    monkeypatch.setenv("CORE_HOST", "")

    settings = Settings()

    assert (settings.host, settings.port, settings.ticker) == ("127.0.0.1", 50051, "auto")
    assert settings.simulates


def test_a_variable_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has a variable with the prefix CORE_."""
    monkeypatch.setenv("CORE_TICKER", "off")
    monkeypatch.setenv("CORE_TICK_PERIOD", "0.25")

    settings = Settings()

    assert (settings.ticker, settings.tick_period) == ("off", 0.25)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("TICKER", "perhaps"),
        ("TICK_PERIOD", "0"),
        ("TICK_PERIOD", "nan"),
        ("SHUTDOWN_GRACE", "-1"),
        ("SHUTDOWN_GRACE", "inf"),
        ("MAX_CONNECTION_AGE", "0.5"),
        ("MAX_MESSAGE_BYTES", "0"),
        ("LOG_LEVEL", "loud"),
        ("RATES", "guessed"),
        ("RATES_URL", "http://rates.example/x.xml"),
        ("RATES_URL", "ftp://rates.example/x.xml"),
        ("RATES_URL", "file:///etc/passwd"),
        ("RATES_URL", "https:///x.xml"),
        ("RATES_URL", "https://user:word@rates.example/x.xml"),
        ("RATES_URL", "http://[::1"),
        ("RATES_FILE", "/nowhere/rates.xml"),
        ("RATES_POLL", "0"),
        ("RATES_TIMEOUT", "0"),
        ("RATES_MAX_AGE", "nan"),
        ("RATES_MAX_JUMP", "0"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Nothing that makes no sense is accepted."""
    monkeypatch.setenv(f"CORE_{name}", value)

    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize(
    "url",
    [
        "https://rates.example/x.xml",
        "http://localhost:8000/x.xml",
        "http://127.0.0.1/",
        "http://[::1]/",
    ],
)
def test_rates_come_over_tls_or_from_this_machine(url: str) -> None:
    """Any HTTPS URL, and HTTP on loopback."""
    assert Settings(rates_url=url).rates_url == url


@pytest.mark.parametrize(
    ("rates", "ticker", "simulates"),
    [
        ("bundled", "auto", True),
        ("bundled", "off", False),
        ("ecb", "auto", False),
        ("ecb", "on", True),
        ("ecb", "off", False),
    ],
)
def test_live_rates_are_not_simulated_unless_asked(
    rates: str, ticker: str, *, simulates: bool
) -> None:
    """Bundled rates move by default, live ones only where the setting says so."""
    assert Settings.model_validate({"rates": rates, "ticker": ticker}).simulates is simulates
