"""The head of an answer, read: most are like one that came before."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from grpc_wire.call.codes import INTERNAL
from grpc_wire.call.message import ENCODINGS, IDENTITY
from grpc_wire.call.metadata import Metadata, from_headers
from grpc_wire.call.status import Status, from_answer
from grpc_wire.headers.section import Headers


class AnswerHead(NamedTuple):
    """What it says."""

    wrong: Status | None
    """What it stands for if it is not gRPC's."""
    unreadable: Status | None
    """What it stands for if there are messages, and nobody here can read them."""
    encoding: str
    """Of the messages."""
    metadata: Metadata


@lru_cache(maxsize=64)
def read_head(headers: Headers) -> AnswerHead:
    """Reads the head of an answer."""
    encoding = dict(headers).get(b"grpc-encoding", IDENTITY.encode()).decode("latin-1")
    unreadable = None
    if encoding not in ENCODINGS:
        reason = f"the answer has a grpc-encoding that is not known: {encoding!r}"
        unreadable = Status(INTERNAL, reason)
    return AnswerHead(from_answer(headers), unreadable, encoding, from_headers(headers))
