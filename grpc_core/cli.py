"""The command `python -m grpc_core [--host HOST] [--port PORT] [--workers COUNT] [--rates bundled|ecb]`.

Rule: what an operator did wrong is one line on stderr, never a traceback. Exit status 0: it was stopped by
a signal. 1: it could not start. 2: a setting is wrong.
"""

import argparse
import asyncio
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Final

from pydantic import ValidationError

from grpc_core import server
from grpc_core.address import ListenError, allow_many_files, reserve, shown
from grpc_core.callers import CallersError
from grpc_core.market import Market
from grpc_core.metrics_listener import MetricsAddress, metrics_address
from grpc_core.settings import PREFIX, Settings
from grpc_core.tls import TlsError
from server_process.logs import configure_logs
from server_process.systemd import notify
from server_process.tracing import TracingError
from server_process.variables import is_service_address
from server_process.workers import Parent, Workers

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop

LOGGING: Final = ("core", "grpc_core", "grpc_wire", "server_process")
"""Packages that log at `log_level`; others log warnings and errors."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the core until a signal stops it; returns the exit status."""
    flags = {k: v for k, v in vars(_parser().parse_args(arguments)).items() if v is not None}
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        return _fail(2, _explain(error, flags))
    configure_logs(settings.log_level, LOGGING, settings.log_format)
    try:
        server.tracing_of(settings)
    except TracingError as error:  # before a worker would fail again and again
        return _fail(1, str(error))
    allow_many_files()
    if settings.workers > 1:
        return _serve_with_workers(settings)
    return _serve(settings)


def _serve(settings: Settings) -> int:
    try:
        with metrics_address(settings) as metrics_at:
            return _run(settings, Market(settings), None, metrics_at)
    except ListenError as error:
        return _fail(1, str(error))


def _run(
    settings: Settings, market: Market, parent: Parent | None, metrics_at: MetricsAddress | None
) -> int:
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(server.run(settings, market, parent, metrics_at))
    except (CallersError, ListenError, TlsError) as error:
        return _fail(1, str(error))
    return 0


def _serve_with_workers(settings: Settings) -> int:
    """Serves in worker processes; grpc must not be in use in a process that forks, so not in this one."""
    try:
        with ExitStack() as held:
            port = held.enter_context(reserve(settings.host, settings.port))
            market = Market(settings)
            market.log_rates()

            def stopping() -> None:
                notify("STOPPING=1")
                held.close()

            own = settings.model_copy(update={"port": port})
            metrics_at = held.enter_context(metrics_address(settings))

            def work(parent: Parent) -> int:
                return _run(own, market, parent, metrics_at)

            return Workers("core", settings.workers, work).run(
                serving=lambda: server.say_where(shown(settings.host, port), settings, metrics_at),
                stopping=stopping,
            )
    except ListenError as error:
        return _fail(1, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grpc_core",
        description="The currency service, over gRPC.",
        epilog="Every setting is an environment variable with the prefix CORE_; an option wins over it.",
    )
    parser.add_argument("--host", help="address to listen on (CORE_HOST)")
    parser.add_argument("--port", help="TCP port to listen on; 0: a free one (CORE_PORT)")
    parser.add_argument("--workers", help="number of processes that serve (CORE_WORKERS)")
    parser.add_argument("--rates", help="where rates come from: bundled or ecb (CORE_RATES)")
    return parser


def _fail(status: int, reason: str) -> int:
    print(f"core: {reason}", file=sys.stderr)
    return status


def _explain(error: ValidationError, flags: Collection[str]) -> str:
    """Names each setting that is wrong as it was given: as an option or as a variable."""
    problems = []
    for problem in error.errors():
        if not problem["loc"]:
            problems.append(problem["msg"].removeprefix("Value error, "))
            continue
        name, value = str(problem["loc"][0]), problem["input"]
        source = f"--{name}" if name in flags else f"{PREFIX}{name.upper()}"
        if is_service_address(value):
            problems.append(
                f"{source}: {value!r} is what Kubernetes sets for a Service of this name;"
                " set `enableServiceLinks: false` in the pod, or rename the Service"
            )
        else:
            problems.append(f"{source}: {problem['msg']}, got {value!r}")
    return "; ".join(problems)
