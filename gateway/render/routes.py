"""The route table as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.contract.fields import dotted
from gateway.contract.http_rule import Binding
from gateway.contract.method import StreamType

_HEAD: Final = ("METHOD", "PATH", "RPC", "BODY", "STREAMS")
_STREAMS: Final = {
    StreamType.UNARY: "",
    StreamType.CLIENT: "client",
    StreamType.SERVER: "server",
    StreamType.BIDI: "both",
}


def render_routes(bindings: Iterable[Binding]) -> str:
    """Returns a header line, and one line per binding in the order of the contract."""
    rows = [_HEAD, *(_row(binding) for binding in bindings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _row(binding: Binding) -> tuple[str, ...]:
    body = dotted(binding.body.path) if binding.body is not None else ""
    return (
        binding.http_method,
        str(binding.template),
        binding.method.full_name,
        body,
        _STREAMS[binding.method.stream_type],
    )
