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

SAMPLERS: Final = tuple(
    parent + each
    for parent in ("parentbased_", "")
    for each in ("always_on", "always_off", "traceidratio")
)
"""Values of `OTEL_TRACES_SAMPLER`."""
_NUMBERS: Final = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_COUNTS: Final = (
    *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"),
    *("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
)
_QUEUE, _BATCH = 2048, 512
"""Defaults of the last two."""
_COMPRESSIONS: Final = ("none", "gzip", "deflate")


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
    _check_others()
    try:
        from server_process.otel import Tracing  # noqa: PLC0415 - an extra
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


def _check_others() -> None:
    """Refuses values that the SDK would replace by defaults, of which one keeps every trace."""
    for variable in ("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"):
        _values(variable, _COMPRESSIONS)
    sampler = _values("OTEL_TRACES_SAMPLER", SAMPLERS)
    if sampler and sampler[0].endswith("ratio"):
        _number("OTEL_TRACES_SAMPLER_ARG", 0.0, 1.0, "a number from 0 to 1")
    for variable in _NUMBERS:
        _number(variable, 0.0, float("inf"), "a number of seconds")
    for variable in _COUNTS:
        _number(variable, 1, float("inf"), "a number from 1 on")
    queue = _number(_COUNTS[2], 1, float("inf"), "") or _QUEUE
    if (_number(_COUNTS[3], 1, float("inf"), "") or _BATCH) > queue:
        raise TracingError(f"{_COUNTS[3]}: is more than {_COUNTS[2]}, which is {queue:g}")


def _number(variable: str, least: float, most: float, words: str) -> float | None:
    """Returns the number that a variable has; None if it is unset."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        found = int(text) if variable in _COUNTS else float(text)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        raise TracingError(f"{variable}: {text!r} is not {words}")
    return found
