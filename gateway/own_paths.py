"""Types of paths that the edge answers itself, and of the prefix below which a proxy serves it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


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
