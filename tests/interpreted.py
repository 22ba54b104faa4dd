"""What a test can only do to a module that is interpreted."""

from __future__ import annotations

import sys

import pytest


def needs_source(module: str) -> None:
    """Skips a test that replaces a function, a method or a class of a module, where the module is compiled.

    Compiled code calls what it knows by its address, whatever its name means by then.
    """
    if not str(sys.modules[module].__file__).endswith(".py"):
        pytest.skip(f"{module} is compiled, and the test replaces a part of it")
