"""Whether traces are made, for edge and core; `server_process.otel` makes them.

Rule: nothing of OpenTelemetry is imported before somebody asks for traces, so that they cost nothing else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from server_process.otel import Tracing

EXPORTERS: Final = ("otlp", "console", "none")
"""Values of `OTEL_TRACES_EXPORTER`, which is one or several with commas between."""
PROTOCOLS: Final = ("http/protobuf", "grpc")
"""Values of `OTEL_EXPORTER_OTLP_PROTOCOL`."""


class TracingError(Exception):
    """Traces are asked for and cannot be made; the text says why."""


def tracing(service: str, version: str = "") -> Tracing | None:
    """Returns what makes the traces of a process; None if `OTEL_SDK_DISABLED` is `true`.

    Args:
        service: name of the service where no variable gives one.
        version: its version; empty: it has none.

    Raises:
        TracingError: the extra is not installed, or a variable has a value that is not known.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporters = _values("OTEL_TRACES_EXPORTER", EXPORTERS)
    protocols = _values("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOLS)
    protocols = _values("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOLS) or protocols
    try:
        from server_process.otel import Tracing  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise TracingError(
            f"traces need the package {error.name}; pip install 'protoway[otel]'"
        ) from error
    return Tracing(service, version, exporters or EXPORTERS[:1], (protocols or PROTOCOLS)[0])


def _values(variable: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the values of a variable; none if it is unset."""
    given = [each.strip().lower() for each in os.environ.get(variable, "").split(",")]
    found = tuple([each for each in given if each])
    for each in found:
        if each not in known:
            raise TracingError(f"{variable}: {each!r} is none of {', '.join(known)}")
    return found
