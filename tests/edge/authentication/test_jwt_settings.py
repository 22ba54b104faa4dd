"""Settings of tokens that would be unsafe, or cannot be meant, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admission.authentication.jwt_authenticator import JwtAuthenticator
from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings
from gateway.admission.error import AdmissionError

SECRET = Path("secret")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "set either jwks or secret_file"),
        ({"jwks": "k", "secret_file": SECRET}, "set either jwks or secret_file"),
        ({"jwks": "k", "algorithms": ("HS256",)}, "need secret_file"),
        ({"jwks": "k", "algorithms": ("RS256", "HS256")}, "no issuer has both"),
        ({"secret_file": SECRET, "algorithms": ("HS256", "ES256")}, "no issuer has both"),
        ({"secret_file": SECRET, "algorithms": ("RS256",)}, "need jwks"),
        ({"jwks": "k", "algorithms": ("none",)}, "Input should be 'RS256'"),
        ({"jwks": "k", "claim_metadata": {"sub": "grpc-status"}}, "cannot be a metadata key"),
        ({"jwks": "k", "claim_metadata": {"sub": "host"}}, "cannot be a metadata key"),
        ({"jwks": "k", "claim_metadata": {"sub": "authorization"}}, "forward_token"),
        ({"jwks": "k", "claim_metadata": {"sub": "x-bin"}}, "-bin"),
    ],
)
def test_an_issuer_that_is_refused(given: dict[str, Any], words: str) -> None:
    """Above all one with a secret and public keys, which a token could confuse."""
    with pytest.raises(ValidationError, match=words):
        IssuerSettings(issuer="x", **given)


def issuer(jwks: str, name: str = "x") -> IssuerSettings:
    """Returns an issuer with keys somewhere."""
    return IssuerSettings(issuer=name, jwks=jwks)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"issuer": "x"}, "are set together"),
        ({"jwks": "x"}, "are set together"),
        ({"audience": ("x",)}, "jwt_audience with them"),
        ({"issuers": (issuer("a"), issuer("b"))}, "each issuer is named once"),
        ({"issuer": "x", "jwks": "a", "issuers": (issuer("b"),)}, "each issuer is named once"),
        ({"issuers": (issuer("http://issuer.example/k"),)}, "use https"),
        ({"issuers": (issuer("HTTP://10.0.0.1/k"),)}, "use https"),
        ({"issuers": (issuer("http://localhost.example/k"),)}, "use https"),
        ({"issuers": (issuer("https://a:b@issuer.example/k"),)}, "neither a user"),
        ({"issuers": (issuer("https:///k"),)}, "has a host"),
    ],
)
def test_a_section_that_is_refused(given: dict[str, Any], words: str) -> None:
    """By words that have no credentials."""
    with pytest.raises(ValidationError, match=words) as error:
        JwtSettings(**given)
    assert "a:b" not in str(error.value).partition("[type=")[0]


@pytest.mark.parametrize(
    "jwks", ["https://a.example/k", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"]
)
def test_urls_that_are_accepted(jwks: str) -> None:
    """HTTPS anywhere, HTTP on this machine."""
    assert JwtSettings(issuers=(issuer(jwks),)).all_issuers


def test_http_can_be_allowed() -> None:
    """By a setting, for a mesh that encrypts."""
    assert JwtSettings(issuers=(issuer("http://issuer/k"),), allow_http=True).all_issuers


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_short_secret_stops_the_start(tmp_path: Path, algorithm: Any, least: int) -> None:
    """Which could be guessed (RFC 7518, section 3.2); the error has nothing of it."""
    file = tmp_path / "secret"
    settings = JwtSettings(
        issuers=(IssuerSettings(issuer="x", secret_file=file, algorithms=(algorithm,)),)
    )
    file.write_bytes(b"s" * least)
    JwtAuthenticator(settings)
    file.write_bytes(b"s" * (least - 1) + b"\n")
    with pytest.raises(AdmissionError, match=f"has {least} to 4096 bytes") as error:
        JwtAuthenticator(settings)
    assert "sss" not in str(error.value)
