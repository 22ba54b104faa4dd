"""Requests as browsers send them, each with a trace and a query of its own: without and with admission.

With it, both edges verify a token, count by address and answer with the headers of CORS, by one settings
file.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from bench import sides
from bench.lab import Lab, Turns, in_turn
from bench.turns import DIGITS, browser_request, http_request

GROUP: Final = "browsers"
ADMITTING: Final = ", admission"
"""Behind the name of a side that admits."""
POST: Final = "POST as browsers send it, 32"
POST_2: Final = "POST as browsers send it over HTTP/2, 32"
GET: Final = "GET as browsers send it, 32"
PLAIN: Final = "GET with a query of its own, 32"
_COUNT: Final = 32
_ISSUER: Final = "https://issuer.example"
_SETTINGS: Final = """
jwt: {{issuer: {issuer}, audience: [bench], jwks: {keys}}}
cors: {{origins: ["https://app.example", "https://*.example.org"], credentials: true}}
limits: {{requests_per_second: 1000000, burst: 1000000}}
"""
_DIGITS: Final = DIGITS.decode()
_BODY: Final = f'{{"fromCurrency":"USD","toCurrency":"EUR","amount":100.{_DIGITS}}}'.encode()
_TARGET: Final = f"/convert?from_currency=USD&to_currency=EUR&amount=100.{_DIGITS}"


async def run(lab: Lab) -> None:
    """Measures all."""
    config, token = _settings(lab.folder)
    post = browser_request("POST", "/convert", token, _BODY)
    browsers = {
        POST: Turns(post, _COUNT),
        GET: Turns(browser_request("GET", _TARGET, token), _COUNT),
    }
    others = {
        POST_2: Turns(post, _COUNT, "http2"),
        PLAIN: Turns(http_request("GET", _TARGET), _COUNT),
    }
    ours, envoy = "ours, wire, wire core", "Envoy, wire core"
    async with (
        sides.core(transport=sides.WIRE) as core,
        sides.ours(core, name=ours, transport=sides.WIRE) as bare,
        sides.ours(core, name=ours + ADMITTING, transport=sides.WIRE, config=config) as admitting,
    ):
        if sides.envoy_path() is None:
            await in_turn(lab.aimed_at, GROUP, [bare, admitting], browsers)
            return
        async with (
            sides.envoy(lab.folder, core, name=envoy) as other,
            sides.envoy(lab.folder, core, name=envoy + ADMITTING, config=config) as guarded,
        ):
            await in_turn(lab.aimed_at, GROUP, [bare, other, admitting, guarded], browsers)
            await in_turn(lab.aimed_at, GROUP, [bare, other], others)


def _settings(folder: Path) -> tuple[Path, str]:
    """Writes a settings file with a key; returns its path, and a token that the key signs."""
    private = generate_private_key(SECP256R1())
    member = json.loads(ECAlgorithm.to_jwk(private.public_key())) | {"kid": "one", "alg": "ES256"}
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [member]}))
    config = folder / "admission.yaml"
    config.write_text(_SETTINGS.format(issuer=_ISSUER, keys=keys))
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": "bench", "sub": "ann", "iat": now, "exp": now + 86_400}
    return config, jwt.encode(claims, private, "ES256", headers={"kid": "one"})
