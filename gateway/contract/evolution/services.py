"""Changes of services and their methods, as gRPC sees them."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import MethodDescriptorProto, MethodOptions

from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.evolution.schema import Schema


def service_differences(old: Schema, new: Schema) -> Iterator[Difference]:
    """Yields changes of all services."""
    for name, before in old.services.items():
        after = new.services.get(name)
        if after is None:
            text = "the service was deleted: its methods are UNIMPLEMENTED"
            yield difference("PACKAGE_SERVICE_NO_DELETE", name, text)
            continue
        methods = after.methods
        for method in before.proto.method:
            element = f"{name}.{method.name}"
            if method.name not in methods:
                text = "the method was deleted: it is UNIMPLEMENTED"
                yield difference("RPC_NO_DELETE", element, text)
            else:
                yield from _method(method, methods[method.name], element)


def _method(
    old: MethodDescriptorProto, new: MethodDescriptorProto, element: str
) -> Iterator[Difference]:
    for side, was, now in (
        ("client", old.client_streaming, new.client_streaming),
        ("server", old.server_streaming, new.server_streaming),
    ):
        if was != now:
            text = f"the {side} {'streams' if now else 'streams no more'}"
            yield difference(f"RPC_SAME_{side.upper()}_STREAMING", element, text)
    for what, before, after in (
        ("request", old.input_type, new.input_type),
        ("response", old.output_type, new.output_type),
    ):
        if before != after:
            text = f"the {what} type changed from {before[1:]} to {after[1:]}"
            yield difference(f"RPC_SAME_{what.upper()}_TYPE", element, text)
    levels = (old.options.idempotency_level, new.options.idempotency_level)
    if levels[0] != levels[1]:
        shown = " to ".join(map(MethodOptions.IdempotencyLevel.Name, levels))
        text = f"the option idempotency_level changed from {shown}"
        yield difference("RPC_SAME_IDEMPOTENCY_LEVEL", element, text)
