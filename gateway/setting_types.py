"""Types that settings and their sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.transcoding.metadata import checked_key
from gateway.transcoding.origin import origin_pattern

HeaderName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]+$")]
"""A name that is valid for an HTTP header and as a gRPC metadata key."""


def _checked(name: str) -> str:
    checked_key(name.lower())
    return name


RequestHeaderName = Annotated[HeaderName, AfterValidator(_checked)]
"""A header name that may become request metadata: not reserved by gRPC or HTTP."""


def _without_dots(path: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise ValueError("has a segment . or .., which clients remove before they send a request")
    return path


OwnPath = Annotated[
    str,
    Field(pattern=r"^(/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)*$"),
    AfterValidator(_without_dots),
]
"""A path that the edge answers itself, without percent-encoded characters; or empty."""
RootPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9\-._~]+)*$"), AfterValidator(_without_dots)]
"""A prefix of paths that has one spelling, for none of its characters needs percent-encoding; or empty."""

Origin = Annotated[str, AfterValidator(origin_pattern)]
"""An origin as browsers serialize it, `SCHEME://*.DOMAIN` for all origins below a domain, or `*`."""
