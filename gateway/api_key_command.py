"""The command `protoway api-key`: makes an API key, and prints its entry for the file of keys."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from gateway.admission.authentication.api_keys import new_api_key
from gateway.options import OptionError

PURPOSE = "make an API key"


def add_api_key(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    command = commands.add_parser(
        "api-key",
        help=PURPOSE,
        usage="protoway api-key NAME [OPTION ...]",
        description="Makes an API key. stdout gets its entry for the file of `--api-keys-file`, which has"
        " only a hash of it; stderr gets the key, which is shown this once.",
    )
    command.add_argument("name", metavar="NAME", help="who gets the key: the name of its identity")
    command.add_argument("--scopes", nargs="+", default=[], help="rights, as the claim `scope`")
    command.add_argument("--roles", nargs="+", default=[], help="rights, as the claim `roles`")
    command.add_argument(
        "--days", type=float, help="days after which the key ends (default: never)"
    )
    command.add_argument("--prefix", default="pw", help="what the key begins with (default: pw)")
    command.set_defaults(command=print_api_key)


def print_api_key(options: argparse.Namespace) -> int:
    """Makes and prints a key; returns the exit status.

    Raises:
        OptionError: an option is wrong.
    """
    try:
        expires = None
        if options.days is not None:
            expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.days)
        key, entry = new_api_key(
            options.name,
            prefix=options.prefix,
            scopes=tuple(options.scopes),
            roles=tuple(options.roles),
            expires=expires,
        )
    except (ValueError, OverflowError) as error:
        raise OptionError(f"api-key: {_line(error)}") from None
    print(yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True), end="")
    print(f"protoway: the key of {options.name}, shown this once: {key}", file=sys.stderr)
    return 0


def _line(error: Exception) -> str:
    """Returns what is wrong in one line."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    return "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in problems(include_input=False))
