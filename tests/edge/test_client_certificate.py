"""Client certificates as policies see them: from a TLS connection, and from another ASGI server."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway.admission.certificates.authenticator import CertificateAuthenticator
from gateway.admission.certificates.names import AllowedNames, check_pattern, is_spiffe_id
from gateway.admission.certificates.settings import CertificateSettings
from gateway.admission.identity import Identity
from gateway.app import create_app
from gateway.doors.peer_certificate import distinguished_name
from gateway.exchange.client_certificate import ClientCertificate
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.origin import Origins
from gateway.transcoding.status import PERMISSION_DENIED, StatusError
from tests.contracts import echo_descriptor_set
from tests.edge.asgi import Request, http_scope, running
from tests.edge.conftest import SCRIPTS, MakeApp
from tests.whole.certificates import Issuer
from tests.whole.serving import serving


class Watching:
    """Remembers what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ClientCertificate | None]] = []

    def admit(self, request: RequestInfo) -> None:
        """Remembers."""
        self.seen.append((request.scheme, request.certificate))


async def test_each_way_to_an_answer_has_the_certificate(tmp_path: Path) -> None:
    """Directly, in pieces, by ASGI, as a stream and as a WebSocket; and that it came over TLS."""
    issuer = Issuer(tmp_path)
    certificate, key = issuer.issue("edge", dns_names=["localhost"])
    (tmp_path / "echo.binpb").write_bytes(echo_descriptor_set())
    settings = Settings(
        descriptor_set=tmp_path / "echo.binpb",
        tls_certificate=Path(certificate),
        tls_key=Path(key),
        tls_client_ca=issuer.ca,
        tls_client_certificates="optional",
    )
    watching = Watching()
    app = create_app(settings, ScriptedUpstream(SCRIPTS), policies=[watching])
    uris, dns_names = ["spiffe://a.example/b"], ["c.example", "d.example"]
    pair = issuer.issue("caller", uris=uris, dns_names=dns_names)
    tls = ssl.create_default_context(cafile=str(issuer.ca))
    async with serving(app, settings) as port:
        async with httpx.AsyncClient(verify=tls, base_url=f"https://localhost:{port}") as client:
            assert (await client.get("/v1/echo")).status_code == 200
        tls.load_cert_chain(*pair)
        async with (
            httpx.AsyncClient(verify=tls, base_url=f"https://localhost:{port}") as client,
            connect(f"wss://localhost:{port}/v1/bidi", ssl=tls),
        ):
            for path in ("/v1/echo", "/v1/echo?stringField=1", "/healthz", "/v1/stream/a"):
                assert (await client.get(path)).status_code == 200
            pieces = client.build_request("POST", "/v1/echo", content=_pieces())
            assert (await client.send(pieces)).status_code == 200

    (_, without), *others = watching.seen
    [(scheme, found)] = set(others)
    assert without is None
    assert len(others) == 6
    assert scheme == "https"
    assert found is not None
    assert found.subject == "CN=caller,O=Tests\\, Inc."
    assert (found.uris, found.dns_names) == (("spiffe://a.example/b",), ("c.example", "d.example"))
    assert 3500 < found.not_after - time.time() <= 3600
    der = ssl.PEM_cert_to_DER_cert(pem(pair))
    assert found.fingerprint == hashlib.sha256(der).hexdigest()


def pem(pair: tuple[str, str]) -> str:
    """Returns a certificate."""
    return Path(pair[0]).read_text()


async def _pieces() -> Any:
    for piece in (b"{", b"}"):
        yield piece
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", ["", "expired"])
async def test_another_server_tells_of_a_certificate(
    make_app: MakeApp, tmp_path: Path, error: str
) -> None:
    """By ASGI's TLS extension; one that it could not verify is none."""
    pair = Issuer(tmp_path).issue("caller", uris=["spiffe://a.example/b"])
    watching = Watching()
    told = {
        "client_cert_chain": (pem(pair),),
        "client_cert_name": "CN=caller",
        "client_cert_error": error or None,
    }
    async with running(make_app(policies=[watching])) as app:
        for extensions in ({"tls": told}, {"tls": {"client_cert_chain": ()}}, {}):
            request = Request(app, http_scope("GET", "/v1/echo") | {"extensions": extensions})
            request.arrives("http.request", body=b"")
            await request.ended()

    found = [certificate for _, certificate in watching.seen]
    assert found[1:] == [None, None]
    if error:
        assert found[0] is None
    else:
        assert found[0] is not None
        assert found[0].uris == ("spiffe://a.example/b",)
        assert found[0].subject == "CN=caller,O=Tests\\, Inc."


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([[("countryName", "DE")], [("commonName", "a")]], "CN=a,C=DE"),
        ([[("commonName", "a"), ("userId", "7")]], "CN=a+UID=7"),
        ([[("commonName", 'a,b+c"d\\e<f>g;')]], 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;'),
        ([[("commonName", "#a ")]], "CN=\\#a\\ "),
        ([[("commonName", " ")]], "CN=\\ "),
        ([[("commonName", "a\0b")]], "CN=a\\00b"),
        ([], ""),
    ],
)
def test_a_subject_is_written_as_rfc_4514_says(parts: Any, text: str) -> None:
    """In reverse order, with what would end a part escaped: no name can look like another."""
    assert distinguished_name(parts) == text


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("spiffe://example.org/a/B-1_2.c", True),
        ("spiffe://example.org", False),
        ("spiffe://example.org/", False),
        ("spiffe://example.org/a/", False),
        ("spiffe://example.org//a", False),
        ("spiffe://Example.org/a", False),
        ("SPIFFE://example.org/a", False),
        ("spiffe:///a", False),
        ("spiffe://example.org:1/a", False),
        ("spiffe://user@example.org/a", False),
        ("spiffe://example.org/a?b", False),
        ("spiffe://example.org/a#b", False),
        ("spiffe://example.org/%61", False),
        ("spiffe://example.org/a/../b", False),
        ("spiffe://example.org/" + "a" * 2048, False),
        ("https://example.org/a", False),
    ],
)
def test_a_spiffe_id_has_one_spelling(text: str, *, valid: bool) -> None:
    """SPIFFE ID, section 2."""
    assert is_spiffe_id(text) is valid


def test_a_pattern_is_for_whole_segments() -> None:
    """And only of SPIFFE IDs."""
    names = AllowedNames(["spiffe://a.example/b/*", "spiffe://a.example/c"])
    allowed = ("spiffe://a.example/b/x", "spiffe://a.example/b/x/y", "spiffe://a.example/c")
    refused = ("spiffe://a.example/b", "spiffe://a.example/bx", "spiffe://a.example/c/d")
    assert [names.allow(f"{each}") for each in (*allowed, *refused)] == [True] * 3 + [False] * 3
    assert check_pattern("spiffe", "spiffe://a.example/*") == ""
    for wrong in (
        "spiffe://*/a",
        "spiffe://a.example/*/b",
        "spiffe://a.example*",
        "*",
        "a.example",
    ):
        assert "no SPIFFE ID" in check_pattern("spiffe", wrong)
    assert "*" in check_pattern("dns", "*.example")
    with pytest.raises(ValueError, match="needs client_certificates_identity"):
        CertificateSettings(allowed=("a",))
    with pytest.raises(ValueError, match="is no SPIFFE ID"):
        CertificateSettings(identity="spiffe", allowed=("a",))


def test_the_name_goes_upstream_where_it_is_asked_for() -> None:
    """Under a key that no client can set."""
    settings = CertificateSettings(identity="subject", name_metadata="X-Caller")
    authenticator = CertificateAuthenticator(settings)
    ends = time.time() + 60
    request = RequestInfo(certificate=ClientCertificate("CN=a,O=b", not_after=ends))

    assert authenticator.authenticate(request) == Identity("CN=a,O=b", "certificate", {}, ends)
    assert (request.metadata, request.expires_at) == ([("x-caller", "CN=a,O=b")], ends)
    assert authenticator.reserved_metadata == {"x-caller"}
    assert authenticator.authenticate(RequestInfo()) is None
    expired = RequestInfo(certificate=ClientCertificate("CN=a,O=b", not_after=time.time() - 1))
    with pytest.raises(StatusError, match="expired"):
        authenticator.authenticate(expired)


@pytest.mark.parametrize("name", ["CN=é", "CN=a ", "CN=a\nb", "CN=%"])
def test_a_name_goes_upstream_in_printable_ascii(name: str) -> None:
    """Whatever a CA has signed, and no two names as the same text."""
    settings = CertificateSettings(identity="subject", name_metadata="x-caller")
    certificate = ClientCertificate(name, not_after=time.time() + 60)
    request = RequestInfo(certificate=certificate)
    CertificateAuthenticator(settings).authenticate(request)

    [(_, value)] = request.metadata
    assert isinstance(value, str)
    assert value.isascii()
    assert value.isprintable()
    assert not value.endswith(" ")
    assert unquote(value) == name


@pytest.mark.parametrize(
    ("wire", "http_method", "headers", "passes"),
    [
        (Wire.HTTP, "POST", {}, True),
        (Wire.HTTP, "POST", {b"origin": b"https://edge.example"}, True),
        (Wire.HTTP, "POST", {b"origin": b"https://app.example"}, True),
        (Wire.HTTP, "POST", {b"origin": b"https://third.example"}, False),
        (Wire.HTTP, "POST", {b"origin": b"http://edge.example"}, False),
        (Wire.HTTP, "POST", {b"origin": b"null"}, False),
        (Wire.HTTP, "POST", {b"origin": b"null", b"sec-fetch-site": b"same-origin"}, True),
        (Wire.HTTP, "GET", {b"origin": b"https://third.example"}, True),
        (Wire.WEBSOCKET, "GET", {b"origin": b"https://third.example"}, False),
        (Wire.WEBSOCKET, "GET", {b"origin": b"https://app.example"}, True),
        (Wire.WEBSOCKET, "GET", {}, True),
    ],
)
def test_pages_of_foreign_origins_cannot_use_the_certificate(
    wire: Wire, http_method: str, headers: dict[bytes, bytes], *, passes: bool
) -> None:
    """A browser shows its user's certificate whoever asks, as it sends cookies."""
    allows = Origins(["https://app.example"]).allow
    authenticator = CertificateAuthenticator(CertificateSettings(identity="subject"), allows)
    request = RequestInfo(
        wire,
        http_method,
        headers=((b"host", b"edge.example"), *headers.items()),
        scheme="https",
        certificate=ClientCertificate("CN=a", not_after=time.time() + 60),
    )
    if passes:
        assert authenticator.authenticate(request) is not None
        return
    with pytest.raises(StatusError) as refused:
        authenticator.authenticate(request)
    assert refused.value.code == PERMISSION_DENIED
