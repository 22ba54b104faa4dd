"""JSON text <-> messages: `decoding` and `encoding` with a JSON parser and printer.

orjson parses and prints. It accepts duplicate keys, which "ProtoJSON Format" forbids; they are detected here,
at little cost for well-formed text.
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

_loads: Final = orjson.loads
_BACKSLASH: Final = ord("\\")
_BRACKET: Final = ord("[")
"""As numbers: to look for bytes in bytes raises an error first, and forgets it."""
_ESCAPED_COLONS: Final = (rb"\u003a", rb"\u003A")
_MAX_NAMED: Final = 64 * 1024
"""Maximum bytes of a text in which a duplicate key is searched for, to name it; the search is slow."""


MAX_INLINE_VALUES: Final = 10_000
"""Maximum JSON values decoded in one turn of the event loop: 20 ms in the worst case (`Struct`)."""


def is_long(data: bytes) -> bool:
    """Returns whether a JSON text may have more than `MAX_INLINE_VALUES` values, estimated by its commas.

    Depth is limited (`decoding`), so a text with few commas has few values.
    """
    return len(data) > 2 * MAX_INLINE_VALUES and data.count(b",") > MAX_INLINE_VALUES


class JsonSyntaxError(ValueError):
    """A text that is not JSON; the message has line and column."""


class JsonCodec:
    """The decoder and the encoders for the types of one contract; one encoder per set of options."""

    def __init__(
        self, pool: DescriptorPool, options: JsonOptions, *, ignore_unknown: bool = False
    ) -> None:
        self._pool = pool
        self._encoders = {options: JsonEncoder(pool, options)}
        self.options = options
        self.decoder = JsonDecoder(pool, ignore_unknown=ignore_unknown)

    def encoder(self, options: JsonOptions | None = None) -> JsonEncoder:
        """Returns the encoder for some options; None: the default options."""
        options = options or self.options
        if options not in self._encoders:
            self._encoders[options] = JsonEncoder(self._pool, options)
        return self._encoders[options]


def parse_json(text: bytes) -> Any:
    """Parses a JSON text (RFC 8259).

    Raises:
        JsonSyntaxError: it is not JSON, it nests too deep, or an object has a duplicate key.
    """
    try:
        value = _loads(text)
        # as many colons as keys: none is given twice, and no object within has any; arrays may be too deep
        if type(value) is dict and _BRACKET not in text and text.count(b":") == len(value):
            return value
        printed = print_json(value)
    except orjson.JSONDecodeError as error:
        raise JsonSyntaxError(
            f"malformed JSON at line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except orjson.JSONEncodeError:  # a parsed value fails to print only for its depth
        raise JsonSyntaxError("malformed JSON: it nests too deep") from None
    if printed != text and _colons(text) != printed.count(b":"):
        if len(text) <= _MAX_NAMED:
            json.loads(text, object_pairs_hook=_reject_duplicates, parse_int=str, parse_float=str)
        raise JsonSyntaxError("malformed JSON: a key is given twice in one object")
    return value


def _colons(text: bytes) -> int:
    """Returns the number of colons in the reprinted JSON text, if it has no duplicate keys.

    A duplicate key is lost when the text is reprinted, with its colon. Colons in strings stay; they may be
    escaped in `text`.
    """
    colons = text.count(b":")
    if _BACKSLASH in text:
        unpaired = text.replace(rb"\\", b"")  # each remaining backslash starts an escape
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
"""Prints a JSON value on one line; raises `JsonPrintError` if it nests deeper than 254 levels."""

JsonPrintError: Final = orjson.JSONEncodeError
