"""Who calls, asked by a real process on its own door, as operators start it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import websockets
import yaml

from gateway.admission.authentication.api_keys import new_api_key
from tests.echo_server import echo_server
from tests.edge.authentication.key_server import serving_keys
from tests.edge.authentication.tokens import (
    AUDIENCE,
    ISSUER,
    Key,
    bearer,
    claims_of,
    key,
    write_keys,
)
from tests.whole.conftest import ROOT, edge_process
from tests.whole.forking import run

JWT = ("--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE, "--jwt-jwks")


@pytest.fixture
async def core() -> AsyncIterator[str]:
    """The address of a gRPC server."""
    async with echo_server() as server:
        yield server.address


async def handshake(url: str, headers: dict[str, str]) -> int:
    """Opens a WebSocket; returns the HTTP status."""
    address = url.replace("http", "ws", 1) + "/v1/bidi"
    try:
        async with websockets.connect(
            address,
            additional_headers=headers,
            subprotocols=[websockets.Subprotocol("grpc-json.v1")],
            proxy=None,
        ):
            return 101
    except websockets.InvalidStatus as error:
        return error.response.status_code


async def test_tokens_and_keys_on_every_wire(core: str, tmp_path: Path) -> None:
    """The same for unary calls, streams, WebSockets, pages and what is not there; health is open."""
    api_key, entry = new_api_key("billing")
    (tmp_path / "api-keys.yaml").write_text(yaml.safe_dump({"keys": [entry]}))
    options = (*JWT, write_keys(tmp_path), "--api-keys-file", str(tmp_path / "api-keys.yaml"))
    credentials: list[tuple[dict[str, str], bool]] = [
        ({}, False),
        (bearer(key().sign()), True),
        (bearer(key().sign()), True),
        ({"x-api-key": api_key}, True),
        ({"x-api-key": api_key[:-1]}, False),
        (bearer(key().sign(exp=1000)), False),
        (bearer(Key("one").sign()), False),
        (bearer("x.y.z"), False),
    ]
    requests: list[tuple[str, str, dict[str, Any], int]] = [
        ("GET", "/v1/echo?stringField=x", {}, 200),
        ("HEAD", "/v1/echo", {}, 200),
        ("OPTIONS", "/v1/echo", {}, 204),
        ("POST", "/v1/echo", {"json": {"stringField": "x"}}, 200),
        ("POST", "/v1/upload", {"json": [{"stringField": "x"}]}, 200),
        ("GET", "/v1/stream/x?int32_field=2", {"headers": {"accept": "text/event-stream"}}, 200),
        ("GET", "/v1/nothing", {}, 404),
        ("DELETE", "/v1/hang", {}, 405),
        ("GET", "/docs", {}, 200),
        ("GET", "/openapi.json", {}, 200),
    ]
    async with (
        edge_process(tmp_path, core, *options) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        for headers, good in credentials:
            for method, path, more, status in requests:
                given = {**more, "headers": {**more.get("headers", {}), **headers}}
                got = await client.request(method, path, **given)
                assert got.status_code == (status if good else 401), (method, path, headers)
                if not good:
                    assert "www-authenticate" in got.headers
                    assert method == "HEAD" or got.json()["code"] == 16
            assert await handshake(url, headers) == (101 if good else 401)
            assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_a_revoked_key_ends_streams_of_all_workers(core: str, tmp_path: Path) -> None:
    """Each process watches the file."""
    api_key, entry = new_api_key("billing")
    path, new = tmp_path / "api-keys.yaml", tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump({"keys": [entry]}))
    options = (
        "--api-keys-file",
        str(path),
        "--api-keys-file-check-seconds",
        "0.1",
        "--workers",
        "2",
    )
    headers = {"x-api-key": api_key, "accept": "text/event-stream"}
    async with edge_process(tmp_path, core, *options) as url:

        async def read(started: asyncio.Semaphore) -> str:
            async with (
                httpx.AsyncClient(trust_env=False) as client,
                client.stream("GET", f"{url}/v1/hang-stream", headers=headers, timeout=30) as got,
            ):
                parts = got.aiter_text()
                text = await anext(parts)
                started.release()
                return text + "".join([part async for part in parts])

        started = asyncio.Semaphore(0)
        readers = [asyncio.create_task(read(started)) for _ in range(8)]
        for _ in readers:
            await asyncio.wait_for(started.acquire(), 20)
        new.write_text("keys: []\n")
        os.replace(new, path)
        for text in await asyncio.wait_for(asyncio.gather(*readers), 20):
            assert "the credentials have been revoked" in text


async def test_an_edge_starts_without_its_keys(core: str, tmp_path: Path) -> None:
    """It serves its health, refuses tokens with 503, and accepts them once the keys are there."""
    async with serving_keys() as keys:
        keys.broken = True
        async with (
            edge_process(tmp_path, core, *JWT, keys.url) as url,
            httpx.AsyncClient(base_url=url, trust_env=False) as client,
        ):
            assert (await client.get("/healthz")).status_code == 200
            got = await client.get("/v1/echo", headers=bearer(key().sign()))
            assert (got.status_code, got.json()["code"]) == (503, 14)
            assert "retry-after" in got.headers
            assert await handshake(url, bearer(key().sign())) == 503
            keys.broken = False
            async with asyncio.timeout(20):
                while (
                    await client.get("/v1/echo", headers=bearer(key().sign()))
                ).status_code == 503:
                    await asyncio.sleep(0.05)
            assert await handshake(url, bearer(key().sign())) == 101


async def test_issuers_of_a_settings_file(core: str, tmp_path: Path) -> None:
    """Each with keys and rules of its own; a claim goes upstream in place of what the client sends."""
    (tmp_path / "secret").write_bytes(b"s" * 32)
    section = {
        "issuers": [
            {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "jwks": write_keys(tmp_path),
                "algorithms": ["ES256"],
                "claim_metadata": {"sub": "x-user"},
            },
            {"issuer": "jobs", "audiences": AUDIENCE, "secret_file": str(tmp_path / "secret")},
        ]
    }
    config = tmp_path / "protoway.yaml"
    config.write_text(
        yaml.safe_dump({"jwt": section, "metadata": {"response_headers": ["x-user"]}})
    )
    jobs = jwt.encode(claims_of(iss="jobs"), b"s" * 32, "HS256")
    async with (
        edge_process(tmp_path, core, "--config", str(config)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        for token, user in ((key().sign(), "ann"), (jobs, None)):
            headers = bearer(token) | {"grpc-metadata-x-user": "root"}
            got = await client.get("/v1/echo", headers=headers)
            assert (got.status_code, got.headers.get("x-user")) == (200, user)
        confused = jwt.encode(claims_of(), b"s" * 32, "HS256")
        assert (await client.get("/v1/echo", headers=bearer(confused))).status_code == 401


def serve(folder: Path, *options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `protoway serve`, which fails at the start; behind some code, with a new interpreter."""
    descriptor_set = str(ROOT / "protos/descriptor_set.binpb")
    if not before:
        given = ("--port", "0", "--descriptor-set", descriptor_set, *options)
        return run("gateway", "serve", *given, folder=folder)
    code = f"import sys; {before}\nfrom gateway.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        (
            sys.executable,
            "-c",
            code,
            "serve",
            "--port",
            "0",
            "--descriptor-set",
            descriptor_set,
            *options,
        ),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize("module", ["jwt", "httpx", "cryptography"])
def test_a_missing_extra_is_named(tmp_path: Path, module: str) -> None:
    """In one line; without tokens it is not missed."""
    got = serve(tmp_path, *JWT, write_keys(tmp_path), before=f"sys.modules[{module!r}] = None")
    assert (got.returncode, got.stderr.count("\n")) == (1, 1)
    assert "pip install 'protoway[jwt]'" in got.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--jwt-issuer", "x"), "jwt_issuer and jwt_jwks are set together"),
        ((*JWT, "nowhere.json"), "cannot read nowhere.json"),
        ((*JWT, "pyproject.json"), "jwt_jwks: pyproject.json: is no JSON"),
        ((*JWT, "http://issuer.example/keys"), "use https, or set jwt_allow_http"),
        (("--api-keys-file", "pyproject.json"), "api_keys_file: pyproject.json: line 1"),
    ],
)
def test_what_is_wrong_stops_the_start(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """By one line that names the setting."""
    (tmp_path / "pyproject.json").write_text("{:[")
    got = serve(tmp_path, *options)
    assert got.returncode in (1, 2)
    assert got.stderr.count("\n") == 1
    assert words in got.stderr


def test_the_command_makes_keys(tmp_path: Path) -> None:
    """Its output is an entry of the file, without the key; a mistake is one line."""
    del tmp_path
    made = [
        run("gateway", "api-key", *arguments)
        for arguments in (("billing", "--scopes", "read", "--days", "30"), ("a", "--prefix", "a b"))
    ]
    [entry] = yaml.safe_load(made[0].stdout)
    shown = made[0].stderr.split()[-1]
    assert (entry["name"], entry["scopes"]) == ("billing", ["read"])
    assert shown.startswith(f"pw_{entry['id']}_")
    assert shown not in made[0].stdout
    assert (made[1].returncode, made[1].stdout, made[1].stderr.count("\n")) == (2, "", 1)
