"""The section `api_keys` of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.sections import Section


class ApiKeySettings(Section):
    """API keys: secrets of other programs, of which the edge has the hashes in a file."""

    file: Path | None = None
    """YAML file with hashes, names and rights of the keys, as `protoway api-key` prints them; none: off."""
    header: Annotated[str, AfterValidator(str.lower)] = Field(
        default="x-api-key", pattern=r"^[0-9A-Za-z_.-]*$"
    )
    """Header with the key; empty: none. It never goes upstream."""
    query: str = Field(default="", pattern=r"^[0-9A-Za-z_.~-]*$")
    """Query parameter with the key, which the method does not see; empty: none. A query ends up in logs."""
    name_metadata: str = Field(default="", pattern=r"^[0-9A-Za-z_.-]*$")
    """Metadata key under which the key's name goes upstream; empty: none. No client can set it."""
    realm: str = Field(default="", max_length=100, pattern=r"^[\x20-\x21\x23-\x5b\x5d-\x7e]*$")
    """`realm` in `WWW-Authenticate`; empty: without one."""
    file_check_seconds: float = Field(default=1.0, ge=0.05, le=3600)
    """Interval at which the file is looked at for changes; a key that is gone is refused from then on."""
