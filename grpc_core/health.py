"""Checks a gRPC server's health: `python -m grpc_core.health [ADDRESS]`, for a container or a supervisor.

Source: grpc/health/v1/health.proto. Exit status 0: SERVING. 1: anything else, and one line says why. Without
an address it asks the core of the same machine, where `CORE_HOST` and `CORE_PORT` say that it listens; if
`CORE_TLS_CERTIFICATE` is set, `--ca` is needed.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

_SECONDS = 3.0
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - it is not listened on
_OPTIONS = (("grpc.enable_http_proxy", 0),)  # docker may put one into the environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks once; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.ca is None and os.environ.get("CORE_TLS_CERTIFICATE"):
        return _fail("the core serves TLS (CORE_TLS_CERTIFICATE): give --ca FILE")
    try:
        with _channel(options) as channel:
            stub: Any = HealthStub(channel)
            request = HealthCheckRequest(service=options.service)
            answer = stub.Check(request, timeout=_SECONDS)
    except OSError as error:
        return _fail(f"cannot read {error.filename}: {error.strerror}")
    except grpc.RpcError as error:
        return _fail(f"{error.code().name}: {error.details()}")
    if answer.status != HealthCheckResponse.SERVING:
        return _fail(HealthCheckResponse.ServingStatus.Name(answer.status))
    return 0


def address_of(environment: Mapping[str, str]) -> str:
    """Returns the address of the core with this environment."""
    given = {name.upper(): value for name, value in environment.items()}
    host = given.get("CORE_HOST", "")
    host = _LOOPBACK.get(host, host).removeprefix("[").removesuffix("]")
    port = given.get("CORE_PORT") or "50051"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _channel(options: argparse.Namespace) -> grpc.Channel:
    if options.ca is None:
        return grpc.insecure_channel(options.address, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        *(_read(path) for path in (options.ca, options.key, options.certificate))
    )
    return grpc.secure_channel(options.address, credentials, _OPTIONS)


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grpc_core.health", description="Checks whether a gRPC server serves."
    )
    parser.add_argument(
        "address",
        nargs="?",
        default=address_of(os.environ),
        help="HOST:PORT (default: %(default)s)",
    )
    parser.add_argument("--service", default="", help="a service; default: the whole server")
    parser.add_argument("--ca", type=Path, help="PEM file with the CA to trust; turns TLS on")
    parser.add_argument("--certificate", type=Path, help="PEM file with the client certificate")
    parser.add_argument("--key", type=Path, help="PEM file with its key")
    return parser


def _fail(reason: str) -> int:
    print(f"health: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
