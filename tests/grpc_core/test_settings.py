"""What can be set, and what cannot."""

import pytest
from pydantic import ValidationError

from grpc_core.settings import Settings


def test_the_defaults_serve_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any setting, the core listens on loopback; an empty variable is no setting."""
    monkeypatch.setenv("CORE_HOST", "")

    settings = Settings()

    assert (settings.host, settings.port, settings.ticker) == ("127.0.0.1", 50051, "on")


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
        ("MAX_MESSAGE_BYTES", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Nothing that makes no sense is accepted."""
    monkeypatch.setenv(f"CORE_{name}", value)

    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
