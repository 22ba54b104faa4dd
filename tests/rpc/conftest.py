"""The edges of these tests are those of HTTP/2, over the same server."""

from __future__ import annotations

from tests.doors.http2.conftest import descriptor_set, echo, edge

__all__ = ["descriptor_set", "echo", "edge"]
