"""Real certificates for tests: a CA with its parties, and files that are wrong."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from scripts.make_tls import make


def made(folder: Path) -> Path:
    """Makes a CA and its parties; returns the folder."""
    assert make(folder)
    return folder


def wrong_files(folder: Path) -> dict[str, Path]:
    """Makes a party, and files that are not what they should be; returns them by name."""
    core = made(folder) / "core"
    key = load_pem_private_key((core / "key.pem").read_bytes(), None)
    encryption = BestAvailableEncryption(b"secret")
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    (core / "locked.pem").write_bytes(locked)
    (core / "junk.pem").write_bytes(b"\xff no PEM at all\n")
    names = ("certificate", "key", "ca", "locked", "junk", "absent")
    return {name: core / f"{name}.pem" for name in names} | {
        "foreign": folder / "gateway" / "key.pem"
    }
