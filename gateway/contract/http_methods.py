"""The HTTP methods that a request to the edge can have.

Source: llhttp, which parses HTTP/1.1 for the edge (httptools), knows a fixed list of methods, and answers
any other with 400 before the edge sees the request. Names are case-sensitive (RFC 9110, 9.1).
"""

from __future__ import annotations

from typing import Final

CONNECT: Final = "CONNECT"
"""Parsed, but its target is a host and a port, and no path (RFC 9110, 9.3.6)."""

HTTP_METHODS: Final = frozenset(
    {
        "ACL",
        "BIND",
        "CHECKOUT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "M-SEARCH",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "NOTIFY",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "TRACE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    }
)
"""All that can be sent to a path."""
