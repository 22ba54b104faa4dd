"""The command `protoway`.

Rule: what a person got wrong is one line on stderr, and never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gateway import __version__
from gateway.app import create_app, read_contract
from gateway.contract.bindings import bind, warnings
from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError
from gateway.listening import ListenError
from gateway.render.envoy import render_envoy
from gateway.render.envoy_contract import envoy_contract
from gateway.render.envoy_routes import EnvoyOptions
from gateway.render.routes import render_routes
from gateway.server import serve
from gateway.settings import GROUPS, OWN_PATHS, EnvoySettings, Settings
from gateway.tls import TlsError, check_serving
from gateway.upstream.transport import TargetError

CONTRACT = ("descriptor_set", "http_rules", "auto_mapping", "services", "skip_faulty_rules")
"""The settings that say what the contract is."""
ENVOY = (
    *CONTRACT,
    *("descriptor_set_out", "descriptor_set_path", "upstream", "host", "port", "admin_port"),
    *("max_connections", "max_message_bytes", "timeout_seconds", "send_timeout_seconds"),
    *("upstream_keepalive_seconds", "upstream_tls", "upstream_ca", "upstream_certificate"),
    *("upstream_key", "upstream_name", "tls_certificate", "tls_key", "origins", "ignore_unknown"),
    *("print_defaults", "print_proto_names", "print_enum_numbers", "print_int64_numbers"),
)
"""The settings that Envoy can be told."""


class CommandError(Exception):
    """Why a command cannot go on; `status` is the exit status."""

    def __init__(self, problem: str, status: int = 1) -> None:
        self.status = status
        super().__init__(problem)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(_settings(options, options.settings)))
        sys.stdout.flush()
        return status
    except CommandError as error:
        print(f"protoway: {error}", file=sys.stderr)
        return error.status
    except (ContractError, ListenError, TargetError, TlsError) as error:
        print(f"protoway: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # whoever read the output has read enough; nor shall the flush at exit complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"protoway: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="protoway", description="One .proto, every way in.")
    parser.add_argument("--version", action="version", version=f"protoway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, kind, names, purpose in (
        ("serve", _serve, Settings, Settings.model_fields, "serve a contract over HTTP"),
        ("routes", _routes, Settings, CONTRACT, "print the table of routes"),
        ("check", _check, Settings, (*CONTRACT, *OWN_PATHS), "report every problem of a contract"),
        ("envoy", _envoy, EnvoySettings, ENVOY, "print what makes Envoy serve a contract"),
    ):
        command = commands.add_parser(
            name,
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}. Each option can also be set by the"
            " environment variable of its name, with PROTOWAY_ before it.",
        )
        _add_settings(command, kind, names)
        command.set_defaults(run=run, settings=kind)
    return parser


def _add_settings(
    parser: argparse.ArgumentParser, kind: type[Settings], names: Collection[str]
) -> None:
    """Adds an option for each setting, with its description and its default, below its group's heading."""
    headings = _headings(kind)
    groups = {
        heading: parser.add_argument_group(heading)
        for heading in dict.fromkeys(headings.values())
        if any(headings[name] == heading for name in names)
    }
    for name in names:
        field = kind.model_fields[name]
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        extra: dict[str, Any] = {"metavar": name.upper()}
        if field.annotation is bool:
            extra = {"action": argparse.BooleanOptionalAction}
        elif get_origin(field.annotation) is tuple:
            extra["nargs"] = "+"
        groups[headings[name]].add_argument(
            "--" + name.replace("_", "-"),
            help=f"{field.description} ({default})".replace("%", "%%"),
            **extra,
        )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(default) or "none"
    return str(default)


def _headings(kind: type[Settings]) -> dict[str, str]:
    """Returns the heading of each setting's group."""
    headings: dict[str, str] = {}
    heading = ""
    for name in kind.model_fields:
        heading = GROUPS.get(name, heading)
        headings[name] = heading
    return headings


def _settings(options: argparse.Namespace, kind: type[Settings]) -> Settings:
    given = {name: getattr(options, name, None) for name in kind.model_fields}
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = (
            f"--{'.'.join(map(str, item['loc'])).replace('_', '-')}: {item['msg']}"
            for item in error.errors()
        )
        raise CommandError("; ".join(problems), status=2) from error
    except SettingsError as error:
        raise CommandError(str(error), status=2) from error


def _serve(settings: Settings) -> int:
    check_serving(settings)
    return serve(create_app(settings), settings)


def _routes(settings: Settings) -> int:
    contract = read_contract(settings)
    bindings, problems = bind(contract.methods)
    print(render_routes(bindings))
    _report_left_out(contract)
    return _report(problems)


def _check(settings: Settings) -> int:
    contract = read_contract(settings)
    bindings, problems = bind(contract.methods)
    _report_left_out(contract)
    for warning in warnings(bindings, settings.own_paths()):
        print(f"protoway: warning: {warning}", file=sys.stderr)
    if not problems:
        methods = {binding.method for binding in bindings}
        left_out = (
            f"{len(contract.left_out)} problems left out" if contract.left_out else "no problems"
        )
        print(f"{len(bindings)} bindings of {len(methods)} methods, {left_out}")
    return _report(problems)


def _envoy(settings: EnvoySettings) -> int:
    contract = read_contract(settings)
    _report_left_out(contract)
    _, problems = bind(contract.methods)
    if problems:
        return _report(problems)
    if contract.left_out:  # Envoy would map the methods of which the rules were left out
        settings = settings.model_copy(update={"auto_mapping": False})
    elif settings.auto_mapping:  # Envoy maps by itself what has no rule
        contract = read_contract(settings.model_copy(update={"auto_mapping": False}))
    given = envoy_contract(contract, auto_mapping=settings.auto_mapping)
    out = settings.descriptor_set_out
    if out is None and given.own_set:
        raise CommandError(f"{given.own_set}: give --descriptor-set-out FILE")
    place = settings.descriptor_set_path or str(out or settings.descriptor_set)
    try:
        text = render_envoy(given, _envoy_options(settings, place))
    except ValueError as error:
        raise CommandError(str(error), status=2) from error
    if out is not None:
        try:
            out.write_bytes(given.descriptor_set)
        except OSError as error:
            raise CommandError(f"cannot write {out}: {error.strerror}") from error
    print(text, end="")
    return 0


def _envoy_options(settings: EnvoySettings, place: str) -> EnvoyOptions:
    same = {field.name for field in fields(EnvoyOptions)} & EnvoySettings.model_fields.keys()
    given: dict[str, Any] = {name: getattr(settings, name) for name in same}
    own = settings.descriptor_set_out is not None
    return EnvoyOptions(**given | {"descriptor_set": place, "own_descriptor_set": own})


def _report_left_out(contract: Contract) -> None:
    for error in contract.left_out:
        print(f"protoway: left out, and not served: {error}", file=sys.stderr)


def _report(problems: list[ContractError]) -> int:
    for problem in problems:
        print(f"protoway: {problem}", file=sys.stderr)
    return 1 if problems else 0
