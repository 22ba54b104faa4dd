"""The end of a feed, and the metadata of its call, as bytes in the store."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import orjson
from google.rpc.status_pb2 import Status

from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import StatusError


def write_metadata(metadata: Metadata) -> bytes:
    """Returns metadata as bytes; empty for none."""
    return orjson.dumps(_pairs(metadata)) if metadata else b""


def read_metadata(data: bytes) -> Metadata:
    """Returns the metadata of bytes."""
    return _metadata(orjson.loads(data)) if data else ()


def write_end(failure: StatusError | None, trailing: Metadata) -> bytes:
    """Returns the end of a feed as bytes.

    Args:
        failure: its status; None: OK.
        trailing: the trailing metadata of a call that ended with OK.
    """
    if failure is None:
        return orjson.dumps({"trailing": _pairs(trailing)})
    return orjson.dumps(
        {
            "status": b64encode(failure.status.SerializeToString()).decode(),
            "http_status": failure.http_status,
            "initial": _pairs(failure.initial),
            "trailing": _pairs(failure.trailing),
            "by_upstream": failure.by_upstream,
        }
    )


def read_end(data: bytes) -> tuple[StatusError | None, Metadata]:
    """Returns status and trailing metadata of an end."""
    said: dict[str, Any] = orjson.loads(data)
    trailing = _metadata(said["trailing"])
    if "status" not in said:
        return None, trailing
    failure = StatusError(
        Status.FromString(b64decode(said["status"])),
        http_status=said["http_status"],
        initial=_metadata(said["initial"]),
        trailing=trailing,
        by_upstream=said["by_upstream"],
    )
    return failure, trailing


def _pairs(metadata: Metadata) -> list[tuple[str, str | list[str]]]:
    """Returns metadata for JSON; the value of a binary key is base64 in a list."""
    return [
        (key, value if isinstance(value, str) else [b64encode(value).decode()])
        for key, value in metadata
    ]


def _metadata(pairs: list[tuple[str, str | list[str]]]) -> Metadata:
    return tuple(
        (key, value if isinstance(value, str) else b64decode(value[0])) for key, value in pairs
    )
