"""An edge that asks for tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings
from tests.edge.authentication.tokens import AUDIENCE, ISSUER, write_keys
from tests.edge.conftest import MakeApp

MakeGuarded = Callable[..., FastAPI]


@pytest.fixture
def make_guarded(make_app: MakeApp, tmp_path: Path) -> MakeGuarded:
    """Makes an edge with one issuer; arguments are those of the issuer, and `jwt` those of the section."""

    def make(
        *, jwt: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **issuer: Any
    ) -> FastAPI:
        given = {"issuer": ISSUER, "audiences": (AUDIENCE,)} | issuer
        if "jwks" not in given and "secret_file" not in given:
            given["jwks"] = write_keys(tmp_path)
        section = JwtSettings(issuers=(IssuerSettings(**given),), **(jwt or {}))
        return make_app(jwt=section, **(settings or {}))

    return make
