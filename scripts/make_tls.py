"""Generates the files of the profile `tls`: a CA, a certificate per party, and Envoy's configuration.

    python scripts/make_tls.py FOLDER [ENVOY_YAML]

Each party has its own folder below FOLDER, so that it has only its own key. The CA's key is not stored. Valid
files are kept, since programs read them only at start-up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PARTIES: Final = ("core", "gateway", "envoy", "client")
FILES: Final = ("ca.pem", "certificate.pem", "key.pem")
_LIFE: Final = timedelta(days=365)
_RENEW_BEFORE: Final = timedelta(days=30)


@dataclass(frozen=True)
class Authority:
    """A CA with its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str = "protoway") -> Authority:
        """Generates a self-signed CA."""
        key = generate_private_key(SECP256R1())
        subject = _named(f"{name} CA")
        builder = _builder(subject, subject, key, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = _usage(key_cert_sign=True, crl_sign=True)
        return cls(builder.add_extension(usage, critical=True).sign(key, SHA256()), key)

    def issue(self, party: str) -> dict[str, bytes]:
        """Returns the files of a party, by name. All are clients; all but `client` are servers too."""
        key = generate_private_key(SECP256R1())
        builder = (
            _builder(_named(party), self.certificate.subject, key, self.key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
        )
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if party != "client":
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(_alternative_names(party), critical=False)
        usage = x509.ExtendedKeyUsage(purposes)
        certificate = builder.add_extension(usage, critical=False).sign(self.key, SHA256())
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = [each.public_bytes(Encoding.PEM) for each in (self.certificate, certificate)]
        return dict(zip(FILES, [*public, secret], strict=True))


def _alternative_names(party: str) -> x509.SubjectAlternativeName:
    """Returns the names of a party: those in the compose file, and those of its published port."""
    names = [x509.DNSName(name) for name in (party, f"{party}-tls", "localhost")]
    addresses = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    return x509.SubjectAlternativeName([*names, *addresses])


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(signed_by, critical=False)
    )


def _usage(**used: bool) -> x509.KeyUsage:
    usages = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    others = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**(dict.fromkeys((*usages, *others), False) | used))


def make(folder: Path) -> bool:
    """Generates the files of all parties, unless they are valid for a month; returns whether it did."""
    if _are_valid(folder):
        return False
    authority = Authority.new()
    for party in PARTIES:
        _write(folder / party, authority.issue(party))
    return True


def _are_valid(folder: Path) -> bool:
    try:
        authorities = {(folder / party / "ca.pem").read_bytes() for party in PARTIES}
        certificates = [(folder / party / "certificate.pem").read_bytes() for party in PARTIES]
        keys = all((folder / party / "key.pem").stat().st_size for party in PARTIES)
    except OSError:
        return False
    until = min(x509.load_pem_x509_certificate(each).not_valid_after_utc for each in certificates)
    return keys and len(authorities) == 1 and until > datetime.now(UTC) + _RENEW_BEFORE


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files; only the owner can read a key."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = folder / name
        path.unlink(missing_ok=True)
        mode = 0o600 if name == "key.pem" else 0o644
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)


def with_tls(configuration: Any, folder: str = "/tls") -> Any:
    """Adds TLS to the listeners and clusters of an Envoy configuration."""
    certificate = {
        "certificate_chain": {"filename": f"{folder}/certificate.pem"},
        "private_key": {"filename": f"{folder}/key.pem"},
    }
    for listener in configuration["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            common = {"tls_certificates": [certificate], "alpn_protocols": ["h2", "http/1.1"]}
            chain["transport_socket"] = _socket("Downstream", common)
    for cluster in configuration["static_resources"]["clusters"]:
        (endpoint, *_) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        host = endpoint["endpoint"]["address"]["socket_address"]["address"]
        validation = {
            "trusted_ca": {"filename": f"{folder}/ca.pem"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
        }
        common = {"tls_certificates": [certificate], "validation_context": validation}
        cluster["transport_socket"] = _socket("Upstream", common, sni=host)
    return configuration


def _socket(side: str, common: dict[str, Any], **more: str) -> dict[str, Any]:
    kind = f"envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"
    context = {"@type": f"type.googleapis.com/{kind}", "common_tls_context": common, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def main() -> None:
    """Generates missing files."""
    folder, *envoy = (Path(argument) for argument in sys.argv[1:])
    made = "made a CA and certificates; what runs already has to be restarted"
    print("tls:", made if make(folder) else "certificates are good")
    for path in envoy:
        rendered = yaml.safe_dump(with_tls(yaml.safe_load(path.read_text())), sort_keys=False)
        _write(folder / "envoy", {"envoy.yaml": rendered.encode()})


if __name__ == "__main__":
    main()
