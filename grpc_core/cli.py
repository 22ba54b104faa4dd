"""The command line: `python -m grpc_core [--host HOST] [--port PORT] [--workers COUNT]`.

Rule: what an operator did wrong is one line on standard error, never a traceback. Exit status 2
means a wrong setting, 1 that the server could not start, 0 that it was stopped.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from pydantic import ValidationError

from grpc_core import server
from grpc_core.address import ListenError, allow_many_files, reserve, shown
from grpc_core.market import Market
from grpc_core.settings import Settings
from grpc_core.tls import TlsError
from grpc_core.workers import Parent, Workers

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the core until it is told to stop, and returns the exit status."""
    flags = {k: v for k, v in vars(_parser().parse_args(arguments)).items() if v is not None}
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        return _fail(2, _explain(error, flags))
    logging.basicConfig(
        level=settings.log_level.upper(), format="core: %(levelname)s %(name)s: %(message)s"
    )
    allow_many_files()
    if settings.workers > 1:
        return _serve_with_workers(settings)
    return _serve(settings, Market(settings))


def _serve(settings: Settings, market: Market, parent: Parent | None = None) -> int:
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(server.run(settings, market, parent))
    except (ListenError, TlsError) as error:
        return _fail(1, str(error))
    return 0


def _serve_with_workers(settings: Settings) -> int:
    """Serves in processes of their own: grpc must not be in use in one that forks, so it is not in this."""
    try:
        with ExitStack() as held:
            port = held.enter_context(reserve(settings.host, settings.port))
            market = Market(settings)
            market.log_rates()
            market.follow_walk()
            own = settings.model_copy(update={"port": port})
            workers = Workers("core", settings.workers, lambda parent: _serve(own, market, parent))
            return workers.run(
                serving=lambda: server.print_address(shown(settings.host, port)),
                stopping=held.close,
            )
    except ListenError as error:
        return _fail(1, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grpc_core",
        description="The currency service, over gRPC.",
        epilog="Flags override the environment, where every setting has the prefix CORE_.",
    )
    parser.add_argument("--host", help="where to listen (CORE_HOST)")
    parser.add_argument("--port", help="TCP port, 0 picks a free one (CORE_PORT)")
    parser.add_argument("--workers", help="how many processes serve (CORE_WORKERS)")
    return parser


def _fail(status: int, reason: str) -> int:
    print(f"core: {reason}", file=sys.stderr)
    return status


def _explain(error: ValidationError, flags: Collection[str]) -> str:
    """Names each setting that is wrong as it was given: as a flag or as a variable."""
    problems = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        source = f"--{name}" if name in flags else f"CORE_{name.upper()}"
        problems.append(f"{source}: {problem['msg']}, got {problem['input']!r}")
    return "; ".join(problems)
