"""What the heads of requests mean, kept by their bytes: callers send the same again and again.

What a request has for itself, its trace and its id, is cut out of its head first. Rule: what is cut are
values of letters, digits and hyphens, on lines of their own, each of the first header of its name. So two
heads of which the same was cut out, and that are equal without, mean the same but for that.

A request is cut first where the last one was that is as long: if that leaves what is known, it is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Final, TypeAlias

from gateway.edge.whole_request import WholeHead
from gateway.transcoding.endpoint import EncodedBody, Endpoint
from gateway.transcoding.metadata import PREFIX, TRACE_KEYS, Metadata, MetadataFilter
from gateway.transcoding.metadata_size import metadata_size
from gateway.transcoding.request_head import REQUEST_ID, RequestHead

_TRACEPARENT: Final = b"traceparent"
_CUT: Final = (_TRACEPARENT, REQUEST_ID)
_TRACE_LINE, _ID_LINE = (b"\r\n%b: " % name for name in _CUT)
_NOWHERE: Final = (0, 0)
_END_OF_HEAD: Final = b"\r\n\r\n"
_LONGEST_CUT: Final = 64
"""No value is cut out that is longer; in bytes."""
_MOST: Final = 1024
"""So many heads are kept, and so many places to cut."""
_LONGEST: Final = 1024
"""No head is kept that is longer; in bytes."""


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


Form: TypeAlias = tuple[bytes, bytes, bytes]
"""A head without what is its own: what stands before, between and behind that."""
Own: TypeAlias = tuple[bytes, bytes, bytes]
"""What one request has for itself: its trace and its id, empty if not cut out of its head, and its body."""
Names: TypeAlias = tuple[bytes, ...]
"""Of what is cut out of a head, as it stands there."""
Cut: TypeAlias = tuple[Names, Callable[[bytes], Form], Callable[[bytes], Own]]
"""What is cut out of a request, what returns the rest of it, and what returns what is cut out."""


class KnownHeads:
    """Heads that came before."""

    def __init__(self, allowed: MetadataFilter, max_metadata: int) -> None:
        """Makes an empty cache.

        Args:
            allowed: which headers are metadata.
            max_metadata: bytes of the metadata of a request, as `metadata_size` counts them. A head is not
                kept if another with longer values cut out of it could be larger.
        """
        self._allowed = allowed.request
        self._max_metadata = max_metadata
        self._known: dict[tuple[Names, Form], Meaning] = {}
        self._cuts: dict[int, Cut] = {}

    def get(self, data: bytes) -> tuple[Meaning, Own] | None:
        """Returns what the head of a request means, and what else the request says.

        None if it is not one whole request with a head that is known.
        """
        cut = self._cuts.get(len(data))
        found = None if cut is None else self._cut_so(data, cut)
        if found is None:
            cut = find_cut(data)
            found = self._cut_so(data, cut)
            if found is not None:
                if len(self._cuts) >= _MOST:
                    self._cuts.clear()
                self._cuts[len(data)] = cut
        return found

    def _cut_so(self, data: bytes, cut: Cut) -> tuple[Meaning, Own] | None:
        """Returns the same of a request that is cut so; None too if it is to be cut elsewhere."""
        names, form_of, own_of = cut
        meaning = self._known.get((names, form_of(data)))
        if meaning is None:
            return None
        own = own_of(data)
        values = own[0] + own[1]
        if len(own[2]) != meaning.head.length or (
            values and not values.replace(b"-", b"0").isalnum()
        ):
            return None
        return meaning, own

    def keep(self, data: bytes, body: bytes, meaning: Meaning) -> None:
        """Keeps what the head of a request means, for which its headers are no longer needed.

        Unless it will hardly come again, something is wrong with it, or its body is not what follows it.
        """
        names, form_of, own_of = find_cut(data)
        own = own_of(data)
        question = meaning.question
        if own[2] != body or len(data) - len(body) > _LONGEST or isinstance(question, Exception):
            return
        if own[0] or own[1]:
            size = metadata_size(question.metadata) + len(_CUT) * _LONGEST_CUT
            if size > self._max_metadata or not _are_alone(own, meaning.head):
                return
            question = self._without(own, question)
        if not TRACE_KEYS.isdisjoint([key for key, _ in question.metadata]):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[names, form_of(data)] = Meaning(meaning.head, meaning.said, question)
        meaning.head.headers, meaning.said.metadata = [], []  # what they say is in the question

    def _without(self, own: Own, question: Question) -> Question:
        """Returns what all requests ask that have such values."""
        trace, request_id, _ = own
        trace_key = self._allowed.get(_TRACEPARENT) if trace else None
        id_key = self._allowed.get(REQUEST_ID) if request_id else question.id_key
        said = ((trace_key, trace.decode()), (id_key, request_id.decode()))
        metadata = tuple(pair for pair in question.metadata if pair not in said)
        return replace(question, metadata=metadata, trace_key=trace_key, id_key=id_key)


def _are_alone(own: Own, head: WholeHead) -> bool:
    """Whether nothing else in a head speaks of what is cut out, by whatever spelling."""
    names = [name.removeprefix(PREFIX) for name, _ in head.headers]
    return all(names.count(name) == 1 for name, value in zip(_CUT, own, strict=False) if value)


def find_cut(data: bytes) -> Cut:
    """Finds out where to cut a request."""
    end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
    head = data[:end]
    names = head.lower()
    return _cut(_value(head, names, _TRACE_LINE), _value(head, names, _ID_LINE), end)


def _value(head: bytes, names: bytes, line: bytes) -> tuple[int, int]:
    """Returns where the value stands whose line begins so; nowhere if it is of another kind."""
    begin = names.find(line) + len(line)
    if begin < len(line):
        return _NOWHERE
    end = head.find(b"\r\n", begin)
    goes_on = head[end + 2] in b" \t"  # RFC 9112, 5.2
    is_plain = head[begin:end].replace(b"-", b"0").isalnum()
    return (begin, end) if is_plain and not goes_on and end - begin <= _LONGEST_CUT else _NOWHERE


@lru_cache(maxsize=_MOST)
def _cut(trace: tuple[int, int], request_id: tuple[int, int], end: int) -> Cut:
    """Makes what cuts out the values that stand there, and the body behind the end of the head."""
    (first, name), (last, other) = sorted(zip((trace, request_id), _CUT, strict=True))
    names = tuple(each for place, each in ((first, name), (last, other)) if place != _NOWHERE)
    rest = slice(0, first[0]), slice(first[1], last[0]), slice(last[1], end)
    return names, itemgetter(*rest), itemgetter(slice(*trace), slice(*request_id), slice(end, None))
