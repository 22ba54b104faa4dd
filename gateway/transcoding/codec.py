"""JSON text <-> messages: the functions of `decoding` and `encoding`, joined to a parser and a printer.

orjson parses and prints; what it lets pass and the specification does not (a key given twice) is looked
for here, in a way that costs a well-formed text next to nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.contract.json_options import JsonOptions
from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.encoding import JsonEncoder
from gateway.transcoding.violations import quoted

__all__ = [
    "JsonCodec",
    "JsonOptions",
    "JsonPrintError",
    "JsonSyntaxError",
    "is_long",
    "parse_json",
    "print_json",
]

_BACKSLASH: Final = ord("\\")
_ESCAPED_COLONS: Final = (rb"\u003a", rb"\u003A")
_MAX_NAMED: Final = 64 * 1024
"""Bytes of a text in which a key that is given twice is looked for, to name it: that is slow."""


MAX_INLINE_VALUES: Final = 10_000
"""Values of JSON that are decoded in one turn of the event loop: 20 ms of the dearest kind (`Struct`)."""


def is_long(data: bytes) -> bool:
    """Returns whether JSON may have more than `MAX_INLINE_VALUES` values, told by its commas.

    Depth is bounded (`decoding`), so a text without commas has few values.
    """
    return len(data) > 2 * MAX_INLINE_VALUES and data.count(b",") > MAX_INLINE_VALUES


class JsonSyntaxError(ValueError):
    """A text that is not JSON; the message says where, in line and column."""


class JsonCodec:
    """Both directions for the types of one contract; an encoder for each set of options in use."""

    def __init__(
        self, pool: DescriptorPool, options: JsonOptions, *, ignore_unknown: bool = False
    ) -> None:
        self._pool = pool
        self._encoders = {options: JsonEncoder(pool, options)}
        self.options = options
        self.decoder = JsonDecoder(pool, ignore_unknown=ignore_unknown)

    def encoder(self, options: JsonOptions | None = None) -> JsonEncoder:
        """Returns the encoder that prints as `options` say; none means the process's own."""
        options = options or self.options
        if options not in self._encoders:
            self._encoders[options] = JsonEncoder(self._pool, options)
        return self._encoders[options]


def parse_json(text: bytes) -> Any:
    """Parses a JSON text (RFC 8259).

    Raises:
        JsonSyntaxError: it is none, it nests deeper than any message does, or an object in it has a
            key twice.
    """
    try:
        value = orjson.loads(text)
        printed = orjson.dumps(value)
    except orjson.JSONDecodeError as error:
        raise JsonSyntaxError(
            f"malformed JSON at line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except orjson.JSONEncodeError:  # of what was parsed, only its depth cannot be printed
        raise JsonSyntaxError("malformed JSON: it nests too deep") from None
    if printed != text and _colons(text) != printed.count(b":"):
        if len(text) <= _MAX_NAMED:
            json.loads(text, object_pairs_hook=_reject_duplicates, parse_int=str, parse_float=str)
        raise JsonSyntaxError("malformed JSON: a key is given twice in one object")
    return value


def _colons(text: bytes) -> int:
    """Returns how many colons a JSON text has when it is printed again, if no key of it is given twice.

    Each key has one behind it, which is lost with the key; those in strings stay, and may be escaped.
    """
    colons = text.count(b":")
    if _BACKSLASH in text:
        unpaired = text.replace(rb"\\", b"")  # a backslash that is left escapes what follows it
        colons += sum(unpaired.count(escaped) for escaped in _ESCAPED_COLONS)
    return colons


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise JsonSyntaxError(
                f"malformed JSON: the key {quoted(key)} is given twice in one object"
            )
        value[key] = item
    return value


print_json: Final = orjson.dumps
"""Prints a JSON value on one line; raises `JsonPrintError` if it nests deeper than 254 arrays and objects."""

JsonPrintError: Final = orjson.JSONEncodeError
