"""Queries of which each parameter is a field of the message itself, given once: nearly all that clients send.

Rule: this accepts a subset of what `Parameters.set_query` accepts, and sets the same; tests compare the two.
Anything else, errors included, is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import unquote_plus

from google.protobuf.descriptor import Descriptor

from gateway.contract.fields import FieldPath, is_message, query_names, shared_oneof
from gateway.transcoding import scalars

_MAX_PLAIN: Final = 16 * 1024
"""Maximum bytes of a query that is read here."""


class PlainQuery:
    """Sets the scalar fields of one message type from queries."""

    def __init__(self, message: Descriptor, bound: Iterable[FieldPath]) -> None:
        """Takes the type, and the paths of fields that the query must not set."""
        taken = {path[0].name if path else "" for path in bound}
        self._fields: dict[str, tuple[str, Callable[[str], Any]]] = {}
        """Name in a query -> name of the field, and what reads its text."""
        for name, field in query_names(message).items():
            if not (
                {"", field.name} & taken
                or field.is_repeated
                or is_message(field)
                or shared_oneof(field)
            ):
                self._fields[name] = field.name, scalars.from_text(field)

    def apply(self, message: Any, query: bytes) -> bool:
        """Sets fields; returns False if the query is not plain, and may have set some of its fields.

        Args:
            message: to which nobody else has set these fields.
            query: as it came, not empty.
        """
        fields = self._fields
        if not fields or len(query) > _MAX_PLAIN:
            return False
        seen: set[str] = set()
        try:
            parts = query.decode()
            is_coded = "%" in parts or "+" in parts
            for part in parts.split("&"):
                name, _, text = part.partition("=")
                found = fields.get(name)
                if found is None or found[0] in seen:
                    return False
                if is_coded:
                    text = unquote_plus(text, errors="strict")
                field, convert = found
                seen.add(field)
                setattr(message, field, convert(text))
        except (ValueError, TypeError):
            return False
        return True
