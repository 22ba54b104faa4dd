"""Content negotiation: `Accept` and `Content-Type`.

Source: RFC 9110, sections 8.3 (`Content-Type`) and 12.5.1 (`Accept`: quality values, the most specific range
wins). An extension are parameters with the options of the JSON:

    Accept: application/json; int64=number; enums=number; names=proto; defaults=all

Results are cached: callers send the same few headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.error_body import PROBLEM_JSON, STATUS_JSON
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError
from gateway.transcoding.violations import quoted

_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_CACHE_SIZE: Final = 1024
_OPTIONS: Final[Mapping[str, tuple[str, Mapping[str, bool]]]] = {
    "int64": ("int64_numbers", {"number": True, "string": False}),
    "enums": ("enum_numbers", {"number": True, "name": False}),
    "names": ("proto_names", {"proto": True, "json": False}),
    "defaults": ("defaults", {"all": True, "omit": False}),
}
"""Parameter -> field of JsonOptions, and the values of that field by parameter value."""

_JSON_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "text/json",
        "text/plain",  # a browser's `fetch` with a string body
        "application/x-www-form-urlencoded",  # `curl -d`
    }
)


class MediaRange(NamedTuple):
    """One element of an `Accept`, in lower case; the name is empty if the element is invalid."""

    name: str
    quality: float
    parameters: tuple[tuple[str, str], ...]


@lru_cache(maxsize=_CACHE_SIZE)
def choose(accept: str, offered: tuple[str, ...]) -> str | None:
    """Returns the best of the offered media types, the first of equals; None: none is acceptable.

    An empty `Accept` accepts everything. Invalid ranges are ignored.
    """
    if not accept.strip():
        return offered[0]
    ranges = parse_weighted(accept)
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    return best if _quality(best, ranges) > 0 else None


def require(accept: str, offered: tuple[str, ...]) -> str:
    """Returns the best of the offered media types.

    Raises:
        StatusError: over HTTP 406, none is acceptable.
    """
    chosen = choose(accept, offered)
    if chosen is None:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"Accept takes none of what this method can answer: {', '.join(offered)}",
            http_status=406,
        )
    return chosen


@lru_cache(maxsize=_CACHE_SIZE)
def json_options(accept: str, media_type: str, default: JsonOptions) -> JsonOptions:
    """Returns the JSON options that the caller requests for a response of this media type.

    Raises:
        StatusError: over HTTP 406, a parameter has an unknown value.
    """
    media_range = _matching(media_type, parse_weighted(accept))
    changes: dict[str, bool] = {}
    for key, value in media_range.parameters if media_range else ():
        if key in _OPTIONS:
            field, values = _OPTIONS[key]
            if value not in values:
                raise StatusError.of(
                    INVALID_ARGUMENT,
                    f"Accept: {key} is one of {', '.join(values)}, not {quoted(value)}",
                    http_status=406,
                )
            changes[field] = values[value]
    return replace(default, **changes)


@lru_cache(maxsize=_CACHE_SIZE)
def prefers_problem(accept: str) -> bool:
    """Whether `Accept` names problem details (RFC 9457), with at least the quality of plain JSON."""
    ranges = parse_weighted(accept)
    qualities = [item.quality for item in ranges if item.name == PROBLEM_JSON]
    return (
        bool(qualities) and max(qualities) > 0 and max(qualities) >= _quality(STATUS_JSON, ranges)
    )


def check_json(content_type: str, also: frozenset[str] = frozenset()) -> None:
    """Checks that a `Content-Type` is JSON in UTF-8, or one of the types in `also`.

    Raises:
        StatusError: over HTTP 415 with `accept`, it is not.
    """
    if not is_json(content_type, also):
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"the body must be JSON in UTF-8, not {quoted(content_type)}",
            http_status=415,
            headers=((b"accept", b"application/json"),),
        )


@lru_cache(maxsize=_CACHE_SIZE)
def media_type(content_type: str) -> str:
    """Returns a `Content-Type` without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=_CACHE_SIZE)
def is_json(content_type: str, also: frozenset[str] = frozenset()) -> bool:
    """Whether a `Content-Type` is JSON in UTF-8, may be so, or is one of the types in `also`."""
    name = media_type(content_type)
    if name not in _JSON_TYPES and name not in also and not name.endswith("+json"):
        return False
    charset = dict(_parameters(content_type.split(";")[1:])).get("charset", "utf-8")
    return charset in ("utf-8", "utf8", "us-ascii")


def parse_weighted(accept: str) -> list[MediaRange]:
    """Parses an `Accept`, or another header with quality values (RFC 9110, 12.4.2)."""
    return [_range(part) for part in accept.split(",") if part.strip()]


def _range(text: str) -> MediaRange:
    name, *rest = text.split(";")
    parameters = _parameters(rest)
    quality = dict(parameters).get("q", "1")
    if not _QUALITY.fullmatch(quality):
        return MediaRange("", 0.0, ())
    return MediaRange(name.strip().lower(), float(quality), parameters)


def _parameters(parts: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = (part.partition("=") for part in parts)
    return tuple((key.strip().lower(), value.strip().strip('"').lower()) for key, _, value in pairs)


def _quality(media_type: str, ranges: list[MediaRange]) -> float:
    media_range = _matching(media_type, ranges)
    return media_range.quality if media_range else 0.0


def _matching(media_type: str, ranges: list[MediaRange]) -> MediaRange | None:
    """Returns the most specific range that matches a media type; of equals the best."""
    main = media_type.partition("/")[0]
    for name in (media_type, f"{main}/*", "*/*"):
        matches = [item for item in ranges if item.name == name]
        if matches:
            return max(matches, key=lambda item: item.quality)
    return None
