"""What a caller takes, and what it sends: `Accept` and `Content-Type`.

Source: RFC 9110, sections 8.3 (`Content-Type`) and 12.5.1 (`Accept`: quality values, the most specific
range wins). Our own are the parameters by which a caller says how JSON is to be printed:

    Accept: application/json; int64=number; enums=number; names=proto; defaults=all

Callers send the same few headers again and again, so what one means is kept.
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
_KEPT: Final = 1024
_OPTIONS: Final[Mapping[str, tuple[str, Mapping[str, bool]]]] = {
    "int64": ("int64_numbers", {"number": True, "string": False}),
    "enums": ("enum_numbers", {"number": True, "name": False}),
    "names": ("proto_names", {"proto": True, "json": False}),
    "defaults": ("defaults", {"all": True, "omit": False}),
}
"""Parameter -> field of JsonOptions, and what its values mean."""

_JSON_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "text/json",
        "text/plain",  # what a browser's fetch says of a string
        "application/x-www-form-urlencoded",  # what `curl -d` says of anything
    }
)


class MediaRange(NamedTuple):
    """One element of an `Accept`."""

    name: str
    quality: float
    parameters: tuple[tuple[str, str], ...]


@lru_cache(maxsize=_KEPT)
def choose(accept: str, offered: tuple[str, ...]) -> str | None:
    """Returns the best of `offered`, the first of equals, or None where the caller takes none of them.

    No `Accept` at all takes everything. A range that cannot be read counts for nothing.
    """
    if not accept.strip():
        return offered[0]
    ranges = weighted(accept)
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    return best if _quality(best, ranges) > 0 else None


def require(accept: str, offered: tuple[str, ...]) -> str:
    """Returns the best of `offered`.

    Raises:
        StatusError: 406, the caller takes none of them.
    """
    chosen = choose(accept, offered)
    if chosen is None:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"Accept takes none of what this method can answer: {', '.join(offered)}",
            http_status=406,
        )
    return chosen


@lru_cache(maxsize=_KEPT)
def json_options(accept: str, media_type: str, default: JsonOptions) -> JsonOptions:
    """Returns how the caller wants JSON printed in an answer of this media type.

    Raises:
        StatusError: 406, a parameter has a value that it cannot have.
    """
    wanted = _matching(media_type, weighted(accept))
    changes: dict[str, bool] = {}
    for key, value in wanted.parameters if wanted else ():
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


@lru_cache(maxsize=_KEPT)
def prefers_problem(accept: str) -> bool:
    """Whether a caller names RFC 9457's problem details, and wants them no less than plain JSON."""
    ranges = weighted(accept)
    named = [item.quality for item in ranges if item.name == PROBLEM_JSON]
    return bool(named) and max(named) > 0 and max(named) >= _quality(STATUS_JSON, ranges)


def check_json(content_type: str, also: frozenset[str] = frozenset()) -> None:
    """Refuses a body that is said to be something else than JSON in UTF-8, or one of the types `also`.

    Raises:
        StatusError: 415, with the header that says what is taken.
    """
    if not _may_be_json(content_type, also):
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"the body must be JSON in UTF-8, not {quoted(content_type)}",
            http_status=415,
            headers=((b"accept", b"application/json"),),
        )


@lru_cache(maxsize=_KEPT)
def media_type(content_type: str) -> str:
    """Returns a `Content-Type` without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=_KEPT)
def _may_be_json(content_type: str, also: frozenset[str]) -> bool:
    name = media_type(content_type)
    if name not in _JSON_TYPES and name not in also and not name.endswith("+json"):
        return False
    charset = dict(_parameters(content_type.split(";")[1:])).get("charset", "utf-8")
    return charset in ("utf-8", "utf8", "us-ascii")


def weighted(accept: str) -> list[MediaRange]:
    """Returns the elements of an `Accept`, or of a header with weights like it (RFC 9110, 12.4.2)."""
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
    found = _matching(media_type, ranges)
    return found.quality if found else 0.0


def _matching(media_type: str, ranges: list[MediaRange]) -> MediaRange | None:
    """Returns the most specific range that a media type is in, and of equals the best."""
    main = media_type.partition("/")[0]
    for wanted in (media_type, f"{main}/*", "*/*"):
        found = [item for item in ranges if item.name == wanted]
        if found:
            return max(found, key=lambda item: item.quality)
    return None
