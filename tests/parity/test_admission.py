"""Both edges, made from one settings file, admit alike what a table of single requests cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.authorizers import by_token, grpc_authorizer
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.edge.authentication.key_server import serving_keys
from tests.edge.authentication.tokens import bearer, key
from tests.parity.admission import SECTIONS, tokens
from tests.parity.client import Answer, ask
from tests.parity.edges import (
    Ports,
    WholeEchoServer,
    admitting,
    envoy_path,
    rendered,
    why_no_envoy,
)
from tests.whole.certificates import Issuer

pytestmark = [pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())]

_SECONDS = 20
_FOREVER = "seconds: 100000"


@asynccontextmanager
async def _both(folder: Path, text: str) -> AsyncIterator[tuple[Ports, EchoServer]]:
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    async with (
        echo_server(WholeEchoServer) as echo,
        admitting(folder, "edges", text, descriptor_set, echo.address) as ports,
    ):
        yield ports, echo


async def _status(port: int, source: str, path: str = "/v1/echo") -> int:
    """Returns the HTTP status of a request from an address."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return int(line.split()[1])


LIMITS = [
    (
        f"{{rules: [{{name: each, limit: 2, {_FOREVER}}}]}}",
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.2"),
        [200, 200, 429, 200, 200, 429],
    ),
    (
        f"{{ipv4_prefix: 24, rules: [{{name: each, limit: 2, {_FOREVER}}}]}}",
        ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.1"),
        [200, 200, 429, 200],
    ),
    (
        f"{{rules: [{{name: all, limit: 3, {_FOREVER}, by: []}}, {{name: each, limit: 1, {_FOREVER}}}]}}",
        ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"),
        [200, 429, 200, 429],
    ),
    (
        "{requests_per_second: 0.00001, burst: 3}",
        ("127.0.0.1",) * 5,
        [200, 200, 200, 429, 429],
    ),
]


@pytest.mark.parametrize(("section", "sources", "expected"), LIMITS)
async def test_both_edges_count_by_address(
    tmp_path: Path, section: str, sources: tuple[str, ...], expected: list[int]
) -> None:
    """Each address has a bucket of its own, in both; and one rule after the other counts."""
    async with _both(tmp_path, f"limits: {section}\n") as (ports, _):
        for port in (ports.ours, ports.envoy):
            assert [await _status(port, source) for source in sources] == expected


async def test_an_unknown_path_is_counted_too(tmp_path: Path) -> None:
    """Who asks for what is not there does not ask for free."""
    section = f"{{rules: [{{name: each, limit: 1, {_FOREVER}}}]}}"
    async with _both(tmp_path, f"limits: {section}\n") as (ports, _):
        for port in (ports.ours, ports.envoy):
            paths = ("/v1/nothing", "/v1/nothing", "/v1/echo")
            assert [await _status(port, "127.0.0.1", path) for path in paths] == [404, 429, 429]


async def test_a_429_of_either_edge_says_so_in_its_code(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED in JSON, and to a gRPC client of Envoy."""
    section = f"{{rules: [{{name: all, limit: 1, by: [], {_FOREVER}}}]}}"
    async with _both(tmp_path, f"limits: {section}\n") as (ports, _):
        for port in (ports.ours, ports.envoy):
            await ask(port, "GET", "/v1/echo", {}, None)
            answer = await ask(port, "GET", "/v1/echo", {}, None)
            assert (answer.status, b'"code":8' in answer.body) == (429, True)
        assert await _call(ports.envoy, "echo.v1.Echo/Unary") == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_both_edges_refuse_calls_beyond_those_under_way(tmp_path: Path) -> None:
    """503 and UNAVAILABLE for a unary call while another one hangs; streams are counted apart."""
    async with _both(tmp_path, "overload: {max_calls: 1, max_streams: 1}\n") as (ports, echo):
        for port in (ports.ours, ports.envoy):
            async with _hanging(port, echo, "/v1/hang"):
                unary = await ask(port, "GET", "/v1/echo", {}, None)
                stream = await ask(port, "GET", "/v1/stream/a?int32_field=1", {}, None)
                assert (unary.status, b'"code":14' in unary.body) == (503, True)
                assert stream.status == 200
            async with _hanging(port, echo, "/v1/hang-stream"):
                unary = await ask(port, "GET", "/v1/echo", {}, None)
                stream = await ask(port, "GET", "/v1/stream/a?int32_field=1", {}, None)
                assert (unary.status, stream.status) == (200, 503)


@asynccontextmanager
async def _hanging(port: int, echo: EchoServer, path: str) -> AsyncIterator[None]:
    """Has a call under way, until the server notices that it has ended."""
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        await echo.started.wait()
        yield
        writer.close()
        await echo.cancelled.wait()
        echo.started.clear()
        echo.cancelled.clear()


async def test_both_edges_ask_the_same_authorizer(tmp_path: Path) -> None:
    """The status of each verdict, what goes upstream, and that clients cannot send it themselves."""
    forged = {"x-user": "root", "x-role": "root"}
    found: dict[str, Any] = {}
    async with grpc_authorizer(by_token) as address:
        text = f"""
authorizer: {{grpc: "{address}", headers: [authorization], timeout_seconds: 20, metadata: [x-user, x-role]}}
metadata: {{request_headers: [x-user, x-role], response_headers: [x-user, x-role]}}
"""
        async with _both(tmp_path, text) as (ports, _):
            for caller in ("ann", "bob", "carl", "dora", "nothing", "eve"):
                headers = forged | {"authorization": f"Bearer {caller}"}
                answers = [
                    await ask(port, "GET", "/v1/echo", headers, None)
                    for port in (ports.ours, ports.envoy)
                ]
                ours, envoy = map(_verdict, answers)
                assert ours == envoy, caller
                found[caller] = ours
    assert [found[each][0] for each in found] == [200, 403, 302, 429, 200, 401]
    assert found["ann"][1:] != ("root", "root")
    assert found["nothing"][1:] == (None, None)


def _verdict(answer: Answer) -> Any:
    return answer.status, answer.headers.get("x-user"), answer.headers.get("x-role")


@pytest.mark.parametrize(("on_failure", "status"), [("deny", 503), ("allow", 200)])
async def test_both_edges_do_the_same_while_the_authorizer_is_down(
    tmp_path: Path, on_failure: str, status: int
) -> None:
    """Refused with 503, or allowed, as the setting says."""
    async with grpc_authorizer(by_token) as address:
        pass
    text = f"authorizer: {{grpc: '{address}', on_failure: {on_failure}}}\n"
    async with _both(tmp_path, text) as (ports, _):
        for port in (ports.ours, ports.envoy):
            assert (await ask(port, "GET", "/v1/echo", {}, None)).status == status


async def test_both_edges_fetch_keys_from_a_url(tmp_path: Path) -> None:
    """A token of a key of the URL is accepted, one of another key is not."""
    async with serving_keys() as keys:
        text = f"jwt: {{issuer: https://issuer.example, audience: [echo], jwks: '{keys.url}'}}\n"
        async with _both(tmp_path, text) as (ports, _):
            for port in (ports.ours, ports.envoy):
                good, wrong = bearer(key().sign()), bearer(key("two").sign())
                assert (await ask(port, "GET", "/v1/echo", good, None)).status == 200
                assert (await ask(port, "GET", "/v1/echo", wrong, None)).status == 401
                assert (await ask(port, "GET", "/v1/echo", {}, None)).status == 401


@pytest.mark.parametrize(("section", "expected"), [("tokens", "Bearer"), ("open", None)])
async def test_both_edges_pass_the_token_on_or_withhold_it(
    tmp_path: Path, section: str, expected: str | None
) -> None:
    """The gRPC server gets the verified token as `authorization`, unless `jwt_forward_token` is off."""
    text = SECTIONS[section].replace("x-level]", "x-level, authorization]")
    good = bearer(tokens()["good"])
    async with _both(tmp_path, text) as (ports, _):
        for port in (ports.ours, ports.envoy):
            answer = await ask(port, "GET", "/v1/echo", good, None)
            assert answer.headers.get("authorization", "").split(" ")[0] == (expected or "")


async def test_rights_hold_for_grpc_clients_of_envoy(tmp_path: Path) -> None:
    """GRPC is not a way around: methods, those without a binding and reflection are as closed as by REST."""
    good, scoped = tokens()["good"], tokens()["with-scopes"]
    unary, reflection = (
        "echo.v1.Echo/Unary",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    )
    async with _both(tmp_path, SECTIONS["rights"]) as (ports, _):
        found = {
            (method, token): await _call(ports.envoy, method, *([token] if token else []))
            for method in (unary, "echo.v1.Echo/Unbound", reflection, "grpc.health.v1.Health/Check")
            for token in ("", good, scoped)
        }
    denied, unknown = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
    assert found == {
        (unary, ""): unknown,
        (unary, good): denied,
        (unary, scoped): grpc.StatusCode.OK,
        **dict.fromkeys([("echo.v1.Echo/Unbound", ""), (reflection, "")], unknown),
        **dict.fromkeys([("echo.v1.Echo/Unbound", t) for t in (good, scoped)], denied),
        **dict.fromkeys([(reflection, t) for t in (good, scoped)], denied),
        **{
            # it reaches the server, which has no health service
            ("grpc.health.v1.Health/Check", token): grpc.StatusCode.UNIMPLEMENTED
            for token in ("", good, scoped)
        },
    }


async def _call(port: int, method: str, token: str = "") -> grpc.StatusCode:
    """Returns the code of a call of an empty message."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            call: Any = channel.unary_unary(f"/{method}")
            await call(b"", timeout=_SECONDS, metadata=metadata)
        except aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


ODD = """
rights:
  rules:
    - requests: echo.v1.Echo/Unary
      claims: {y: "1e5", n: {one_of: ["no", 0.5]}, "0o7": {contains: "null"}}
"""


async def test_claims_that_yaml_may_take_for_something_else_stay_texts(tmp_path: Path) -> None:
    """Envoy's YAML has `n` for a boolean and `1e5` for a number, PyYAML's has texts."""
    claims: dict[str, Any] = {"y": "1e5", "n": 0.5, "0o7": "a null"}
    good, wrong = key().sign(None, **claims), key().sign(None, **claims | {"y": 100000})
    async with _both(tmp_path, SECTIONS["tokens"] + ODD) as (ports, _):
        for port in (ports.ours, ports.envoy):
            assert (await ask(port, "GET", "/v1/echo", bearer(good), None)).status == 200
            assert (await ask(port, "GET", "/v1/echo", bearer(wrong), None)).status == 403


async def test_envoy_takes_tls_to_who_is_asked(tmp_path: Path) -> None:
    """Keys over https and an authorizer over TLS, with a CA, are a configuration that Envoy validates."""
    Issuer(tmp_path)
    file = tmp_path / "protoway.yaml"
    file.write_text(
        f"""
jwt: {{issuer: i, audience: [a], jwks: "https://localhost/keys", jwks_ca: {tmp_path}/ca.pem}}
authorizer: {{grpc: "localhost:9000", ca: {tmp_path}/ca.pem, metadata: [x-user]}}
"""
    )
    descriptor_set = tmp_path / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    made = await rendered(file, descriptor_set, "127.0.0.1:1", port=8081, admin_port=9901)
    (tmp_path / "envoy.yaml").write_bytes(made)

    command = (envoy_path() or "", "--mode", "validate", "-l", "error", "-c")
    process = await asyncio.create_subprocess_exec(*command, str(tmp_path / "envoy.yaml"))
    assert await process.wait() == 0
