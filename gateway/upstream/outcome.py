"""How a call of `grpc.aio`, or one of its shape, has ended, in the edge's words."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from grpc import aio

from gateway.transcoding.status import CANCELLED, INTERNAL, StatusError
from gateway.upstream.port import Outcome, Response

log = logging.getLogger(__name__)

_STATUS_DETAILS: Final = "grpc-status-details-bin"
_ADDRESS: Final = re.compile(
    r"\b(ipv4|ipv6|unix|dns):|errors resolving |DNS resolution failed|address lookup failed"
)
"""What gRPC's own words have where they name addresses; a server's words are its own."""
_TOO_LARGE: Final = re.compile(r"CLIENT: Received message larger than max")


def outcome(call: Any) -> Outcome:
    """Returns how a call has ended of which all is there."""
    try:
        message = known(call.__await__())
        initial, trailing = known(call.initial_metadata()), known(call.trailing_metadata())
        return Response(message, tuple(initial), tuple(trailing))
    except aio.AioRpcError as error:
        return status_error(error)
    except asyncio.CancelledError:
        return StatusError.of(CANCELLED, "the call was cancelled")
    except Exception as error:
        return error


def known(waiting: Any) -> Any:
    """Returns the result of a coroutine that has nothing to wait for."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the call is not done")


def status_error(error: aio.AioRpcError) -> StatusError:
    """Makes the edge's error from gRPC's, with the details that the server gave."""
    code = error.code().value[0]
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            try:
                status = Status.FromString(value)
            except DecodeError:
                break
            if status.code == code:
                return StatusError(status)
    message = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and _ADDRESS.search(message):
        log.warning("upstream cannot be reached: %s", message)
        message = "upstream cannot be reached"  # grpc's own text names addresses
    elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE.search(message):
        # said on our side, and of the server: a caller that tried again would fare no better
        code, message = INTERNAL, "the server's answer is larger than the largest message"
    return StatusError.of(code, message)
