"""Which client certificate may call which service of the core, on both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.finance_pb2_grpc import CurrencyConverterStub
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from grpc_core.callers import read_rules
from grpc_core.cli import main
from tests.whole import processes
from tests.whole.certificates import Issuer

EDGE = "spiffe://example.org/edge"
RULES = f"finance.CurrencyConverter={EDGE},billing.example *=billing.example"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """The CA of the core and of its callers."""
    return Issuer(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["wire", "grpcio"])
async def core(request: pytest.FixtureRequest, issuer: Issuer) -> AsyncIterator[processes.Running]:
    """A core with rules."""
    certificate, key = issuer.issue("core", dns_names=["localhost"])
    tls: dict[str, Any] = {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": str(issuer.ca),
    }
    async with processes.core(transport=request.param, allowed_callers=RULES, **tls) as running:
        yield running


def credentials_of(issuer: Issuer, pair: tuple[str, str] | None) -> grpc.ChannelCredentials:
    """Returns the credentials of a client with a certificate, or without one."""
    certificate, key = (None, None) if pair is None else (Path(p).read_bytes() for p in pair)
    return grpc.ssl_channel_credentials(issuer.ca.read_bytes(), key, certificate)


async def _asked(converter: Any, request: ConvertRequest) -> Any:
    """Returns a bidirectional call whose first request is sent, or that is refused.

    grpc.aio may end a call as INTERNAL that is refused while it writes: then another one is made.
    """
    for _ in range(20):
        live = converter.LiveConvert()
        try:
            await live.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            if await live.code() is grpc.StatusCode.INTERNAL:
                continue
        break
    return live


async def codes(core: processes.Running, issuer: Issuer, **names: Any) -> list[grpc.StatusCode]:
    """Returns what a caller is answered by Convert, WatchRates, LiveConvert, SayHello and health."""
    credentials = credentials_of(issuer, issuer.issue("caller", **names))
    async with grpc.aio.secure_channel(f"localhost:{core.port}", credentials) as channel:
        converter: Any = CurrencyConverterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        health: Any = HealthStub(channel)
        request = ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
        watch = converter.WatchRates(WatchRequest(base_currency="USD"))
        live = await _asked(converter, request)
        calls = [
            converter.Convert(request),
            GreeterStub(channel).SayHello(HelloRequest(name="x")),  # type: ignore[no-untyped-call]  # generated code has no types
            health.Check(HealthCheckRequest()),
        ]
        for stream in (watch, live):
            try:
                await stream.read()
            except grpc.aio.AioRpcError:
                pass
            else:
                stream.cancel()
        found = [await each.code() for each in (calls[0], watch, live, *calls[1:])]
    # a stream that was read was let in, and cancelled by the test
    return [grpc.StatusCode.OK if code is grpc.StatusCode.CANCELLED else code for code in found]


OK, DENIED = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("names", "converter", "greeter"),
    [
        ({"uris": [EDGE]}, OK, DENIED),
        ({"dns_names": ["billing.example"]}, OK, OK),
        ({"dns_names": ["other.example", "billing.example"]}, OK, OK),
        ({"uris": ["spiffe://example.org/edge/more"]}, DENIED, DENIED),
        ({"dns_names": [EDGE]}, DENIED, DENIED),
        ({"uris": ["urn:billing.example"]}, DENIED, DENIED),
        ({}, DENIED, DENIED),
    ],
)
async def test_a_service_is_for_the_callers_of_its_rule(
    core: processes.Running,
    issuer: Issuer,
    names: Any,
    converter: grpc.StatusCode,
    greeter: grpc.StatusCode,
) -> None:
    """All of its methods; health is for whoever has a certificate of the CA."""
    assert await codes(core, issuer, **names) == [*[converter] * 3, greeter, OK]


async def test_a_caller_of_another_ca_does_not_connect(
    core: processes.Running, issuer: Issuer, tmp_path: Path
) -> None:
    """Whatever its name is; nor does one without a certificate."""
    for pair in (Issuer(tmp_path).issue("caller", uris=[EDGE]), None):
        credentials = credentials_of(issuer, pair)
        async with grpc.aio.secure_channel(f"localhost:{core.port}", credentials) as channel:
            health: Any = HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health.Check(HealthCheckRequest(), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_rules_are_read_from_text() -> None:
    """Spaces separate rules, commas callers."""
    assert read_rules("a.B=x,y\n *=*") == {"a.B": frozenset({"x", "y"}), "*": frozenset({"*"})}
    for wrong in ("a.B", "a.B=", "=x", "a.B=x a.B=y"):
        with pytest.raises(ValueError, match="rule"):
            read_rules(wrong)


@pytest.mark.parametrize(
    ("rules", "status", "words"),
    [
        ("a.B=x", 1, "allowed_callers: no service a.B is served"),
        ("*=x", 1, "allowed_callers needs tls_client_ca"),
        ("nothing", 2, "CORE_ALLOWED_CALLERS: "),
    ],
)
def test_wrong_rules_stop_the_start(
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rules: str,
    status: int,
    words: str,
) -> None:
    """With one line."""
    certificate, key = issuer.issue("core", dns_names=["localhost"])
    given = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key, "ALLOWED_CALLERS": rules}
    if not rules.startswith("*"):
        given["TLS_CLIENT_CA"] = str(issuer.ca)
    for name, value in given.items():
        monkeypatch.setenv(f"CORE_{name}", value)

    assert main(["--port", "0"]) == status
    assert words in capsys.readouterr().err
