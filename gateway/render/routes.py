"""The route table as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.contract.fields import dotted
from gateway.contract.http_rule import Binding
from gateway.contract.stream_type import StreamType

_HEAD: Final = ("METHOD", "PATH", "RPC", "BODY", "STREAMS")
_STREAMS: Final = {
    StreamType.UNARY: "",
    StreamType.CLIENT: "client",
    StreamType.SERVER: "server",
    StreamType.BIDI: "both",
}

RPC_NOTES: Final[Mapping[str, tuple[str, ...]]] = {
    "contract": (),
    "annotated": (
        "gRPC, gRPC-Web and Connect reach methods that have HTTP rules (rpc: annotated)",
    ),
    "upstream": ("gRPC, gRPC-Web and Connect reach every method of the upstream (rpc: upstream)",),
    "off": ("gRPC, gRPC-Web and Connect are off (rpc: off)",),
}
"""Lines under the table, by the setting `rpc`; none where all methods of the contract are reached."""


def render_routes(
    bindings: Iterable[Binding], callers: Callable[[Binding], str] | None = None
) -> str:
    """Returns a header line, and one line per binding in the order of the contract.

    Args:
        bindings: of the contract.
        callers: says who may call a binding; None: the table does not say.
    """
    bindings = list(bindings)
    rows: list[tuple[str, ...]] = [_HEAD, *map(_row, bindings)]
    if callers is not None:
        whos = ["CALLERS", *map(callers, bindings)]
        rows = [(*row, who) for row, who in zip(rows, whos, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
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
