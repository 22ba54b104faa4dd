"""`protoway settings`: what is in force, and where each value came from; or the schema of the file.

Rule: nothing is opened or contacted; only the settings file is read.
"""

from __future__ import annotations

import argparse
import json

from gateway.config_file.printing import DEFAULT, print_settings
from gateway.config_file.schema import file_schema
from gateway.options import given_options, option, read_settings
from gateway.sections import Setting
from gateway.setting_groups import GROUPS
from gateway.settings import PREFIX, AnySettings, EnvoySettings, Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that only this command has."""
    parser.add_argument(
        "--changed", action="store_true", help="print only what differs from the default"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print a JSON Schema of the settings file instead"
    )


def run(options: argparse.Namespace) -> int:
    """Prints; returns the exit status.

    Raises:
        OptionError: settings are wrong.
        FileReadError: the settings file cannot be read.
    """
    if options.schema:
        schema = file_schema(EnvoySettings, EnvoySettings.layout(), GROUPS)
        print(json.dumps(schema, indent=2, ensure_ascii=False))
        return 0
    given = given_options(options, Settings)
    variables = Settings.given_variables()
    file = Settings.read_file(given.get("config") or variables.get("config"))
    options.config = file  # it may be a pipe, which can be read once
    settings = read_settings(options, AnySettings)

    def origin(setting: Setting) -> str:
        if setting.name in given:
            return option(setting.name)
        if setting.name in variables:
            return f"{PREFIX}{setting.name.upper()}"
        return (file.given_at(setting.path) if file else None) or DEFAULT

    print(print_settings(settings, Settings.layout(), origin, changed=options.changed), end="")
    return 0
