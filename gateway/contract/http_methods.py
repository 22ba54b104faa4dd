"""The HTTP methods that a request to the edge can have.

Source: llhttp, the HTTP/1.1 parser of the edge (httptools). It has a fixed list of methods; for any other
method the client gets 400 before the edge sees the request. Names are case-sensitive (RFC 9110, 9.1).
"""

from __future__ import annotations

from typing import Final

CONNECT: Final = "CONNECT"
"""Parsed, but its target is a host and a port, not a path (RFC 9110, 9.3.6)."""

BODY_METHODS: Final = frozenset({"PATCH", "POST", "PUT"})
"""Methods whose requests usually have a body (RFC 9110, 9.3; RFC 5789)."""

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
"""Methods of requests whose target is a path."""
