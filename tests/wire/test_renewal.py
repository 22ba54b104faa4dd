"""Files of TLS that are read again: when, in which order, and what happens to wrong ones."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from grpc_wire.certificate_dates import ends_of
from grpc_wire.credentials import read_pair, ssl_server_credentials
from grpc_wire.renewal import Renewed, RenewedContext, watching
from tests.whole.certificates import Issuer


def renewed(certificate: Path, key: Path) -> Renewed[ssl.SSLContext]:
    """Returns a server's context of two files."""

    def make() -> ssl.SSLContext:
        chain, secret = read_pair(certificate, key)
        return ssl_server_credentials([(secret, chain)])

    return Renewed({"tls_certificate": certificate, "tls_key": key, "tls_client_ca": None}, make)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """A CA."""
    return Issuer(tmp_path)


@pytest.mark.parametrize("ends", [3600, 365 * 86400, 40 * 365 * 86400])
def test_the_end_of_a_certificate(tmp_path: Path, issuer: Issuer, ends: float) -> None:
    """As another library reads it, before and after 2050, and of a chain in its order."""
    paths = [issuer.issue("a", ends=ends, dns_names=["a"])[0], str(issuer.ca)]
    pem = b"a comment\n" + b"".join(Path(path).read_bytes() for path in paths)
    known = [each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(pem)]

    assert ends_of(pem) == known
    assert ends_of(b"") == []
    with pytest.raises(ValueError, match="cut short"):
        ends_of(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")


def test_a_pair_is_read_together(tmp_path: Path, issuer: Issuer) -> None:
    """While one file changes nothing is read; what has changed and rests is, once."""
    certificate, key = map(Path, issuer.issue("a"))
    files = renewed(certificate, key)
    first = files.current
    assert not files.look()
    new_certificate, new_key = map(Path, issuer.issue("b"))
    os.replace(new_certificate, certificate)
    assert not files.look()
    os.replace(new_key, key)
    assert not files.look()
    assert files.current is first
    assert files.look()
    assert files.current is not first
    assert not files.look()


def test_a_wrong_pair_is_refused(
    tmp_path: Path, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in the log, with its names and its reason; the old one stays until the pair is good."""
    certificate, key = map(Path, issuer.issue("a"))
    files = renewed(certificate, key)
    first = files.current
    for wrong in (Path(issuer.issue("b")[1]).read_bytes(), b"junk", b""):
        key.write_bytes(wrong)
        assert [files.look() for _ in range(4)] == [False] * 4
        (line,) = caplog.records
        assert line.levelno == logging.ERROR
        assert line.getMessage().startswith("tls_certificate, tls_key: not read again")
        assert str(key) in line.getMessage()
        caplog.clear()
        key.unlink()
        assert [files.look() for _ in range(3)] == [False] * 3
        assert len(caplog.records) == 1
        caplog.clear()
    assert files.current is first
    for made, path in zip(issuer.issue("c"), (certificate, key), strict=True):
        os.replace(made, path)
    assert [files.look(), files.look()] == [False, True]


def test_links_are_followed(tmp_path: Path, issuer: Issuer) -> None:
    """As Kubernetes replaces a secret: the files are links through a folder that is replaced."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for made, file in zip(issuer.issue(name), ("c.pem", "k.pem"), strict=True):
            os.replace(made, tmp_path / name / file)
    data = tmp_path / "data"
    data.symlink_to("one")
    files = renewed(data / "c.pem", data / "k.pem")
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", data)

    assert [files.look(), files.look()] == [False, True]


def test_the_end_is_told(
    tmp_path: Path,
    issuer: Issuer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start, and each day when it is near."""
    now = 0.0
    caplog.set_level(logging.INFO)
    for name, life, level, daily in (
        ("far", 60 * 86400, logging.INFO, False),
        ("near", 5 * 86400, logging.WARNING, True),
        ("over", -60, logging.ERROR, True),
    ):
        certificate, key = map(Path, issuer.issue(name, starts=-300, ends=life))
        files = renewed(certificate, key)
        (end,) = files.ends().values()
        now = end - life
        monkeypatch.setattr("grpc_wire.renewal.time.time", lambda: now)  # noqa: B023 - it is to change
        caplog.clear()
        files.tell_ends()
        files.tell_ends()
        assert [record.levelno for record in caplog.records] == [level]
        assert caplog.records[0].getMessage().startswith("tls_certificate: ")
        now += 86400
        files.tell_ends()
        assert len(caplog.records) == 1 + daily


async def test_it_watches_within_its_block(tmp_path: Path, issuer: Issuer) -> None:
    """And leaves no task behind."""
    certificate, key = map(Path, issuer.issue("a"))
    files = renewed(certificate, key)
    first = files.current
    before = asyncio.all_tasks()
    async with watching(files, 0.01), watching(None, 0.01):
        for made, path in zip(issuer.issue("b"), (certificate, key), strict=True):
            os.replace(made, path)
        async with asyncio.timeout(10):
            while files.current is first:
                await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= before  # those of other tests may end meanwhile


def test_a_context_stands_for_the_current_one(issuer: Issuer) -> None:
    """Each connection asks anew."""
    first, second = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    current = first
    context = RenewedContext(lambda: current)

    def used() -> ssl.SSLContext:
        return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).context

    assert used() is first
    current = second
    assert used() is second
