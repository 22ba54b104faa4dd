"""The section `store` of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator

from gateway.sections import FlatName, Section
from gateway.store.address import read_address


def _checked(url: str | None) -> str | None:
    if url is not None:
        read_address(url)
    return url


class StoreSettings(Section):
    """A Redis or Valkey that several replicas share."""

    url: Annotated[str | None, FlatName("feed_store"), AfterValidator(_checked)] = None
    """URL of a Redis or Valkey that replicas share: `redis://HOST:PORT/DB`, `rediss://…` with TLS."""
    password: SecretStr | None = None
    """Password of the user in the URL, or of the default user. A URL with a password is refused."""
    password_file: Path | None = None
    """File that holds it."""
    ca: Path | None = None
    """PEM file with the CAs that verify the store's certificate; None: the system's."""
    certificate: Path | None = None
    """PEM file with the client certificate that the edge sends to the store."""
    key: Path | None = None
    """PEM file with the private key of the client certificate, without a password."""
    prefix: str = Field(default="protoway:", pattern=r"^[!-z|~]*$", max_length=100)
    """What every key in the store begins with; one for all replicas of an edge. No braces."""
    secret: SecretStr | None = None
    """Secret with which keys are hashed, the same for all replicas. Without one keys can be guessed."""
    secret_file: Path | None = None
    """File that holds it."""
    timeout_seconds: float = Field(default=1.0, gt=0, le=60)
    """Maximum duration of a command, connecting included. A command that is late is not repeated."""
    max_connections: int = Field(default=8, ge=1, le=1000)
    """Maximum commands of a process that are under way at a time, and so its connections for them."""
    feed_lease_seconds: Annotated[float, FlatName("feed_lease_seconds")] = Field(
        default=3.0, ge=0.1, le=60
    )
    """Time without a word of the leader of a shared stream, or of the store, after which others go on."""
    feed_keep_seconds: Annotated[float, FlatName("feed_keep_seconds")] = Field(
        default=300.0, ge=1, le=86_400
    )
    """Maximum age of the messages of shared streams in the store."""

    @field_validator("url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None
