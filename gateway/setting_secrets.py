"""Secrets among the settings: each may be given as a value, or as a file that holds it.

A field of type `SecretStr` (perhaps None) has a twin `NAME_file: Path | None = None` in the same section.
`gateway.sections.Section` checks that the twin is there and that not both are given; `secret_of` reads
whichever is given.

Rule: a secret is never printed, logged or part of an error.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, SecretStr

from gateway.setting_files import read_file

MASK: Final = "*" * 10
"""What stands for a secret where it is not shown."""

SUFFIX: Final = "_file"
"""What the twin's name ends in."""

MAX_BYTES: Final = 64 * 1024
"""Maximum size of a file with a secret, in bytes."""


class SecretError(ValueError):
    """A file has no usable secret; the text is one line, and names the file."""


def secret_of(section: BaseModel, name: str) -> str | None:
    """Returns a secret: its value, or the content of the file that its twin names; None if neither is given.

    A file is read at each call. One line break at its end does not count.

    Args:
        section: the settings or a section.
        name: of the field with the secret, without `_file`.

    Raises:
        FileReadError: the file cannot be read; it is an OSError.
        SecretError: the file is empty, larger than `MAX_BYTES`, or no UTF-8.
    """
    value: SecretStr | None = getattr(section, name)
    if value is not None:
        return value.get_secret_value()
    file = getattr(section, name + SUFFIX)
    if file is None:
        return None
    content = read_file(file)
    if len(content) > MAX_BYTES:
        raise SecretError(f"{file}: has more than {MAX_BYTES} bytes, so it is no secret")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise SecretError(f"{file}: is not UTF-8") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{file}: is empty")
    return text
