"""The names of a project, in the forms that its files need."""

from __future__ import annotations

import re
from typing import Final

from gateway.options import OptionError

MAX_LENGTH: Final = 40
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


def placeholders(name: str) -> dict[str, str]:
    """Returns what the templates' placeholders stand for: `name`, and `service` in camel case.

    Raises:
        OptionError: the name cannot be that of a protobuf package.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_LENGTH:
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:MAX_LENGTH].strip("_")
        raise OptionError(
            f"init: {name!r} is no name of a package: write small letters, digits and `_`, a letter"
            f" first, at most {MAX_LENGTH} characters" + (f", as {near}" if near else "")
        )
    words = "".join(word.capitalize() for word in name.split("_"))
    return {"name": name, "service": f"{words}Service"}
