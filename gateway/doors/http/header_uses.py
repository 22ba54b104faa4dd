"""What is done with a line of a plain head, by the name of its header."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from gateway.transcoding.metadata import PREFIX, MetadataFilter
from gateway.transcoding.request_head import READERS, REQUEST_ID

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""
UNUSUAL: Final = frozenset(
    {b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"}
)
"""Headers that change how a request is read, or how its connection is used."""
_SHARED: Final = frozenset(
    {
        *(b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"cache-control"),
        *(b"connection", b"content-type", b"dnt", b"host", b"origin", b"pragma", b"priority"),
        *(b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"sec-fetch-dest"),
        *(b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-user", b"sec-gpc"),
        *(b"upgrade-insecure-requests", b"user-agent"),
    }
)
"""Headers whose lines are cached: no credentials, and nothing that only one caller would send."""
RPC_SHARED: Final = frozenset(
    {
        *(b":authority", b"accept", b"accept-encoding", b"accept-language", b"connection"),
        *(b"connect-accept-encoding", b"connect-protocol-version", b"content-encoding"),
        *(b"content-length", b"content-type", b"grpc-accept-encoding", b"grpc-encoding", b"host"),
        *(b"origin", b"te", b"user-agent", b"x-grpc-web", b"x-user-agent"),
    }
)
"""The same for calls on a wire of RPC, of which all other headers are metadata."""


class Use(Enum):
    """What is done with a line, by the name of its header."""

    SHARED = "its line is cached"
    IGNORED = "the edge does not read it"
    LENGTH = "it says how long the body is"
    REQUEST_ID = "it names the request"
    METADATA = "it becomes metadata"
    TIMEOUT = "it says how long the call may take"
    TARGET = "it is the target, which may have a query"
    UNUSUAL = "it is left to httptools"


class ReadAllError(Exception):
    """The lines of a head have to be read together."""


def use_of(name: bytes, allowed: MetadataFilter) -> tuple[Use, str]:
    """Returns the use of a header, and the key of its metadata where it becomes some.

    Args:
        name: as it is written.
        allowed: says which headers become metadata.

    Raises:
        ReadAllError: the edge reads the header, with all others.
    """
    lower = name.lower()
    key = allowed.request.get(lower, "")
    if lower in _SHARED:
        return Use.SHARED, key
    if lower == b"content-length":
        if key:
            raise ReadAllError
        return Use.LENGTH, ""
    if lower == REQUEST_ID:
        return Use.REQUEST_ID, key
    if lower in UNUSUAL or not TOKEN.fullmatch(name):
        return Use.UNUSUAL, ""
    if lower in READERS or lower.startswith(PREFIX) or key.endswith("-bin"):
        raise ReadAllError
    return (Use.METADATA, key) if key else (Use.IGNORED, "")
