"""Real certificates for tests: a CA with its parties, and files that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from scripts.make_tls import Authority, make


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


class Issuer:
    """A CA that signs whatever certificate a test needs."""

    def __init__(self, folder: Path) -> None:
        """Makes the CA; its certificate is `ca.pem` in the folder."""
        self._folder = folder
        self._authority = Authority.new("tests")
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._authority.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        uris: Sequence[str] = (),
        dns_names: Sequence[str] = (),
        starts: float = -300,
        ends: float = 3600,
    ) -> tuple[str, str]:
        """Makes a certificate for clients and servers; returns the paths of it and of its key.

        Args:
            name: its common name.
            uris: among its alternative names.
            dns_names: the same.
            starts: seconds from now.
            ends: seconds from now.
        """
        key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests, Inc."),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(seconds=starts))
            .not_valid_after(now + timedelta(seconds=ends))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in uris]
        names += [x509.DNSName(each) for each in dns_names]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._authority.key, SHA256())
        paths = (self._folder / f"{name}.pem", self._folder / f"{name}.key")
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for path, content in zip(
            paths, (certificate.public_bytes(Encoding.PEM), secret), strict=True
        ):
            path.write_bytes(content)
        return str(paths[0]), str(paths[1])
