"""What the heads of requests mean, kept by their bytes: callers send the same again and again.

What a request has for itself, its trace and its id, is cut out of its head first. Rule: what is cut are
values of letters, digits and hyphens, on lines of their own, each of the first header of its name. So two
heads of which the same was cut out, and that are equal without, mean the same but for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from gateway.edge.whole_request import WholeHead
from gateway.transcoding.endpoint import EncodedBody, Endpoint
from gateway.transcoding.metadata import PREFIX, TRACES, Metadata, MetadataFilter
from gateway.transcoding.request_head import REQUEST_ID, RequestHead

_TRACEPARENT: Final = b"traceparent"
_CUT: Final = (_TRACEPARENT, REQUEST_ID)
_TRACE_LINE, _ID_LINE = (b"\r\n%b: " % name for name in _CUT)
_LONGEST_CUT: Final = 64
"""No value is cut out that is longer; in bytes."""
_MOST: Final = 1024
"""So many heads are kept."""
_LONGEST: Final = 1024
"""No head is kept that is longer; in bytes."""

Form: TypeAlias = tuple[bytes, bool, bool]
"""A head without what is its own, and whether that was a trace, and an id."""


@dataclass(slots=True)
class Question:
    """What is asked of upstream, but for the message."""

    endpoint: Endpoint
    captures: tuple[str, ...]
    encode: Callable[[bytes], EncodedBody]
    metadata: Metadata
    timeout: float | None
    id_key: str | None
    """As what the id goes upstream that is not among the metadata; None if it does not."""
    trace_key: str | None = None
    """The same of the trace."""


@dataclass(slots=True)
class Meaning:
    """What the head of a unary request means, for all that come with the same."""

    head: WholeHead
    said: RequestHead
    question: Question | Exception
    """An exception is what is wrong with the head."""


Own: TypeAlias = tuple[str, str]
"""The trace and the id that one request has for itself; empty is what is not cut out of its head."""
NOTHING: Final[Own] = ("", "")


class KnownHeads:
    """Heads that came before."""

    def __init__(self, allowed: MetadataFilter) -> None:
        self._allowed = allowed.request
        self._known: dict[Form, Meaning] = {}

    def get(self, head: bytes) -> tuple[Meaning, Own] | None:
        """Returns what a head means, and what else its request says."""
        form, own = _form(head)
        meaning = self._known.get(form)
        return None if meaning is None else (meaning, own)

    def keep(self, head: bytes, meaning: Meaning) -> None:
        """Keeps what a head means, unless it will hardly come again, or something is wrong with it."""
        question = meaning.question
        if len(head) > _LONGEST or isinstance(question, Exception):
            return
        form, own = _form(head)
        if own != NOTHING:
            if not _are_alone(own, meaning.head):
                return
            question = self._without(own, question)
        if not TRACES.isdisjoint([key for key, _ in question.metadata]):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[form] = Meaning(
            replace(meaning.head, headers=[]), replace(meaning.said, metadata=[]), question
        )

    def _without(self, own: Own, question: Question) -> Question:
        """Returns what all requests ask that have such values."""
        trace, request_id = own
        trace_key = self._allowed.get(_TRACEPARENT) if trace else None
        id_key = self._allowed.get(REQUEST_ID) if request_id else question.id_key
        said = ((trace_key, trace), (id_key, request_id))
        metadata = tuple(pair for pair in question.metadata if pair not in said)
        return replace(question, metadata=metadata, trace_key=trace_key, id_key=id_key)


def _are_alone(own: Own, head: WholeHead) -> bool:
    """Whether nothing else in a head speaks of what is cut out, by whatever spelling."""
    names = [name.removeprefix(PREFIX) for name, _ in head.headers]
    return all(names.count(name) == 1 for name, value in zip(_CUT, own, strict=True) if value)


def _form(head: bytes) -> tuple[Form, Own]:
    """Cuts out what is a request's own."""
    names = head.lower()
    trace_at, id_at = names.find(_TRACE_LINE), names.find(_ID_LINE)
    rest, trace, request_id = head, b"", b""
    if trace_at >= 0:
        rest, trace = _cut(head, trace_at + len(_TRACE_LINE))
    if id_at >= 0:
        moved = len(trace) if trace_at < id_at else 0
        rest, request_id = _cut(rest, id_at + len(_ID_LINE) - moved)
    own = trace.decode("ascii"), request_id.decode("ascii")
    return (rest, bool(trace), bool(request_id)), own


def _cut(head: bytes, begin: int) -> tuple[bytes, bytes]:
    """Cuts out the value that begins somewhere; it is empty if it is of another kind."""
    end = head.find(b"\r\n", begin)
    value = head[begin:end]
    goes_on = head[end + 2] in b" \t"  # RFC 9112, 5.2
    if len(value) > _LONGEST_CUT or goes_on or not value.replace(b"-", b"").isalnum():
        return head, b""
    return head[:begin] + head[end:], value
