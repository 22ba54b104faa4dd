"""Requests for streams: which are equal, and where in a feed a reader resumes."""

from __future__ import annotations

import re
from collections.abc import Container, Hashable
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import Final, TypeAlias

from gateway.contract.method import Method
from gateway.feeds.feed import Feed
from gateway.feeds.source import CallSource
from gateway.transcoding.event_fields import StreamSpec
from gateway.transcoding.metadata import TRACE_KEYS, Metadata
from gateway.transcoding.status import is_retryable
from gateway.upstream.port import Call, RequestMessages

_EVENT_ID: Final = re.compile(r"([0-9a-f]{16})-([0-9]{1,18})")

RequestKey: TypeAlias = tuple[Hashable, bytes, Metadata]
"""Gives equal requests the same key: method, digest of the message, metadata without trace keys.

A method is known by its signature, so it keeps its feeds in another contract in which it is the same.
"""


@dataclass(frozen=True, slots=True, eq=False)
class StreamRequest:
    """A request for a stream."""

    method: Method
    stream_spec: StreamSpec | None
    """The stream options of the method; None: it has none."""
    requests: RequestMessages
    metadata: Metadata
    timeout: float | None
    """Seconds until the stream ends with DEADLINE_EXCEEDED; None: no timeout."""
    last_event_id: str
    """`Last-Event-ID` of a reader that resumes; empty: it does not."""
    resumable: bool = True
    """Whether the reader gets event ids, so that it can resume."""
    client: str = ""
    """Address of the client; empty: unknown."""


def prefix_of(event_id: str) -> bytes | None:
    """Returns the prefix of an id of the edge; None: it is no such id."""
    match = _EVENT_ID.fullmatch(event_id)
    return match[1].encode() if match else None


def request_key(
    request: StreamRequest, spec: StreamSpec, message: bytes, others: Container[str]
) -> RequestKey:
    """Returns the key of a request; `others` are metadata keys that do not count."""
    return (spec.signature, sha256(message).digest(), identity_of(request.metadata, others))


def position(feed: Feed, last_event_id: str) -> int | None:
    """Returns the offset behind an event; None: the feed has no such event, or ended badly there."""
    if not last_event_id:
        return None
    log = feed.log
    if feed.resumes:
        offset = log.offset_behind(last_event_id.encode())
    else:
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None or match[1].encode() != log.stream_id:
            return None
        offset = log.offset_of(int(match[2]))
    if offset is None or offset > log.end:
        return None
    if feed.failure is not None and is_retryable(feed.failure) and offset == log.end:
        return None
    return offset


def is_the_same(spec: StreamSpec) -> bool:
    """Whether other processes know the method by the same signature."""
    return isinstance(spec.signature, bytes)


def call_source(call: Call, request: StreamRequest) -> CallSource:
    """Returns the source of a call that has one reader."""
    spec = request.stream_spec
    return CallSource(
        call,
        read_id=spec.read_id if spec else None,
        with_ids=request.resumable,
        resume_failed=resume_failed(request),
    )


def resume_failed(request: StreamRequest) -> bool:
    """Whether a reader named a last event, and the server cannot resume after it either."""
    spec = request.stream_spec
    return bool(request.last_event_id) and not (
        spec is not None and spec.can_resume_after(request.last_event_id)
    )


def identity_of(metadata: Metadata, others: Container[str]) -> Metadata:
    """Returns the metadata that distinguish requests, sorted by key: neither of tracing, nor of others."""
    pairs = (pair for pair in metadata if pair[0] not in TRACE_KEYS and pair[0] not in others)
    return tuple(sorted(pairs, key=itemgetter(0)))
