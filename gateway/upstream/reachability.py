"""Whether the upstream can be reached, as its calls find it: one log line for each change.

Callers are told the kind of the problem, and no address. gRPC's own text, which has addresses, is logged.
"""

from __future__ import annotations

import logging
import re
from typing import Final, NamedTuple

from gateway.transcoding.status import UNIMPLEMENTED

log = logging.getLogger(__name__)

HEALTH_CHECK_PATH: Final = "/grpc.health.v1.Health/Check"
"""Asked of every upstream, whether it has that service or not."""
NOT_GRPC_TEXT: Final = "upstream does not answer in gRPC"
"""Begins what callers are told where an HTTP server has answered."""
_ADDRESS: Final = re.compile(
    r"\b(ipv4|ipv6|unix|dns):|errors resolving |DNS resolution failed|address lookup failed"
)
"""Matches the texts of gRPC itself that name addresses; a server's own texts are passed on."""


class _Problem(NamedTuple):
    """One kind of problem."""

    pattern: re.Pattern[str]
    """Matches gRPC's text, of `grpcio` or `grpc_wire`."""
    text: str
    """What callers are told."""
    advice: str
    """What the log says beside it."""


def _problem(*patterns: str, text: str, advice: str) -> _Problem:
    return _Problem(re.compile("|".join(patterns)), text, advice)


_TLS_ADVICE: Final = (
    "it may want TLS (upstream_tls), or a client certificate (upstream_certificate)"
)
_PROBLEMS: Final = (
    _problem(
        r"DNS resolution failed",
        r"errors resolving",
        r"address lookup failed",
        r"[Nn]ame or service not known",
        text="its name does not resolve",
        advice="look at the setting upstream",
    ),
    _problem(
        r"certificate verify failed",
        r"CERTIFICATE_VERIFY_FAILED",
        r"Hostname Verification Check failed",
        r"[Pp]eer name .* is not in peer certificate",
        text="its certificate is not accepted",
        advice="look at upstream_ca and upstream_name",
    ),
    _problem(
        r"WRONG_VERSION_NUMBER",
        r"RECORD_LAYER_FAILURE",
        r"TLS handshake",
        r"[Ss][Ss][Ll] handshake",
        r"\[SSL",
        r"SSL_ERROR",
        r"TSI_",
        text="the TLS handshake fails",
        advice="it may speak no TLS, or want a client certificate (upstream_certificate)",
    ),
    _problem(
        r"http1\.x server",
        r"Failed parsing HTTP/2",
        r"first frame is not SETTINGS",
        r"before receiving SETTINGS",
        r"failed to connect .*: a frame of \d+ bytes",
        r"\(ALPN\)",
        text="it answers, but not in gRPC (HTTP/2)",
        advice="it may be an HTTP/1.1 server, or want TLS (upstream_tls)",
    ),
    _problem(
        r"failed to connect .*(?:Socket closed|[Cc]onnection reset|closed the connection)",
        text="it closes the connection at once",
        advice=_TLS_ADVICE,
    ),
    _problem(r"[Cc]onnection refused", text="connection refused", advice="nothing listens there"),
    _problem(
        r"[Tt]imed? ?out",
        r"no connection within",
        text="no answer in time",
        advice="look at the network",
    ),
    _problem(
        r"unreachable",
        r"[Nn]o route to host",
        text="no route to its address",
        advice="look at the network",
    ),
)
"""The first that matches counts."""
_NOT_GRPC: Final = _problem(
    text="it answers, but not in gRPC", advice="it may be an HTTP/2 server without gRPC"
)
_NOT_IMPLEMENTED: Final = re.compile(
    r"Method not found|unknown (?:service|method) |The server does not implement the method "
    r"|(?:Service|Method) is unimplemented|Method not implemented!|$"
)
"""Matches the texts of gRPC servers for a method that they lack: Python and Java, Go, Node, .NET, a generated
Python servicer; the C++ and Rust servers send none."""
_LOST: Final = _problem(text="the connection was lost", advice="")


class Reachability:
    """What is known of one upstream; a problem is logged when it is new since the last connection."""

    def __init__(self, target: str) -> None:
        """Begins without a problem.

        Args:
            target: the address, as it was set.
        """
        self._target = target
        self._logged: set[str] = set()
        self.returns = 0
        """How often the server was reached again after a problem."""
        self._not_implemented = {HEALTH_CHECK_PATH}
        """Methods that are not warned of: those of the contract that the server lacked before, each as
        `/package.Service/Method`."""

    def failed(self, details: str) -> str | None:
        """Takes the text of a call that ended with UNAVAILABLE, and logs a problem that is new.

        Returns:
            What callers are told; None if the text is the server's own.
        """
        if not _ADDRESS.search(details):
            return None
        problem = next((each for each in _PROBLEMS if each.pattern.search(details)), _LOST)
        self._log(problem, details)
        return f"upstream cannot be reached: {problem.text}"

    def not_grpc(self, details: str, http_status: str) -> str:
        """Takes the text of a call that an HTTP server answered, and logs it if it is new.

        Returns:
            What callers are told.
        """
        self._log(_NOT_GRPC, details)
        return f"{NOT_GRPC_TEXT}: HTTP status {http_status}"

    def failed_call(self, method: str, code: int, details: str) -> None:
        """Takes the status of a call; logs once for each method that the server lacks it.

        Args:
            method: as `/package.Service/Method`; empty for one that the contract does not know.
            code: of the status.
            details: its text; of UNIMPLEMENTED, only those that gRPC makes itself count.
        """
        if (
            code == UNIMPLEMENTED
            and method
            and method not in self._not_implemented
            and _NOT_IMPLEMENTED.match(details)
        ):
            self._not_implemented.add(method)
            log.warning(
                "upstream %s does not implement %s, which the contract has: does an older server run there?",
                self._target, method.removeprefix("/"),
            )  # fmt: skip

    def _log(self, problem: _Problem, details: str) -> None:
        if problem.text in self._logged:
            return
        self._logged.add(problem.text)
        advice = f"; {problem.advice}" if problem.advice else ""
        log.warning(
            "upstream %s cannot be reached: %s%s (%a)",
            self._target, problem.text, advice, details,
        )  # fmt: skip

    def connected(self) -> None:
        """Takes that a connection is ready."""
        if self._logged:
            self._logged.clear()
            self.returns += 1
            log.warning("upstream %s can be reached again", self._target)
