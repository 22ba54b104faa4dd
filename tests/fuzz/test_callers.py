"""Callers with different credentials on one connection, in any order, cut anywhere: each has its own answer.

Heads that repeat are cached by HTTP/1.1's direct way, and tokens by their digests. What one caller may do, is
called and sends must never be another's. `FUZZ_SECONDS` is how long it goes on; by default some seconds, with
a fixed seed.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import yaml

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.api_keys import new_api_key
from gateway.admission.authentication.jwt_settings import IssuerSettings, JwtSettings
from gateway.admission.cors_settings import CorsSettings
from gateway.admission.proxy_settings import ProxySettings
from gateway.admission.rights.settings import RightsSettings
from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.edge.authentication.tokens import AUDIENCE, ISSUER, key, write_keys
from tests.whole.http1 import Connection, Response, connection
from tests.whole.serving import serving

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
SEED = None if "FUZZ_SECONDS" in os.environ else 31
LISTED, THIRD, OWN = "https://app.test", "https://third.test", "http://edge.test"
MAY = ("user0", "user1", "key0")
"""Callers with a right to `GET /v1/echo/{string_field}`."""
NOISE = (
    ("X-User", "root"),
    ("Grpc-Metadata-X-User", "root"),
    ("grpc-metadata-x-key", "root"),
    ("Accept", "*/*"),
    ("Accept-Language", "de"),
    ("Connection", "keep-alive"),
    ("User-Agent", "one"),
    ("User-Agent", "two"),
    ("X-Unknown", "x"),
    ("X-Forwarded-For", "203.0.113.1"),
)
pytestmark = pytest.mark.timeout(SECONDS + 300)


@dataclass(frozen=True)
class Credentials:
    """Headers of a caller, and what the server is told of it; None: it is refused with 401."""

    headers: tuple[tuple[str, str], ...]
    user: str = ""
    key: str = ""
    are_good: bool = True
    are_cookie: bool = False


@dataclass(frozen=True)
class Sent:
    """One request, and what its answer must be."""

    data: bytes
    status: int
    headers: dict[str, str | None]
    text: str


def all_credentials(api_keys: list[str]) -> list[Credentials]:
    """Returns good ones, wrong ones, and none."""
    tokens = [key().sign(sub=f"user{number}") for number in range(4)]
    wrong = (key().sign(sub="user0", exp=1000), key("two").sign(sub="user0"), "x.y.z")
    found = [Credentials(()), Credentials((("X-Api-Key", f"{api_keys[0]}x"),), are_good=False)]
    for number, token in enumerate(tokens):
        user = f"user{number}"
        found.append(Credentials((("Authorization", f"Bearer {token}"),), user))
        found.append(Credentials((("authorization", f"bearer {token}"), ("x-api-key", "x")), user))
        found.append(Credentials((("Cookie", f"a=b; session={token}"),), user, are_cookie=True))
    for number, api_key in enumerate(api_keys):
        found.append(Credentials((("x-api-key", api_key),), key=f"key{number}"))
    found += [Credentials((("Authorization", f"Bearer {each}"),), are_good=False) for each in wrong]
    return found


def drawn(random: Random, callers: list[Credentials], number: int) -> Sent:
    """Draws one request."""
    caller, origin = random.choice(callers), random.choice([None, None, LISTED, THIRD, OWN])
    text, form = f"n{number}", random.choice(["query", "path", "body"])
    headers = [*caller.headers, *(each for each in NOISE if random.random() < 0.25)]
    headers += [("Origin", origin)] if origin else []
    custom = f"c{number}" if random.random() < 0.3 else None
    headers += [("X-Custom", custom)] if custom else []
    random.shuffle(headers)
    body = b""
    if form == "body":
        body = f'{{"stringField":"{text}"}}'.encode()
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    targets = {"query": f"/v1/echo?stringField={text}", "path": f"/v1/echo/{text}"}
    first = f"GET {targets[form]}" if form in targets else "POST /v1/echo"
    lines = [f"{first} HTTP/1.1", "Host: edge.test", *(f"{k}: {v}" for k, v in headers), "", ""]
    foreign = origin not in ((LISTED, OWN) if caller.are_cookie else (None, LISTED, OWN))
    name = caller.user or caller.key
    status = 200
    if form == "body" and origin == THIRD:
        status = 403
    elif not caller.are_good:
        status = 401
    elif form == "body" and foreign:
        status = 403
    elif form == "path" and name not in MAY:
        status = 403 if name else 401
    told = {"x-user": caller.user or None, "x-key": caller.key or None, "x-custom": custom}
    expected = told if status == 200 else dict.fromkeys(told)
    expected["access-control-allow-origin"] = LISTED if origin == LISTED else None
    return Sent("\r\n".join(lines).encode() + body, status, expected, text)


def faults(sent: Sent, answer: Response) -> list[str]:
    """Returns what is wrong with an answer."""
    found = {name: answer.headers.get(name) for name in sent.headers}
    wrong = [] if answer.status == sent.status else [f"status {answer.status} for {sent.status}"]
    wrong += [] if found == sent.headers else [f"{found} for {sent.headers}"]
    if sent.status == 200 and f'"{sent.text}"'.encode() not in answer.body:
        wrong.append(f"{answer.body!r} for {sent.text}")
    return [f"{each}: {sent.data!r}" for each in wrong]


async def exchange(random: Random, client: Connection, requests: list[Sent]) -> list[str]:
    """Sends requests in pieces; returns what is wrong with their answers."""
    data = b"".join(sent.data for sent in requests)
    pieces = []
    while data:
        size = random.choice([len(data), random.randint(1, len(data))])
        pieces.append(data[:size])
        data = data[size:]
    await client.send(*pieces)
    answers = await client.responses(len(requests))
    return [
        each
        for sent, answer in zip(requests, answers, strict=True)
        for each in faults(sent, answer)
    ]


def settings_of(folder: Path, upstream: str, entries: list[object]) -> Settings:
    """Returns settings with all that decides by who calls."""
    (folder / "echo.binpb").write_bytes(echo_descriptor_set())
    (folder / "keys.yaml").write_text(yaml.safe_dump({"keys": entries}))
    rules = [
        {"requests": "GET /v1/echo/{string_field}", "names": MAY},
        {"requests": "*", "anonymous": True},
    ]
    issuer = IssuerSettings(
        issuer=ISSUER,
        audiences=(AUDIENCE,),
        jwks=write_keys(folder),
        claim_metadata={"sub": "x-user"},
    )
    return Settings(
        descriptor_set=folder / "echo.binpb",
        upstream=upstream,
        log_level="critical",
        request_headers=("authorization", "x-user", "x-custom", "accept-language"),
        response_headers=("x-user", "x-key", "x-custom"),
        jwt=JwtSettings(issuers=(issuer,), cookie="session"),
        api_keys=ApiKeySettings(file=folder / "keys.yaml", name_metadata="x-key"),
        rights=RightsSettings.model_validate({"rules": rules}),
        cors=CorsSettings(origins=(LISTED,), credentials=True),
        proxies=ProxySettings(trusted=("loopback",)),
    )


async def test_no_answer_is_another_callers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status, what the server is told of the caller, headers of CORS and message are those of the request."""
    random, number = Random(SEED), 0
    made = [new_api_key(f"key{number}") for number in range(3)]
    callers = all_credentials([api_key for api_key, _ in made])
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server())
        settings = settings_of(tmp_path, echo.address, [entry for _, entry in made])
        port = await stack.enter_async_context(serving(create_app(settings), settings))
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            async with asyncio.timeout(60), connection(port) as client:
                for _ in range(random.randint(1, 8)):
                    count = random.choice([1, 1, 1, 2, 5])
                    requests = [drawn(random, callers, number + each) for each in range(count)]
                    number += count
                    assert await exchange(random, client, requests) == []

    with capsys.disabled():
        print(f"\n{number} requests of {len(callers)} callers in {SECONDS:.0f} s")
