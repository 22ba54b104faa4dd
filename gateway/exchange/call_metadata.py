"""The metadata of a call, after what policies have decided: pure, and the same for every wire.

Rule: what a policy adds comes last, whatever a client sends and when; what it has removed stays away.
"""

from __future__ import annotations

from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.metadata import Metadata


def with_decisions(metadata: Metadata, info: RequestInfo, withheld: frozenset[str]) -> Metadata:
    """Returns the metadata of a head with what policies say of them.

    It takes one pass where policies speak of `withheld` keys alone, which no head has.
    """
    added: list[tuple[str, str | bytes]] = []
    if info.removed_metadata <= withheld:
        for key, value in info.metadata:
            lower = key.lower()
            if lower not in withheld:  # the client may have set it too
                break
            added.append((lower, value))
        else:
            return (*metadata, *added)
    return replaced(metadata, info)


def replaced(metadata: Metadata, info: RequestInfo | None, later: Metadata = ()) -> Metadata:
    """Returns metadata with later ones; a key that is given again replaces what it had."""
    fixed: Metadata = ()
    kept: frozenset[str] = frozenset()
    if info is not None:
        kept = info.removed_metadata
        if info.metadata:
            fixed = tuple([(key.lower(), value) for key, value in info.metadata])
            kept = kept.union([key for key, _ in fixed])
    if later:
        later = tuple([pair for pair in later if pair[0] not in kept])
        kept = kept.union([key for key, _ in later])
    before = [pair for pair in metadata if pair[0] not in kept]
    return (*before, *later, *fixed)
