"""`protoway diff OLD NEW`: what a new contract breaks, and for whom.

Rule: the exit status says how bad it is, so that a pipeline needs no other tool.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.contract.descriptors import Contract
from gateway.contract.evolution.differences import differences
from gateway.contract.evolution.rules import Difference, Level
from gateway.options import read_settings
from gateway.settings import AnySettings, Settings
from gateway.sources.reading import read_contract

_FIRST_STATUS: Final = 2
"""Exit statuses are this and the level: 3 for source, 4 for HTTP, 5 for JSON, 6 for the wire."""
_LEVELS: Final = tuple(str(level) for level in reversed(Level))
_SOURCES: Final = (
    "a descriptor set, a .proto file, a folder of them, git:REVISION:PATH, or reflect:ADDRESS"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only this command has."""
    parser.usage = "protoway diff OLD NEW [OPTION ...]"
    parser.add_argument("old", metavar="OLD", help=f"the contract that callers know: {_SOURCES}")
    parser.add_argument("new", metavar="NEW", help="the contract that shall replace it")
    parser.add_argument(
        "--level",
        choices=_LEVELS,
        default=str(Level.SOURCE),
        help="lowest level that is reported and that fails (default: source, which is all)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument(
        "--old-http-rules",
        metavar="FILE",
        help="the HTTP rules beside OLD, if they are others than --http-rules",
    )


def run(options: argparse.Namespace) -> int:
    """Compares; returns 0 if nothing is broken, else the status of the worst level.

    Raises:
        ContractError: a source is no contract.
        OptionError: settings are wrong.
        OSError: a file cannot be read.
    """
    settings = read_settings(options, AnySettings)
    rules = options.old_http_rules
    lowest = Level[options.level.upper()]
    old = _read(options.old, settings, Path(rules) if rules else settings.http_rules)
    new = _read(options.new, settings, settings.http_rules)
    found = [one for one in differences(old, new) if one.rule.level >= lowest]
    print(_json(found) if options.format == "json" else _text(found))
    return _FIRST_STATUS + max(one.rule.level for one in found) if found else 0


def _read(name: str, settings: Settings, rules: Path | None) -> Contract:
    only = {"sources": (name,), "descriptor_set": None, "reflect": False, "http_rules": rules}
    return read_contract(settings.model_copy(update=only))


def _text(found: Sequence[Difference]) -> str:
    if not found:
        return "nothing is broken"
    counts = {level: sum(one.rule.level is level for one in found) for level in Level}
    words = (f"{count} {level}" for level, count in reversed(counts.items()) if count)
    return "\n".join((*map(str, found), f"broken: {', '.join(words)}"))


def _json(found: Sequence[Difference]) -> str:
    listed = [
        {
            "level": str(one.rule.level),
            "rule": one.rule.name,
            "element": one.element,
            "text": one.text,
            **({"aip": one.rule.aip} if one.rule.aip else {}),
        }
        for one in found
    ]
    return json.dumps({"differences": listed}, indent=2, ensure_ascii=False)
