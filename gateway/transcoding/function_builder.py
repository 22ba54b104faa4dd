"""Python functions that are written while the process starts, and the objects that they name.

Rule: what stands in a source comes from a checked descriptor alone, never from a request.
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from gateway.transcoding.messages import extensions


class FunctionBuilder:
    """One function that is being written; the message that it is about is called `m`."""

    def __init__(self, **names: object) -> None:
        self._names: dict[str, Any] = dict(names)

    def bind(self, value: object) -> str:
        """Gives an object a name that the function can use."""
        name = f"x{len(self._names)}"
        self._names[name] = value
        return name

    def access(self, field: FieldDescriptor) -> str:
        """Returns the expression for a field of the message."""
        if field.is_extension:
            return f"{self.bind(extensions)}(m)[{self.bind(field)}]"
        if not _is_attribute(field.name):
            return f"getattr(m, {field.name!r})"
        return f"m.{field.name}"

    def assignment(self, field: FieldDescriptor, value: str) -> str:
        """Returns the statement that sets a field of the message, which is no extension."""
        if not _is_attribute(field.name):
            return f"setattr(m, {field.name!r}, {value})"
        return f"m.{field.name} = {value}"

    def compile(self, head: str, *lines: str) -> Callable[..., Any]:
        """Makes the function; `head` is its name and its parameters."""
        text = f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)
        exec(text, self._names)  # noqa: S102 -- see the rule of this module
        function: Callable[..., Any] = self._names[head.partition("(")[0]]
        return function


def _is_attribute(name: str) -> bool:
    """Whether Python's syntax has `m.name`; it has not for a keyword, and sets no `m.__debug__`."""
    return not iskeyword(name) and not name.startswith("__")
