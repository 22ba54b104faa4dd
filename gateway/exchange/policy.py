"""Where policy stands: what decides about a request.

A `Policy` decides whether a request may come in; authentication, rights and limits are policies. It sees
`RequestInfo`, plain values without ASGI, gRPC or sockets, and is asked on every door and for every wire, also
for requests that find no method. What watches requests is an `Observer` (`gateway.exchange.observer`). Both
are given to `create_app(..., policies=, observers=)`.

A policy decides about each request anew: a `RequestInfo` is never kept with the bytes of a head.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.metadata import Headers


class Answer(Exception):
    """A policy answers a request itself, as it does a preflight."""

    def __init__(
        self,
        http_status: int = 204,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "",
    ) -> None:
        """Takes the status, the headers and the body of the response; without a type it has no body."""
        super().__init__(http_status)
        self.http_status = http_status
        self.headers = headers
        self.body = body
        self.content_type = content_type


class Policy(Protocol):
    """Decides whether a request may come in."""

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Decides about a request after the match, before its body is read.

        It may set `request.identity`, `client`, `scheme`, `host`, `root_path`, `is_preflight` and
        `expires_at`, take parameters out of the query, and add to `metadata`, `removed_metadata`,
        `message_checks`, `sent_checks`, `response_headers` and `at_end`. The policies are asked in their
        order.

        Returns:
            None, or an awaitable if the decision has to wait, for a key set say. What can be decided at once
            should be: a request that waits needs a task.

        Raises:
            StatusError: the request is refused with this status. The awaitable may raise it too.
            Answer: the request is answered with this. The awaitable may raise it too.
        """
        ...
