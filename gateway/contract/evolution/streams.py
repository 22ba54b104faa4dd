"""Changes of the stream options after which a client that comes back cannot resume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from gateway.contract.descriptors import Contract
from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.fields import dotted
from gateway.contract.method import Method
from gateway.contract.stream_policy import stream_policy

_Ids: TypeAlias = tuple[str, str]
"""The field of the event ids, and that of the last one in a request; both empty: the edge numbers events."""


def stream_differences(old: Contract, new: Contract) -> Iterator[Difference]:
    """Yields methods whose event ids do not lead on any more."""
    methods = {method.full_name: method for method in new.methods}
    for method in old.methods:
        after = methods.get(method.full_name)
        before = _ids(method)
        if before is None or after is None:
            continue
        now = _ids(after)
        if now is None:
            text = "a client that reconnects with the id of its last event misses what came since"
        elif now != before:
            text = f"event ids are those of {_words(now)}, no longer of {_words(before)}"
        else:
            continue
        yield difference("HTTP_STREAM_SAME_RESUMPTION", method.full_name, text)


def _ids(method: Method) -> _Ids | None:
    """Returns where the event ids come from; None: the stream cannot be resumed."""
    try:
        policy = stream_policy(method)
    except ValueError:  # the contract is refused, with its own words
        return None
    if policy is None:
        return None
    if policy.resume_field:
        return dotted(policy.id_field), dotted(policy.resume_field)
    return ("", "") if policy.linger > 0 else None


def _words(ids: _Ids) -> str:
    return f"{ids[0]} for {ids[1]}" if ids[0] else "the edge"
