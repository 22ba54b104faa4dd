"""The settings file of a project, which commands for developers read without being told to."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from gateway.app_option import CONFIG_VARIABLE

SETTINGS_FILE: Final = "protoway.yaml"


def use_settings_file(options: argparse.Namespace) -> None:
    """Names the file of the current folder, if it has one, and neither option nor variable names another."""
    if (
        options.config is None
        and CONFIG_VARIABLE not in os.environ
        and Path(SETTINGS_FILE).exists()
    ):
        options.config = SETTINGS_FILE
