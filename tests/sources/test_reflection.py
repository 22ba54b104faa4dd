"""Reflection as a source: servers of grpcio, ours, and such as answer wrongly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway.cli import main
from gateway.contract.descriptors import files_of, load
from gateway.contract.errors import ContractError
from gateway.settings import Settings
from gateway.sources.port import SourceUnavailable
from gateway.sources.reading import SettingsSource, named_source, read_contract
from gateway.sources.reflection_messages import METHODS, Response
from tests.contracts import PROTOS, compile_protos, compile_text
from tests.whole.certificates import made
from tests.wire.tls import Tls

SERVICE = "echo.v1.Echo"


@contextmanager
def serving(server: grpc.Server, credentials: Any = None) -> Iterator[str]:
    """Runs a server in the block; gives its address."""
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}" if credentials else f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def reflecting(descriptor_set: bytes, *services: str) -> grpc.Server:
    """Returns a server of grpcio with reflection and health, which has no methods of the contract."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        pool.Add(file)
    pool.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    return server


def read(address: str, **settings: Any) -> list[str]:
    """Reads the reflection of a server; returns the services."""
    made = Settings(upstream=address, reflect=True, reflect_wait_seconds=0, **settings)
    return list(dict.fromkeys(method.service_name for method in read_contract(made).methods))


def echo_set() -> bytes:
    """Returns the tests' own contract, which imports files of Google's and of its own."""
    return compile_protos(PROTOS, "echo/v1/echo.proto", "legacy.proto")


def test_the_contract_is_that_of_the_server() -> None:
    """With imports, options and rules; without the services that are gRPC's own, and comments."""
    with serving(reflecting(echo_set(), SERVICE)) as address:
        assert read(address) == [SERVICE]
        contract = read_contract(Settings(upstream=address, reflect=True))

    ours = load(echo_set())
    rules = {method.full_name: method.rule for method in ours.methods}
    assert {method.full_name: method.rule for method in contract.methods} == {
        name: rule for name, rule in rules.items() if name.startswith(SERVICE)
    }


def test_a_service_of_grpcs_own_is_read_if_it_is_named() -> None:
    """`services` names all that are read."""
    with serving(reflecting(echo_set(), SERVICE)) as address:
        assert read(address, services="grpc.health.v1.Health", auto_mapping=True) == [
            "grpc.health.v1.Health"
        ]


def test_a_contract_without_rules_is_served_by_rules_beside_it(tmp_path: Path) -> None:
    """Or by `auto_mapping`; servers send no comments, and need no annotations."""
    text = 'syntax = "proto3"; package a; message M {} service S { rpc Get(M) returns (M); }'
    rules = tmp_path / "rules.yaml"
    rules.write_text("http: {rules: [{selector: a.S.Get, get: /m}]}")
    with serving(reflecting(compile_text(text), "a.S")) as address:
        served = Settings(upstream=address, reflect=True, http_rules=rules)
        mapped = Settings(upstream=address, reflect=True, auto_mapping=True)

        found = [read_contract(each).methods[0].rule for each in (served, mapped)]
    assert [rule and (rule.get or rule.post) for rule in found] == ["/m", "/a.S/Get"]


def test_several_servers_and_files_are_merged(tmp_path: Path) -> None:
    """Each file once; the comments come from the one that has them."""
    text = '{} syntax = "proto3"; package a; message M {{}} service S {{ rpc Get(M) returns (M); }}'
    with_comments = tmp_path / "test.binpb"
    with_comments.write_bytes(compile_text(text.format("") + "\n\n// Of N.\nmessage N {}"))
    with (
        serving(reflecting(echo_set(), SERVICE)) as one,
        serving(reflecting(with_comments.read_bytes(), "a.S")) as other,
    ):
        contract = read_contract(
            Settings(upstream=one, reflect=True, sources=(f"reflect:{other}", str(with_comments)))
        )
    assert {m.service_name for m in contract.methods} == {SERVICE, "a.S"}
    assert contract.comments["a.N"] == "Of N."


def test_a_file_that_differs_between_two_sources_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the file and both sources."""
    for name, field in (("a", "int32"), ("b", "string")):
        (tmp_path / f"{name}.binpb").write_bytes(
            compile_text(f'syntax = "proto3"; message M {{ {field} a = 1; }}')
        )
    one, other = str(tmp_path / "a.binpb"), str(tmp_path / "b.binpb")

    assert main(["check", one, other]) == 1
    assert capsys.readouterr().err == (
        f"protoway: test.proto: {one} and {other} have different files of this name\n"
    )


def test_the_upstreams_own_tls_is_used(tmp_path: Path) -> None:
    """Its CA, and the edge's certificate where the server asks for one."""
    tls = Tls(made(tmp_path))
    client = tls.folder / "client"
    files = {
        "upstream_ca": client / "ca.pem",
        "upstream_certificate": client / "certificate.pem",
        "upstream_key": client / "key.pem",
    }
    with serving(reflecting(echo_set(), SERVICE), tls.server("grpcio")) as address:
        assert read(address, **files) == [SERVICE]
        with pytest.raises(SourceUnavailable):
            read(address)


def test_a_server_without_reflection_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """It will not have some later; nothing waits. The log does not take its reflection for the contract's."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    with (
        serving(server) as address,
        pytest.raises(ContractError, match="has no reflection: enable"),
    ):
        read_contract(Settings(upstream=address, reflect=True, reflect_wait_seconds=60))
    assert caplog.text == ""


def test_a_server_that_has_v1alpha_alone_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """As servers of grpcio and the demo's core: v1 is tried, and no part of the contract."""
    with serving(reflecting(echo_set(), SERVICE)) as address:
        assert read(address) == [SERVICE]
    assert caplog.text == ""


def test_a_server_that_comes_later_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what the start waits for; then the contract is there."""
    with serving(grpc.server(futures.ThreadPoolExecutor(1))) as address:
        pass  # the port is free again
    server = reflecting(echo_set(), SERVICE)
    server.add_insecure_port(address)

    def start() -> None:
        while "waiting for the contract" not in caplog.text:
            time.sleep(0.01)
        server.start()

    with caplog.at_level("WARNING"):
        starting = threading.Thread(target=start)
        starting.start()
        contract = read_contract(Settings(upstream=address, reflect=True))
        starting.join()
        server.stop(None).wait()
    assert contract.methods
    assert f"the reflection of {address}: UNAVAILABLE" in caplog.text


def test_the_wait_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """Then the start fails with one line."""
    with serving(grpc.server(futures.ThreadPoolExecutor(1))) as address:
        pass
    arguments = ["check", "--reflect", "--upstream", address, "--reflect-wait-seconds", "0.1"]

    assert main(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"protoway: the reflection of {address}: UNAVAILABLE: ")


async def test_a_running_loop_is_no_obstacle() -> None:
    """`create_app` may be called in one."""
    with serving(reflecting(echo_set(), SERVICE)) as address:
        assert read(address) == [SERVICE]


def scripted(*answers: Any, path: str = METHODS[0].path) -> grpc.Server:
    """Returns a server whose reflection gives these answers in turn, whatever is asked."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service, method = path[1:].split("/")

    def answer(requests: Iterator[bytes], _: object) -> Iterator[bytes]:
        for one, _request in zip(answers, requests, strict=False):
            yield one if isinstance(one, bytes) else one.SerializeToString()

    handler: Any = grpc.stream_stream_rpc_method_handler(answer)
    generic = grpc.method_handlers_generic_handler(service, {method: handler})
    server.add_generic_rpc_handlers((generic,))
    return server


def names(*services: str) -> Any:
    """Returns an answer with the names of services."""
    return Response(list_services_response={"service": [{"name": name} for name in services]})


def files(*serialized: bytes) -> Any:
    """Returns an answer with files."""
    return Response(file_descriptor_response={"file_descriptor_proto": serialized})


SIMPLE = compile_text(
    'syntax = "proto3"; package a; message M {} service S { rpc G(M) returns (M); }'
)
LONELY = FileDescriptorSet.FromString(SIMPLE).file[0]
LONELY.dependency.append("b.proto")

WRONG = {
    "no services": ([names()], "names no services of a contract"),
    "gRPC's services alone": ([names("grpc.health.v1.Health")], "names no services of a contract"),
    "ends": ([], "ends without an answer"),
    "ends in the middle": ([names("a.S")], "ends without an answer"),
    "no message": ([b"\xff\xff"], "sends what is no answer"),
    "no file": ([names("a.S"), files(b"\xff\xff")], "sends what is no file"),
    "an error": (
        [names("a.S"), Response(error_response={"error_code": 5, "error_message": "none"})],
        "has no file for 'a.S': none",
    ),
    "an import is another file": (
        [names("a.S"), *[files(LONELY.SerializeToString())] * 2],
        "sends other files than 'b.proto'",
    ),
    "not the service": ([names("a.T"), files()], "is in no file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_answers_wrongly_is_one_line(name: str) -> None:
    """Nothing hangs, and what was wrong is named, with the server."""
    answers, text = WRONG[name]
    with serving(scripted(*answers)) as address, pytest.raises(ContractError) as raised:
        read(address)

    assert text in str(raised.value)
    assert address in str(raised.value)


def test_imports_that_are_not_sent_are_asked_for() -> None:
    """A server may send only the file that was asked for; v1alpha is asked after v1."""
    b = compile_text('syntax = "proto3"; package b; message N {}')
    imported = FileDescriptorSet.FromString(b).file[0]
    imported.name = "b.proto"
    answers = (names("a.S"), files(LONELY.SerializeToString()), files(imported.SerializeToString()))
    with serving(scripted(*answers, path=METHODS[1].path)) as address:
        settings = Settings(upstream=address, reflect=True)
        content = named_source(f"reflect:{address}", settings).read()

    assert [file.name for file in files_of(content)] == ["b.proto", "test.proto"]


def test_the_stamp_changes_when_the_upstream_is_reached_again() -> None:
    """A server that was away may have another contract; a file has not."""
    reflected = SettingsSource(
        Settings.model_validate({"reflect": True, "reflect_poll_seconds": None})
    )
    file = SettingsSource(Settings(descriptor_set=Path("x")))
    stamps = [(reflected.stamp(), file.stamp())]
    for source in (reflected, file):
        source.returns = lambda: 1
    stamps.append((reflected.stamp(), file.stamp()))

    assert stamps[0][0] != stamps[1][0]
    assert stamps[0][1] == stamps[1][1]


def test_the_stamp_changes_with_time() -> None:
    """So that a reload asks again; with None it does not."""
    often = Settings(reflect=True, reflect_poll_seconds=0.001)
    never = Settings.model_validate({"reflect": True, "reflect_poll_seconds": None})
    often_source, never_source = (named_source("reflect:x:1", each) for each in (often, never))

    first, fixed = often_source.stamp(), never_source.stamp()
    time.sleep(0.01)
    assert often_source.stamp() != first
    assert never_source.stamp() == fixed
