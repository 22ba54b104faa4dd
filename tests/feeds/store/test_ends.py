"""Ends and metadata as bytes in the store."""

from __future__ import annotations

from gateway.feeds.store.ends import read_end, read_metadata, write_end, write_metadata
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import NOT_FOUND, StatusError

METADATA: Metadata = (("etag", '"e"'), ("key-bin", b"\x00\xff"), ("key-bin", b""))


def test_metadata_come_back() -> None:
    """Text and bytes, repeated keys in their order."""
    assert read_metadata(write_metadata(METADATA)) == METADATA
    assert read_metadata(write_metadata(())) == ()


def test_a_clean_end_comes_back() -> None:
    """With its trailing metadata."""
    assert read_end(write_end(None, METADATA)) == (None, METADATA)


def test_a_failure_comes_back() -> None:
    """With its status, HTTP status and metadata, as the upstream's."""
    failed = StatusError.of(NOT_FOUND, "no such topic", http_status=410)
    failure = StatusError(
        failed.status, http_status=410, initial=METADATA, trailing=METADATA, by_upstream=True
    )
    found, trailing = read_end(write_end(failure, ()))

    assert found is not None
    assert (found.status, found.http_status, found.by_upstream) == (failure.status, 410, True)
    assert (found.initial, found.trailing, trailing) == (METADATA, METADATA, METADATA)
