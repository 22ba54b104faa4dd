"""The command `protoway`.

Rule: what a person got wrong is one line on stderr, and never a traceback.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from gateway import __version__, diff_command, settings_command
from gateway.admission.admission import rights_table
from gateway.admission.cors import request_headers, response_headers
from gateway.admission.error import AdmissionError
from gateway.admission.proxy_settings import ProxySettings
from gateway.api_key_command import add_api_key
from gateway.app import create_app
from gateway.app_option import AppError, load_app, settings_of
from gateway.client import call_command
from gateway.contract.bindings import bind, own_bindings, warnings
from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError
from gateway.listening import ListenError
from gateway.mock import mock_command
from gateway.operations.waiting_admin import WaitingAdmin
from gateway.options import OptionError, Parser, add_settings, read_settings, unknown_arguments
from gateway.project import dev_command
from gateway.project.init_command import add_init
from gateway.render.envoy import render_envoy
from gateway.render.envoy_admission import EnvoyAdmission, admission_problems
from gateway.render.envoy_contract import envoy_contract
from gateway.render.envoy_cors import EnvoyCors
from gateway.render.envoy_rights import EnvoyRights, envoy_rights
from gateway.render.envoy_routes import EnvoyOptions
from gateway.render.routes import RPC_NOTES, render_routes
from gateway.sections import flat_settings
from gateway.server import LOGGING, serve
from gateway.setting_secrets import SecretError
from gateway.settings import OWN_PATHS, PREFIX, AnySettings, EnvoySettings, Settings
from gateway.sources.reading import read_contract
from gateway.start_lines import unshared_streams
from gateway.store.error import StoreSettingError
from gateway.tls import TlsError, check_serving
from gateway.upstream.transport import TargetError
from server_process.logs import LogConfigError, configure_logs
from server_process.tracing import TracingError

SOURCES = (
    *("config", "proto_paths", "reflect_wait_seconds", "upstream_tls", "upstream_ca"),
    *("upstream_certificate", "upstream_key", "upstream_name"),
)
"""The settings that say how the sources of a contract are read."""
CONTRACT = (
    *SOURCES,
    *("descriptor_set", "sources", "reflect", "upstream", "http_rules", "auto_mapping"),
    *("services", "skip_faulty_rules"),
)
"""The settings that say what the contract is."""
_ARGUMENTS = {
    "call": call_command.add_arguments,
    "dev": dev_command.add_arguments,
    "diff": diff_command.add_arguments,
    "mock": mock_command.add_arguments,
    "settings": settings_command.add_arguments,
}
"""What adds the arguments that only one command has."""
CALL = (
    *(*CONTRACT, "transport", "max_message_bytes", "max_upstream_metadata_bytes"),
    *("print_defaults", "print_proto_names", "print_enum_numbers", "print_int64_numbers"),
)
"""The settings that `protoway call` takes."""
ENVOY = (
    *CONTRACT,
    *("descriptor_set_out", "descriptor_set_path", "host", "port", "admin_port"),
    "metrics_port",
    *("max_connections", "max_message_bytes", "timeout_seconds", "send_timeout_seconds"),
    *("upstream_keepalive_seconds", "tls_certificate", "tls_key", "ignore_unknown"),
    *("cors_origins", "cors_credentials", "cors_headers", "cors_exposed_headers"),
    *("cors_max_age_seconds", "cors_private_network"),
    *("print_defaults", "print_proto_names", "print_enum_numbers", "print_int64_numbers"),
    *(f"proxies_{name}" for name in ProxySettings.model_fields),
    *(
        name
        for name, setting in flat_settings(Settings).items()
        if setting.path[0] in ("jwt", "rights", "limits", "overload", "authorizer")
    ),
)
"""The settings that `protoway envoy` takes."""

FAILURES = (
    *(AdmissionError, AppError, ContractError, ListenError, SecretError, TargetError),
    *(LogConfigError, StoreSettingError, TlsError, TracingError),
)
"""What stops a command, each with a line of its own."""


_WITH_OPTIONS = (
    *(call_command.run, dev_command.run, diff_command.run, mock_command.run, settings_command.run),
)
"""Commands that are given all options, and not only the settings."""


class CommandError(Exception):
    """A command cannot go on; `status` is the exit status."""

    def __init__(self, problem: str, status: int = 1) -> None:
        self.status = status
        super().__init__(problem)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        rest = _with_sources(options, rest)
        if rest:
            raise OptionError(unknown_arguments(rest, getattr(options, "settings", Settings)))
        if getattr(options, "command", None) is not None:
            status = int(options.command(options))
        elif getattr(options, "app", None) is not None:
            status = _serve_app(options)
        elif options.run in _WITH_OPTIONS:
            status = options.run(options)
        else:
            status = int(options.run(read_settings(options, options.settings)))
        sys.stdout.flush()
        return status
    except CommandError as error:
        return _fail(error, error.status)
    except OptionError as error:
        return max(_fail(problem, 2) for problem in error.args)
    except FAILURES as error:
        return max(_fail(problem, 1) for problem in getattr(error, "problems", (error,)))
    except BrokenPipeError:
        # the reader of the output has read enough; the flush at exit must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(
            f"cannot read {error.filename}: {error.strerror}" if error.filename else error, 1
        )


def _with_sources(options: argparse.Namespace, rest: list[str]) -> list[str]:
    """Takes the words that are no options as sources of the contract; returns what is left."""
    if not hasattr(options, "sources") or any(word.startswith("-") for word in rest):
        return rest
    if rest:
        options.sources = [*rest, *(options.sources or ())]
    return []


def _fail(reason: object, status: int) -> int:
    print(f"protoway: {reason}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="protoway", description="One .proto, every way in.")
    parser.add_argument("--version", action="version", version=f"protoway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, kind, names, purpose in (
        ("serve", _serve, Settings, flat_settings(Settings), "serve a contract over HTTP"),
        (
            "dev",
            dev_command.run,
            Settings,
            flat_settings(Settings),
            "run server and edge, and start them again when their files change",
        ),
        ("call", call_command.run, AnySettings, CALL, "call a method of a contract"),
        (
            "mock",
            mock_command.run,
            Settings,
            flat_settings(Settings),
            "serve a contract with examples as answers, without its server",
        ),
        ("routes", _routes, Settings, (*CONTRACT, "rpc"), "print the table of routes"),
        (
            "check",
            _check,
            Settings,
            (*CONTRACT, "rpc", *OWN_PATHS),
            "report every problem of a contract",
        ),
        (
            "settings",
            settings_command.run,
            Settings,
            flat_settings(Settings),
            "print the settings in force, and where each came from",
        ),
        ("envoy", _envoy, EnvoySettings, ENVOY, "print what makes Envoy serve a contract"),
        (
            "diff",
            diff_command.run,
            AnySettings,
            (*SOURCES, "http_rules", "auto_mapping", "services"),
            "say what a new contract breaks, and for whom",
        ),
    ):
        words = "[SOURCE ...] " if "sources" in names else ""
        command = commands.add_parser(
            name,
            usage=f"protoway {name} {words}[OPTION ...]",
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}. Each option can also be set by the"
            f" environment variable of its name, with {PREFIX} before it. A list is several words, or"
            " one with commas.",
        )
        if name == "serve":
            command.add_argument(
                "--app",
                metavar="MODULE:ATTRIBUTE",
                help="application of your own, made by create_app, with the settings that it was made with"
                " (an option only)",
            )
        if name in _ARGUMENTS:
            _ARGUMENTS[name](command)
        add_settings(command, kind, names)
        command.set_defaults(run=run, settings=kind)
    add_api_key(commands)
    add_init(commands)
    return parser


def _serve(settings: Settings) -> int:
    configure_logs(settings.log_level, LOGGING, settings.log_format, settings.log_config)
    check_serving(settings)
    with WaitingAdmin(settings) as waiting:
        app = create_app(settings, on_wait=waiting.tell)
    return serve(app, settings, waiting.sockets)


def _serve_app(options: argparse.Namespace) -> int:
    packages = (*LOGGING, options.app.partition(":")[0].partition(".")[0])
    configure_logs("info", packages)  # create_app warns while the module is imported
    ours = logging.getLogger().handlers[:]
    app = load_app(options.app, options.config)
    settings = settings_of(app, options)
    if logging.getLogger().handlers == ours:  # the module has not configured its own
        configure_logs(settings.log_level, packages, settings.log_format, settings.log_config)
    return serve(app, settings)


def _routes(settings: Settings) -> int:
    contract = read_contract(settings)
    bindings, problems = bind(contract.methods)
    own = own_bindings(contract.methods, bindings, settings.rpc)
    table = rights_table(settings, [*bindings, *own])
    callers = None if table is None else lambda binding: table.bindings[binding].words
    annotated = {binding.method for binding in bindings}
    bindings += (binding for binding in own if binding.method not in annotated)
    print(render_routes(bindings, callers), *RPC_NOTES[settings.rpc], sep="\n")
    _report_left_out(contract)
    return _report(problems)


def _check(settings: Settings) -> int:
    contract = read_contract(settings)
    bindings, problems = bind(contract.methods)
    _report_left_out(contract)
    texts: list[object] = [*warnings(bindings, settings.own_paths())]
    if settings.store.url is not None:
        texts += unshared_streams(bindings)
    own = own_bindings(contract.methods, bindings, settings.rpc)
    table = rights_table(settings, [*bindings, *own])
    for text in (*texts, *(() if table is None else table.warnings)):
        print(f"protoway: warning: {text}", file=sys.stderr)
    if not problems:
        methods = {binding.method for binding in bindings}
        left_out = f"{n} problems left out" if (n := len(contract.left_out)) else "no problems"
        print(f"{len(bindings)} bindings of {len(methods)} methods, {left_out}")
    return _report(problems)


def _envoy(settings: EnvoySettings) -> int:
    contract = read_contract(settings)
    _report_left_out(contract)
    bindings, problems = bind(contract.methods)
    if problems:
        return _report(problems)
    if refused := admission_problems(settings):
        raise CommandError("; ".join(refused), status=2)
    table = rights_table(settings, bindings)
    if contract.left_out:  # Envoy would map the methods of which the rules were left out
        settings = settings.model_copy(update={"auto_mapping": False})
    elif settings.auto_mapping:  # Envoy maps by itself what has no rule
        contract = read_contract(settings.model_copy(update={"auto_mapping": False}))
    given = envoy_contract(contract, auto_mapping=settings.auto_mapping)
    out = settings.descriptor_set_out
    if out is None and given.own_set:
        raise CommandError(f"{given.own_set}: give --descriptor-set-out FILE")
    read = settings.descriptor_set
    if out is None and (read is None or settings.sources or settings.reflect):
        raise CommandError("Envoy reads one descriptor set: give --descriptor-set-out FILE")
    place = settings.descriptor_set_path or str(out or read)
    try:
        rights = None if table is None else envoy_rights(settings.rights, table.bindings)
        text = render_envoy(given, _envoy_options(settings, place, rights))
    except ValueError as error:
        raise CommandError(str(error), status=2) from error
    if out is not None:
        try:
            out.write_bytes(given.descriptor_set)
        except OSError as error:
            raise CommandError(f"cannot write {out}: {error.strerror}") from error
    print(text, end="")
    return 0


def _envoy_options(settings: EnvoySettings, place: str, rights: EnvoyRights | None) -> EnvoyOptions:
    same = {field.name for field in fields(EnvoyOptions)} & EnvoySettings.model_fields.keys()
    given: dict[str, Any] = {name: getattr(settings, name) for name in same}
    own = settings.descriptor_set_out is not None
    cors = EnvoyCors(
        origins=settings.cors.origins,
        credentials=settings.cors.credentials,
        request_headers=request_headers(settings.cors, settings.request_headers),
        response_headers=response_headers(settings.cors, settings.response_headers),
        max_age_seconds=settings.cors.max_age_seconds,
        private_network=settings.cors.private_network,
    )
    admission = EnvoyAdmission(
        jwt=settings.jwt,
        rights=rights,
        limits=settings.limits,
        overload=settings.overload,
        authorizer=settings.authorizer,
    )
    made: dict[str, Any] = {"cors": cors, "admission": admission, "own_descriptor_set": own}
    return EnvoyOptions(**given | made | {"descriptor_set": place})


def _report_left_out(contract: Contract) -> None:
    for error in contract.left_out:
        print(f"protoway: left out, and not served: {error}", file=sys.stderr)


def _report(problems: list[ContractError]) -> int:
    for problem in problems:
        print(f"protoway: {problem}", file=sys.stderr)
    return 1 if problems else 0
