"""The head of an answer, read: most are like one that came before."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from grpc_wire.events import Headers
from grpc_wire.message import IDENTITY
from grpc_wire.metadata import Metadata, from_headers
from grpc_wire.status import Status, from_answer


class AnswerHead(NamedTuple):
    """What it says."""

    wrong: Status | None
    """What it stands for if it is not gRPC's."""
    encoding: str
    """Of the messages."""
    metadata: Metadata


@lru_cache(maxsize=64)
def read_head(headers: Headers) -> AnswerHead:
    """Reads the head of an answer."""
    encoding = dict(headers).get(b"grpc-encoding", IDENTITY.encode()).decode("latin-1")
    return AnswerHead(from_answer(headers), encoding, from_headers(headers))
