"""HSTS: responses over TLS tell browsers to use TLS alone for this host. Source: RFC 6797, section 7.1."""

from __future__ import annotations

from gateway.exchange.request_info import RequestInfo


class StrictTransport:
    """The policy; it refuses nobody."""

    def __init__(self, value: str) -> None:
        """Takes the value of `Strict-Transport-Security`."""
        self._header = (b"strict-transport-security", value.encode())

    def admit(self, request: RequestInfo) -> None:
        """Adds the header where the client uses TLS; without TLS it must not be sent."""
        if request.scheme == "https":
            request.response_headers.append(self._header)
