"""Errors of the edge, as a client of HTTP reads them -> StatusError."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.rpc.status_pb2 import Status

from gateway.transcoding.codec import JsonSyntaxError, parse_json
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import HTTP_STATUS, UNKNOWN, StatusError

_SHOWN: Final = 200
"""Maximum characters of a body that is no Status."""


def error_of(value: Any, pool: DescriptorPool, trailing: Metadata = ()) -> StatusError:
    """Returns the error of a Status in JSON; details of types that the contract lacks are left out."""
    status = Status(code=UNKNOWN)
    if isinstance(value, dict):
        code, message = value.get("code"), value.get("message", "")
        status.code = code if isinstance(code, int) and 0 < code < 1 << 31 else UNKNOWN
        status.message = str(message)
        for detail in value.get("details") or ():
            try:
                ParseDict(detail, status.details.add(), descriptor_pool=pool)
            except (ParseError, TypeError, ValueError, AttributeError):
                del status.details[-1]
    return StatusError(status, trailing=trailing, by_upstream=True)


def error_of_response(http_status: int, body: bytes, pool: DescriptorPool) -> StatusError:
    """Returns the error of a response; one that has no Status has the code of its HTTP status."""
    try:
        value = parse_json(body)
    except JsonSyntaxError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("code"), int):
        return error_of({**value, "message": value.get("message") or value.get("detail", "")}, pool)
    code = next((code for code, each in HTTP_STATUS.items() if each == http_status), UNKNOWN)
    text = " ".join(body.decode(errors="replace").split())[:_SHOWN]
    return StatusError.of(code, f"HTTP status {http_status}{': ' if text else ''}{text}")
