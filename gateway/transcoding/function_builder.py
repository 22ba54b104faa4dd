"""Generated Python functions, and the objects that they refer to.

Rule: the source code comes from checked descriptors only, never from a request.
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from gateway.transcoding.messages import extensions


class FunctionBuilder:
    """Builds one function; its message parameter is `m`."""

    def __init__(self, **names: object) -> None:
        self._names: dict[str, Any] = dict(names)

    def bind(self, value: object) -> str:
        """Makes an object available to the function; returns its name there."""
        name = f"x{len(self._names)}"
        self._names[name] = value
        return name

    def access(self, field: FieldDescriptor) -> str:
        """Returns the expression for a field of `m`."""
        if field.is_extension:
            return f"{self.bind(extensions)}(m)[{self.bind(field)}]"
        if not _is_attribute(field.name):
            return f"getattr(m, {field.name!r})"
        return f"m.{field.name}"

    def assignment(self, field: FieldDescriptor, value: str) -> str:
        """Returns the statement that sets a field of `m`, which must not be an extension."""
        if not _is_attribute(field.name):
            return f"setattr(m, {field.name!r}, {value})"
        return f"m.{field.name} = {value}"

    def compile(self, head: str, *lines: str) -> Callable[..., Any]:
        """Compiles the function.

        Args:
            head: name and parameters: `read(m, value)`.
            lines: the lines of its body.
        """
        text = f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)
        exec(text, self._names)  # noqa: S102 -- see the rule of this module
        function: Callable[..., Any] = self._names[head.partition("(")[0]]
        return function


def _is_attribute(name: str) -> bool:
    """Whether `m.name` is valid syntax; it is not for a keyword or `__debug__`."""
    return not iskeyword(name) and not name.startswith("__")
