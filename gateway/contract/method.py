"""One RPC method of the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from gateway.contract.errors import Location
from gateway.contract.stream_type import StreamType
from gateway.v1.options_pb2 import Rights, StreamOptions

_NOWHERE: Final = Location("")


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method of a service, with its options and its location in the contract."""

    descriptor: MethodDescriptor
    stream_type: StreamType
    rule: HttpRule | None
    """The `google.api.http` annotation; None: the method has none."""
    location: Location
    """Location of the HTTP rule, or of the method if it has none."""
    comment: str = field(repr=False)
    """The leading comment in the .proto, without comment marks."""
    deprecated: bool = False
    stream: StreamOptions | None = None
    """The `gateway.v1.stream` annotation; None: the method has none."""
    stream_location: Location = _NOWHERE
    """Location of that annotation."""
    rights: Rights | None = None
    """The `gateway.v1.rights` annotation; None: the method has none."""
    rights_location: Location = _NOWHERE
    """Location of that annotation."""
    unknown_path: str = ""
    """`/package.Service/Method` of a method that the contract does not know; empty: it does."""
    is_left_out: bool = False
    """Whether all its rules were left out, because they have errors; it is not served then."""
    streams: bool = field(init=False)
    """Whether a side streams."""
    full_name: str = field(init=False)
    """`package.Service.Method`."""
    service_name: str = field(init=False)
    """`package.Service`."""
    path: str = field(init=False)
    """The `:path` of a gRPC request: `/package.Service/Method`."""

    def __post_init__(self) -> None:
        # read for many requests; a descriptor makes the text anew each time
        path = self.unknown_path
        if not path:
            path = f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"
        object.__setattr__(self, "streams", self.stream_type is not StreamType.UNARY)
        object.__setattr__(self, "full_name", path[1:].replace("/", "."))
        object.__setattr__(self, "service_name", path[1:].partition("/")[0])
        object.__setattr__(self, "path", path)

    @property
    def input(self) -> Descriptor:
        """Type of the request messages."""
        return self.descriptor.input_type

    @property
    def output(self) -> Descriptor:
        """Type of the response messages."""
        return self.descriptor.output_type
