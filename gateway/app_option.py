"""`protoway serve --app MODULE:ATTRIBUTE`: an application that the user has made with `create_app`.

The settings that it was made with count; `--config` names the file that they read. Options of the server win
over them; the others are refused, because the application was made before they could be obeyed.

Rule: what a person got wrong is one line, which says where.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from pydantic import ValidationError

from gateway.contract.errors import ContractError
from gateway.options import OptionError, given_options, option, read_settings
from gateway.settings import PREFIX, Settings
from gateway.tls import TlsError
from gateway.upstream.transport import TargetError
from server_process.tracing import TracingError

SERVER_SETTINGS: Final = (
    *("host", "port", "workers", "tls_certificate", "tls_key", "drain_seconds", "log_level"),
    *("max_connections", "max_connections_per_address", "max_head_bytes", "max_headers"),
    *("head_timeout_seconds", "body_timeout_seconds", "keep_alive_seconds"),
    *("http2", "http2_max_streams", "tls_handshake_seconds", "send_timeout_seconds"),
    *("websocket_ping_seconds", "websocket_small_frames", "websocket_compression"),
    *("tls_client_ca", "tls_client_certificates", "tls_check_seconds", "drain_delay_seconds"),
    *("log_format", "log_config", "access_log", "access_log_path", "access_log_raw_path"),
    *("access_log_progress_minutes", "access_log_sample"),
)
"""The settings that the server alone reads, so that an option can still change them."""


CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"


class AppError(Exception):
    """`--app` names nothing that can be served; the text is one line."""


def load_app(name: str, config: str | None = None) -> FastAPI:
    """Imports an application; modules are looked for in the current folder first.

    Args:
        name: `MODULE:ATTRIBUTE`; either may have dots.
        config: settings file that the settings made in the module are to read.

    Raises:
        OptionError: the name is not written so.
        AppError: the module or the attribute does not exist, the module fails, or `create_app` has not made
            what is there.
        ContractError, TargetError, TlsError, TracingError, OSError: `create_app` has raised it in the module.
    """
    module_name, _, attribute = name.partition(":")
    if not all(
        part.isidentifier() for text in (module_name, attribute) for part in text.split(".")
    ):
        raise OptionError(f"--app: write MODULE:ATTRIBUTE, as mypackage.edge:app, got {name!r}")
    if config is not None:
        os.environ[CONFIG_VARIABLE] = config
    found: Any = _import(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AppError(f"--app: {module_name} has no attribute {attribute}")
        found = getattr(found, part)
    if not isinstance(found, FastAPI):
        raise AppError(
            f"--app: {name} is no application, but of type {type(found).__name__}: name what"
            " create_app returns; middleware is added with its add_middleware"
        )
    if not isinstance(getattr(found.state, "settings", None), Settings):
        raise AppError(
            f"--app: {name} was not made by create_app; serve an application that mounts one by another"
            " ASGI server"
        )
    return found


def settings_of(app: FastAPI, options: argparse.Namespace) -> Settings:
    """Returns the settings that an application was made with, and over them the options of the server.

    Raises:
        OptionError: an option is wrong, or is one that the application was made without.
    """
    made_with: Settings = app.state.settings
    given = given_options(options, type(made_with))
    file = given.pop("config", None)
    if file is not None and made_with.config != Path(file):
        raise OptionError(
            f"--config: the application of --app was made with config={made_with.config}"
        )
    for name in given:
        if name not in SERVER_SETTINGS:
            raise OptionError(
                f"{option(name)}: the application of --app was made without it; pass {name} to Settings"
                f" there, set {PREFIX}{name.upper()}, or write it into the file of --config"
            )
    return read_settings(options, type(made_with), made_with)


def _import(name: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise AppError(
                f"--app: there is no module {error.name} in {folder}, nor installed"
            ) from error
        raise AppError(_failed(name, error)) from error
    except (ContractError, TargetError, TlsError, TracingError, OSError):
        raise
    except ValidationError as error:
        raise AppError(f"--app: {name}: {error.title}: {_problems(error)}") from error
    except Exception as error:
        raise AppError(_failed(name, error)) from error


def _problems(error: ValidationError) -> str:
    problems = []
    for each in error.errors():
        text = each["msg"].removeprefix("Value error, ")
        problems.append(": ".join([*map(str, each["loc"]), text]))
    return "; ".join(problems)


def _failed(module: str, error: Exception) -> str:
    """Returns the line for a module that fails, with the last place of it that is in the current folder."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    folder = f"{Path.cwd()}{os.sep}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename.startswith(folder)]
    if own and not isinstance(error, SyntaxError):  # which says itself where it is
        text += f" ({own[-1].filename.removeprefix(folder)}, line {own[-1].lineno})"
    return f"--app: {module} cannot be imported: {text}; `python -c 'import {module}'` shows the traceback"
