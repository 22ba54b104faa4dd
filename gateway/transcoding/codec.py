"""JSON text <-> messages: the functions of `decoding` and `encoding`, joined to a parser and a printer.

orjson parses and prints; what it lets pass and the specification does not (a key given twice) is looked
for here, in a way that costs a well-formed text next to nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.encoding import JsonEncoder, JsonOptions

__all__ = ["JsonCodec", "JsonOptions", "JsonSyntaxError", "parse_json", "print_json"]

_BACKSLASH: Final = ord("\\")
_ESCAPED_COLON: Final = rb"\u003"


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
    if printed != text and _may_repeat_a_key(text, printed):
        json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    return value


def _may_repeat_a_key(text: bytes, printed: bytes) -> bool:
    """Whether a text, parsed and printed again, may have lost a key: each is followed by a colon."""
    return text.count(b":") != printed.count(b":") or (
        _BACKSLASH in text and _ESCAPED_COLON in text
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise JsonSyntaxError(f"malformed JSON: the key {key!r} is given twice in one object")
        value[key] = item
    return value


print_json: Final = orjson.dumps
"""Prints a JSON value on one line."""
