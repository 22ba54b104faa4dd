"""`protoway mock`: serves a contract on every wire before its server exists."""

from __future__ import annotations

import argparse
from typing import Any, Final

from gateway.app import create_app
from gateway.mock.upstream import AFTER_KEY, ERROR_KEY, MockUpstream, Pace
from gateway.options import OptionError, read_settings
from gateway.project.settings_file import use_settings_file
from gateway.server import LOGGING, serve
from gateway.settings import Settings
from gateway.sources.reading import read_contract
from gateway.tls import check_serving
from server_process.logs import configure_logs

_MIN_INTERVAL: Final = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only this command has."""
    parser.add_argument("--seed", default="0", help="another one gives other values (default: 0)")
    parser.add_argument(
        "--messages", default="5", help="messages of a server's stream; 0: without end (default: 5)"
    )
    parser.add_argument(
        "--interval", metavar="SECONDS", default="1", help="between two of them (default: 1)"
    )


def run(options: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit status.

    Raises:
        OptionError: an option is wrong.
        ContractError, ListenError, TlsError, AdmissionError, OSError: as `protoway serve`.
    """
    use_settings_file(options)
    settings = read_settings(options, Settings)
    seed = _number("--seed", options.seed, int, None)
    pace = Pace(
        messages=_number("--messages", options.messages, int, 0),
        interval=_number("--interval", options.interval, float, _MIN_INTERVAL),
    )
    headers = (*settings.request_headers, ERROR_KEY, AFTER_KEY)
    settings = settings.model_copy(update={"request_headers": headers, "upstream": "mock"})
    configure_logs(settings.log_level, LOGGING, settings.log_format, settings.log_config)
    check_serving(settings)
    upstream = MockUpstream(read_contract(settings), seed, pace)
    return serve(create_app(settings, upstream), settings)


def _number(name: str, text: str, kind: Any, least: float | None) -> Any:
    """Returns a number.

    Raises:
        OptionError: it is none, or below the least.
    """
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or (least is not None and not least <= value < float("inf")):
        what = "a whole number" if kind is int else "a number"
        more = "" if least is None else f", at least {least:g}"
        raise OptionError(f"{name}: expected {what}{more}, got {text!r}")
    return value
