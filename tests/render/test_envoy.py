"""Envoy's configuration, as text and as a tree. That a real Envoy takes it is tested in `tests/parity`."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.admission.proxy_settings import ProxySettings
from gateway.contract.descriptors import load
from gateway.render.envoy import render_envoy
from gateway.render.envoy_contract import EnvoyContract, envoy_contract
from gateway.render.envoy_cors import EnvoyCors
from gateway.render.envoy_routes import EnvoyOptions
from gateway.render.envoy_tls import TlsOptions
from gateway.render.envoy_upstream import seconds, upstream_cluster
from tests.contracts import compile_text, echo_contract
from tests.whole.forking import run

ROOT = Path(__file__).parents[2]
OPTIONS = EnvoyOptions(
    descriptor_set="set.binpb",
    upstream="127.0.0.1:50051",
    host="127.0.0.1",
    port=8081,
    admin_port=9901,
    max_connections=100,
    max_message_bytes=1000,
    timeout_seconds=60.0,
    send_timeout_seconds=60.0,
    upstream_keepalive_seconds=300.0,
)


@pytest.fixture(scope="module")
def echo() -> EnvoyContract:
    """The tests' own contract, as Envoy is given it."""
    return envoy_contract(echo_contract(), auto_mapping=False)


def _manager(text: str) -> Any:
    listener = yaml.safe_load(text)["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def _transcoder(text: str) -> Any:
    filters = {each["name"]: each["typed_config"] for each in _manager(text)["http_filters"]}
    return filters["envoy.filters.http.grpc_json_transcoder"]


def _routes(text: str) -> list[Any]:
    return list(_manager(text)["route_config"]["virtual_hosts"][0]["routes"])


def _rules(contract: EnvoyContract) -> dict[str, Any]:
    return {
        method.name: method.options.Extensions[annotations_pb2.http]
        for file in FileDescriptorSet.FromString(contract.descriptor_set).file
        for service in file.service
        for method in service.method
    }


def test_it_is_the_same_each_time(echo: EnvoyContract) -> None:
    """The text and the descriptor set follow from contract and options alone."""
    again = envoy_contract(echo_contract(), auto_mapping=False)

    assert again.descriptor_set == echo.descriptor_set
    assert render_envoy(again, OPTIONS) == render_envoy(echo, OPTIONS)


def test_it_says_what_it_is(echo: EnvoyContract) -> None:
    """The head names the command that made it, and no aliases stand in the text."""
    text = render_envoy(echo, OPTIONS)

    assert text.startswith("# Made by `protoway envoy`")
    assert "&id" not in text


def test_what_envoy_cannot_serve_is_left_out_and_named(echo: EnvoyContract) -> None:
    """The rule is not in the descriptor set, the head says why, and all others are still there."""
    head = render_envoy(echo, OPTIONS).split("\n\nadmin:")[0]
    rules = _rules(echo)["Unary"]

    assert "#   GET /v1/names/{string_field} (echo.v1.Echo.Unary): response_body is not" in head
    assert [rule for rule in rules.additional_bindings if rule.response_body] == []
    assert rules.post == "/v1/echo"
    assert len(rules.additional_bindings) == 13
    assert echo.own_set.startswith("Envoy cannot serve 2 of the bindings")


def test_a_first_binding_that_is_left_out_is_replaced_by_the_next() -> None:
    """The rule of a method then is what was an additional binding; with none left it has no rule."""
    contract = load(
        compile_text(
            """
            syntax = "proto3";
            package test;
            import "google/api/annotations.proto";
            message M { string a = 1; }
            service S {
              rpc Two(M) returns (M) {
                option (google.api.http) = {
                  get: "/x" response_body: "a" additional_bindings {get: "/y"}
                };
              }
              rpc None(M) returns (M) {
                option (google.api.http) = {get: "/z" response_body: "a"};
              }
            }
            """
        )
    )
    rules = _rules(envoy_contract(contract, auto_mapping=False))

    assert rules["Two"].get == "/y"
    assert rules["None"].WhichOneof("pattern") is None


def test_the_descriptor_set_is_whole_and_without_comments(echo: EnvoyContract) -> None:
    """Each file follows those that it imports, and the details of errors are there."""
    seen: set[str] = set()
    for file in FileDescriptorSet.FromString(echo.descriptor_set).file:
        assert set(file.dependency) <= seen
        assert not file.HasField("source_code_info")
        seen.add(file.name)
    assert "google/rpc/error_details.proto" in seen


def test_a_set_that_would_do_needs_no_other() -> None:
    """Comments say only what a set without error details costs."""
    demo = (ROOT / "protos" / "descriptor_set.binpb").read_bytes()
    given = envoy_contract(load(demo), auto_mapping=False)

    assert given.own_set == ""
    assert "error_details" in render_envoy(given, replace(OPTIONS, own_descriptor_set=False))
    assert "error_details" not in render_envoy(given, OPTIONS)


def test_what_is_strict_and_what_is_not(echo: EnvoyContract) -> None:
    """Unknown methods and parameters are refused, but for `ignore_unknown`."""
    strict = _transcoder(render_envoy(echo, OPTIONS))
    loose = _transcoder(render_envoy(echo, replace(OPTIONS, ignore_unknown=True)))

    assert set(strict["request_validation_options"].values()) == {True}
    assert not strict["ignore_unknown_query_parameters"]
    assert not loose["request_validation_options"]["reject_unknown_query_parameters"]
    assert loose["ignore_unknown_query_parameters"]


@pytest.mark.parametrize(
    ("setting", "option"),
    [
        ("print_defaults", "always_print_primitive_fields"),
        ("print_proto_names", "preserve_proto_field_names"),
        ("print_enum_numbers", "always_print_enums_as_ints"),
    ],
)
def test_print_settings_are_print_options(echo: EnvoyContract, setting: str, option: str) -> None:
    """Of the transcoder, and of each framing of it."""
    changed: dict[str, Any] = {setting: True}
    text = render_envoy(echo, replace(OPTIONS, **changed))

    assert _transcoder(text)["print_options"][option]
    assert text.count(f"{option}: true") == text.count("v3.GrpcJsonTranscoder") > 3
    assert f"{option}: true" not in render_envoy(echo, OPTIONS)


def test_a_setting_that_envoy_has_not_is_said(echo: EnvoyContract) -> None:
    """64-bit integers are strings whatever is set."""
    text = render_envoy(echo, replace(OPTIONS, print_int64_numbers=True))

    assert "# Envoy has no print_int64_numbers" in text


def test_streams_have_no_limit_of_time_and_unary_calls_have(echo: EnvoyContract) -> None:
    """Each method that streams has a route before its service's."""
    routes = _routes(render_envoy(echo, OPTIONS))
    limits = {
        route["match"].get("path") or route["match"]["prefix"]: route["route"]
        for route in routes
        if "route" in route and "headers" not in route["match"]
    }

    assert limits["/echo.v1.Echo/Bidi"]["idle_timeout"] == "0s"
    assert limits["/echo.v1.Echo/Bidi"]["max_stream_duration"] == {"grpc_timeout_header_max": "0s"}
    assert limits["/echo.v1.Echo/"]["max_stream_duration"]["max_stream_duration"] == "60s"
    assert all(route["timeout"] == "0s" for route in limits.values())
    assert list(limits).index("/echo.v1.Echo/Bidi") < list(limits).index("/echo.v1.Echo/")
    assert "retry" not in render_envoy(echo, OPTIONS)


def test_a_body_that_is_one_message_is_held_to_the_limit(echo: EnvoyContract) -> None:
    """Before it is transcoded; at the paths of uploads it passes as it comes, and so does gRPC."""
    routes = _routes(render_envoy(echo, OPTIONS))
    framed = [route for route in routes if route["match"].get("headers")]
    upload = next(route for route in framed if "safe_regex" in route["match"])
    held = [
        "envoy.filters.http.buffer" in route["typed_per_filter_config"]
        for route in framed
        if "prefix" in route["match"]
    ]

    assert upload["match"]["safe_regex"]["regex"].split("|") == [
        "/v1/upload",
        "/v1/upload/[^/]+",
        "/v1/bidi",
        "/v1/raw:upload",
    ]
    assert "envoy.filters.http.buffer" not in upload["typed_per_filter_config"]
    assert (held, routes.index(upload)) == ([True] * 3, 0)
    others = [route for route in routes if route not in framed]
    assert not any("typed_per_filter_config" in route for route in others)


@pytest.mark.parametrize(
    ("template", "matches", "others"),
    [
        ("/a/{b=c.d/*}", ("/a/c.d/x", "/a/c.d/x%2Fy"), ("/a/cxd/x", "/a/c.d/x/y", "/a/c.d/")),
        ("/a/{b=**}", ("/a", "/a/", "/a/b/c"), ("/ab",)),
        ("/{b=**}:up", ("/x/y:up",), ("/x/y", "/x/y:down")),
        ("/", ("/",), ("/a",)),
    ],
)
def test_the_paths_of_uploads(
    template: str, matches: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """A regular expression for each template."""
    contract = load(
        compile_text(
            """
            syntax = "proto3";
            package test;
            import "google/api/annotations.proto";
            message M { string b = 1; }
            service S {
              rpc Up(stream M) returns (M) { option (google.api.http) = {post: "PATH" body: "*"}; }
              rpc Unbound(stream M) returns (M);
              rpc One(M) returns (M);
            }
            """.replace("PATH", template)
        )
    )
    (regex,) = envoy_contract(contract, auto_mapping=False).uploads

    assert [path for path in matches if re.fullmatch(regex, path)] == list(matches)
    assert [path for path in others if re.fullmatch(regex, path)] == []
    mapped = envoy_contract(contract, auto_mapping=True).uploads
    assert [path for path in mapped if re.fullmatch(path, "/test.S/Unbound")] == [mapped[1]]
    assert len(mapped) == 2


def test_tls_is_spoken_both_ways(echo: EnvoyContract) -> None:
    """The upstream's certificate must be of the CA, and name it; without TLS nothing is said of it."""
    options = replace(
        OPTIONS,
        upstream="core.test:1",
        tls_certificate=Path("/own.pem"),
        tls_key=Path("/own.key"),
        upstream_ca=Path("/ca.pem"),
    )
    static = yaml.safe_load(render_envoy(echo, options))["static_resources"]
    chain = static["listeners"][0]["filter_chains"][0]
    upstream = static["clusters"][0]["transport_socket"]["typed_config"]

    own = chain["transport_socket"]["typed_config"]["common_tls_context"]
    assert own["tls_certificates"][0]["private_key"] == {"filename": "/own.key"}
    assert upstream["sni"] == "core.test"
    assert upstream["common_tls_context"]["validation_context"] == {
        "trusted_ca": {"filename": "/ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "core.test"}}],
    }
    assert "transport_socket" not in render_envoy(echo, OPTIONS)


@pytest.mark.parametrize(
    ("upstream", "name", "expected"),
    [
        ("core:1", None, ("DNS", "core")),
        ("core:1", "other.test", ("DNS", "other.test")),
        ("10.0.0.1:1", None, ("IP_ADDRESS", "10.0.0.1")),
        ("unix:/run/core.sock", None, ("DNS", "localhost")),
    ],
)
def test_whose_certificate_the_upstream_must_have(
    upstream: str, name: str | None, expected: tuple[str, str]
) -> None:
    """The address's, or another that is said."""
    tls = TlsOptions(upstream_ca=Path("/ca.pem"), upstream_name=name)
    cluster = upstream_cluster(upstream, 1, keepalive=300.0, tls=tls)
    common = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    (matched,) = common["validation_context"]["match_typed_subject_alt_names"]

    assert (matched["san_type"], matched["matcher"]["exact"]) == expected
    assert common["validation_context"]["trusted_ca"] == {"filename": "/ca.pem"}


def test_the_admin_pages_are_for_the_machine_alone(echo: EnvoyContract) -> None:
    """Wherever Envoy listens."""
    document = yaml.safe_load(render_envoy(echo, replace(OPTIONS, host="0.0.0.0")))

    assert document["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_cors_is_only_for_origins(echo: EnvoyContract) -> None:
    """Without the setting there is no filter."""
    assert "cors" not in render_envoy(echo, OPTIONS)
    assert "exact: https://a.test" in render_envoy(
        echo, replace(OPTIONS, cors=EnvoyCors(("https://a.test",)))
    )


def test_cors_is_that_of_the_edge() -> None:
    """Origins below a domain, credentials, and the methods of the contract; headers as the edge has them."""
    done = _command(
        *("--descriptor-set", ROOT / "protos/descriptor_set.binpb", "--cors-credentials"),
        *("--cors-origins", "https://*.App.Example:8443", "--cors-headers", "X-Tenant"),
        *("--cors-exposed-headers", "X-Cost", "--cors-max-age-seconds", "5"),
    )
    listener = yaml.safe_load(done.stdout)["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    host = manager["route_config"]["virtual_hosts"][0]
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    (matcher,) = policy["allow_origin_string_match"]

    regex = re.compile(matcher["safe_regex"]["regex"])
    assert regex.fullmatch("https://a.b.app.example:8443")
    for other in ("https://app.example:8443", "https://a.app.example", "https://xapp.example:8443"):
        assert not regex.fullmatch(other)
    assert policy["allow_methods"] == "GET,POST"
    assert {"authorization", "x-tenant"} < set(policy["allow_headers"].split(","))
    assert {"x-cost", "x-request-id"} < set(policy["expose_headers"].split(","))
    assert (policy["max_age"], policy["allow_credentials"]) == ("5", True)


@pytest.mark.parametrize(
    ("upstream", "kind", "address"),
    [
        ("core:50051", "STRICT_DNS", ("core", 50051)),
        ("dns:///core.test:1", "STRICT_DNS", ("core.test", 1)),
        ("dns:core.test:1", "STRICT_DNS", ("core.test", 1)),
        ("10.0.0.1:50051", "STATIC", ("10.0.0.1", 50051)),
        ("[::1]:50051", "STATIC", ("::1", 50051)),
        ("unix:/run/core.sock", "STATIC", "/run/core.sock"),
        ("unix:///run/core.sock", "STATIC", "/run/core.sock"),
    ],
)
def test_an_upstream_is_an_address(upstream: str, kind: str, address: Any) -> None:
    """As gRPC writes it."""
    cluster = upstream_cluster(upstream, 1, keepalive=300.0, tls=TlsOptions())
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    place = endpoint["address"]

    assert cluster["type"] == kind
    if isinstance(address, str):
        assert place == {"pipe": {"path": address}}
    else:
        assert tuple(place["socket_address"].values()) == address


@pytest.mark.parametrize("upstream", ["core", "core:0", "core:99999", "xds:///core", "a:b:1"])
def test_other_upstreams_are_refused(upstream: str) -> None:
    """Envoy could not be told them."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        upstream_cluster(upstream, 1, keepalive=300.0, tls=TlsOptions())


@pytest.mark.parametrize(
    ("number", "text"),
    [(60.0, "60s"), (0.5, "0.5s"), (1e-9, "0.001s"), (1e300, "315360000s")],
)
def test_seconds_are_durations(number: float, text: str) -> None:
    """Of protobuf's JSON; what Envoy would count as nothing, and so as no limit, is a millisecond."""
    assert seconds(number) == text


def _command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run("gateway", "envoy", *map(str, arguments))


def test_the_command_prints_it_and_writes_the_set(tmp_path: Path) -> None:
    """YAML on stdout; the set where it was said, and named where Envoy finds it."""
    out = tmp_path / "envoy.binpb"
    done = _command(
        *("--descriptor-set", ROOT / "protos/descriptor_set.binpb", "--port", "1234"),
        *("--descriptor-set-out", out, "--descriptor-set-path", "/mounted.binpb"),
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert _transcoder(done.stdout)["proto_descriptor"] == "/mounted.binpb"
    assert "port_value: 1234" in done.stdout
    assert load(out.read_bytes()).methods


def test_origins_are_rendered_as_browsers_write_them() -> None:
    """Envoy compares them as text."""
    done = _command(
        *("--descriptor-set", ROOT / "protos/descriptor_set.binpb"),
        *("--cors-origins", "HTTPS://App.Example:443", "http://[0::1]:8080"),
    )

    assert re.findall(r"exact: (.*)", done.stdout)[:2] == [
        "https://app.example",
        "http://[::1]:8080",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (
            ("--upstream", "xds:///a"),
            2,
            "upstream 'xds:///a' is neither HOST:PORT nor unix:PATH",
        ),
        (("--tls-key", "key.pem"), 2, "tls_certificate and tls_key go together; only one is given"),
        (
            ("--upstream-certificate", "own.pem"),
            2,
            "upstream_certificate and upstream_key go together; only one is given",
        ),
        (
            ("--upstream-tls",),
            2,
            "Envoy trusts no CA by itself: TLS to the upstream needs upstream_ca",
        ),
        (("--host", "localhost"), 2, "host 'localhost' is no IP address, as Envoy wants it"),
        (("--port", "9901"), 2, "port and admin_port are both 9901"),
        (("--metrics-port", "9901"), 2, "admin_port and metrics_port are both 9901"),
        (("--admin-port", "0"), 2, "--admin-port: Input should be greater than or equal to 1"),
        (
            ("--cors-origins", "*", "https://app.example/"),
            2,
            "--cors-origins: 'https://app.example/' is not an origin: ",
        ),
        (("--services", "no.Such"), 1, "no service 'no.Such'"),
        (("--descriptor-set-out", "/no/such/folder/x"), 1, "cannot write /no/such/folder/x: "),
        (("--http-rules", "{rules}"), 1, "Envoy reads rules in the descriptor set only"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """On stderr, and nothing on stdout."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("http: {rules: [{selector: hello.Greeter.SayHello, get: /hi}]}")
    given = [argument.format(rules=rules) for argument in arguments]
    done = _command("--descriptor-set", ROOT / "protos/descriptor_set.binpb", *given)

    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"protoway: {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (
            {"trusted": ("10.0.0.0/8",), "headers": "forwarded"},
            "proxies_headers: Envoy does not read",
        ),
        ({"trusted": ("10.0.0.0/8", "unix")}, "proxies_trusted: Envoy listens on IP addresses"),
    ],
)
def test_proxies_that_envoy_cannot_trust(
    echo: EnvoyContract, section: dict[str, Any], says: str
) -> None:
    """Are refused with the setting's name."""
    with pytest.raises(ValueError, match=says):
        render_envoy(echo, replace(OPTIONS, proxies=ProxySettings(**section)))


def test_without_proxies_nothing_changes(echo: EnvoyContract) -> None:
    """One filter chain, in which the peer is the client; and no header is added."""
    listener = yaml.safe_load(render_envoy(echo, OPTIONS))["static_resources"]["listeners"][0]

    (chain,) = listener["filter_chains"]
    assert "filter_chain_match" not in chain
    assert "listener_filters" not in listener
    manager = chain["filters"][0]["typed_config"]
    assert manager["use_remote_address"]
    assert "request_headers_to_add" not in manager["route_config"]["virtual_hosts"][0]
