"""A reader of the how-to pages, with ports that are free and what the pages use of a checkout."""

from __future__ import annotations

from pathlib import Path

from tests.pages import ROOT, Reader
from tests.whole.conftest import free_ports

PAGES = ROOT / "docs" / "how-to"
PORTS = (8000, 8080, 8081, 8082, 8083, 8443, 8444, 9901, 50051, 50052, 50053)
"""All that the pages name."""


def reader(folder: Path, *skip: str, checkout: bool = True) -> Reader:
    """Returns a reader in a folder, which has what the pages use of a checkout or is empty."""
    if checkout:
        (folder / "protos").symlink_to(ROOT / "protos")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return Reader(folder, ports, environment, skip)
