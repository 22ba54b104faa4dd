"""A health check for supervisors: `python -m grpc_core.health`.

Source: grpc/health/v1/health.proto. The exit status is 0 for SERVING, otherwise 1, with one line on stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

_TIMEOUT_SECONDS = 3.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)  # docker may set one in the environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks once; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with _channel(options) as channel:
            stub: Any = HealthStub(channel)
            request = HealthCheckRequest(service=options.service)
            answer = stub.Check(request, timeout=_TIMEOUT_SECONDS)
    except OSError as error:
        return _fail(f"cannot read {error.filename}: {error.strerror}")
    except grpc.RpcError as error:
        return _fail(f"{error.code().name}: {error.details()}")
    if answer.status != HealthCheckResponse.SERVING:
        return _fail(HealthCheckResponse.ServingStatus.Name(answer.status))
    return 0


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
        prog="python -m grpc_core.health", description="Asks a gRPC server whether it serves."
    )
    parser.add_argument("address", nargs="?", default="127.0.0.1:50051")
    parser.add_argument("--service", default="", help="one service; by default the whole server")
    parser.add_argument("--ca", type=Path, help="speak TLS, and trust this CA")
    parser.add_argument("--certificate", type=Path, help="client certificate")
    parser.add_argument("--key", type=Path, help="its key")
    return parser


def _fail(reason: str) -> int:
    print(f"health: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
