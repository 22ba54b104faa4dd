"""What a file is that was given as a descriptor set and is none, and what to do instead."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

_PROTO: Final = re.compile(
    r"(?:\s|//[^\n]*\n|/\*[\s\S]*?\*/)*"
    r"(?:(?:syntax|edition)\s*=|package\s+[\w.]+\s*;|import\s+(?:(?:public|weak)\s+)?[\"']"
    r"|(?:message|service|enum)\s+\w+\s*\{|extend\s+[\w.]+\s*\{|option\s+[\w.()]+\s*=)"
)
"""Begins a .proto file, behind its comments; `import grpc` begins a program."""
_JSON: Final = re.compile(r"\s*\{")
_TEXT_FORMAT: Final = re.compile(r"(?:\s|#.*\n)*file\s*:?\s*[{<\[]")
_COMMAND: Final = "protoc --include_imports --include_source_info -o"


def not_a_set(content: bytes, file: str) -> str:
    """Returns one line on a file that is no `FileDescriptorSet`.

    Args:
        content: of the file.
        file: its name; empty if it is not known.
    """
    path = PurePath(file or "FILE.proto")
    out = path.with_suffix(".binpb").name
    if not content:
        return f"the file is empty: write a descriptor set with `{_COMMAND} {out} FILE.proto`"
    text = _text(content)
    if _JSON.match(text) or _TEXT_FORMAT.match(text):
        kind = "JSON" if _JSON.match(text) else "the text format"
        return f"this is {kind}: give the binary descriptor set, which `{_COMMAND} FILE …` writes"
    if file.endswith(".proto") or _PROTO.match(text):
        return (
            f"this is a .proto file, not a descriptor set: write `{_COMMAND} {out} {path.name}`,"
            f" and give {out}"
        )
    if text:
        return f"this is text, not a descriptor set: write one with `{_COMMAND} FILE …`"
    return f"these bytes are not a FileDescriptorSet: write one with `{_COMMAND} FILE …`"


def _text(content: bytes) -> str:
    """Returns the content as text; empty if it is binary."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    return "" if re.search(r"[\x00-\x08\x0e-\x1f]", text) else text
