"""The error of a call that ended with another status than OK, for either transport."""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from gateway.transcoding.metadata import Metadata
from gateway.transcoding.metadata_size import metadata_too_large
from gateway.transcoding.status import INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE, StatusError
from gateway.upstream.reachability import Reachability

_STATUS_DETAILS: Final = "grpc-status-details-bin"
_NOT_GRPC: Final = re.compile(
    r"the answer is not gRPC: HTTP status (\d+)|Received http2 header with status: (\d+)"
)
"""Begins the details if an HTTP/2 server without gRPC has answered, by `grpc_wire` or `grpcio`."""
_TOO_LARGE: Final = re.compile(r"CLIENT: Received message larger than max")
_REQUEST_METADATA: Final = re.compile(
    r"CLIENT: Sent metadata larger than|[Rr]eceived metadata (?:larger than|size exceeds)"
)
"""Begins the details where metadata of the request are too large: of `grpc_wire`'s client, which does not
send them, and of either server."""
_ANSWER_METADATA: Final = re.compile(
    r"(?:ENHANCE_YOUR_CALM: Received|Initial|Trailing) metadata larger than"
    r"|Stream removed \(received metadata size exceeds"
)
"""Stands in the details where metadata of the answer are too large: of either client, and of a `grpc_wire`
server, which does not send them."""


def status_error(
    code: int,
    details: str,
    initial: Metadata,
    trailing: Metadata,
    reachability: Reachability,
    method: str,
) -> StatusError:
    """Makes the edge's error of what a server, or gRPC itself, has ended a call with.

    It has the metadata of the call; `initial` is empty where the server sent a trailers-only answer.
    """
    for key, value in trailing:
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            try:
                status = Status.FromString(value)
            except DecodeError:
                break
            if status.code == code:
                return StatusError(status, initial=initial, trailing=trailing, by_upstream=True)
    if code == UNAVAILABLE and (problem := reachability.failed(details)) is not None:
        details = problem
    elif (answered := _NOT_GRPC.match(details)) is not None:
        details = reachability.not_grpc(details, answered[1] or answered[2])
    elif code == RESOURCE_EXHAUSTED and _TOO_LARGE.search(details):
        # said on our side, and of the server: a caller that tried again would fare no better
        code, details = INTERNAL, "the server's answer is larger than the largest message"
    elif code == RESOURCE_EXHAUSTED and _REQUEST_METADATA.match(details):
        return metadata_too_large("more than the server takes")
    elif code == RESOURCE_EXHAUSTED and _ANSWER_METADATA.search(details):
        code, details = INTERNAL, "the server's metadata are larger than the edge takes"
    reachability.failed_call(method, code, details)
    status = Status(code=code, message=details)
    return StatusError(status, initial=initial, trailing=trailing, by_upstream=True)
