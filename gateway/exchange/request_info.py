"""One request, as policies and observers see it: plain values, without ASGI, gRPC or sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from gateway.contract.http_rule import Binding
from gateway.contract.method import Method
from gateway.exchange.client_certificate import ClientCertificate
from gateway.transcoding.metadata import Headers

_NO_KEYS: Final[frozenset[str]] = frozenset()


class Wire(Enum):
    """How the request came."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class RequestHeaders(Protocol):
    """The headers of one request, which nobody reads unless a policy or an observer asks."""

    def all(self) -> Headers:
        """Returns all headers as they came, with lower-case names."""
        ...

    def values(self, name: bytes) -> Sequence[bytes]:
        """Returns the values of a header in their order, given by its lower-case name."""
        ...


class ListedHeaders:
    """Headers that somebody has read already."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._headers = headers

    def all(self) -> Headers:
        """See `RequestHeaders`."""
        return tuple(self._headers)

    def values(self, name: bytes) -> Sequence[bytes]:
        """See `RequestHeaders`."""
        return [value for each, value in self._headers if each == name]


class RequestInfo:
    """One request, as policies and observers see it; the same object from its start to its end."""

    __slots__ = (
        *(
            "_headers",
            "_origin",
            "_host",
            "allowed_methods",
            "at_end",
            "binding",
            "certificate",
            "client",
            "expires_at",
            "http_method",
            "identity",
            "is_preflight",
            "last_event_id",
        ),
        *(
            "message_checks",
            "sent_checks",
            "metadata",
            "method",
            "on_revoke",
            "path",
            "query",
            "removed_metadata",
            "request_id",
            "response_headers",
            "root_path",
        ),
        *("scheme", "wire"),
    )

    wire: Wire
    http_method: str
    """`GET`, `POST`, …; that of a WebSocket handshake is GET."""
    path: str
    """The path as it came, percent-encoded, without the query."""
    query: bytes
    """The query as it came. What a policy takes out of it, the method does not see; see `take_parameter`."""
    method: Method | None
    """The method of the contract that was matched; None if none was."""
    binding: Binding | None
    """The binding of it that was matched; None if none was."""
    allowed_methods: tuple[str, ...]
    """The HTTP methods that the contract has for the path, if the request's is none of them."""
    client: str
    """IP address of the client; empty if the server does not tell it. One that trusts proxies sets it."""
    scheme: str
    """`http` or `https`, as the client sees it; for a WebSocket too. One that trusts proxies sets it."""
    root_path: str | None
    """Path prefix that a trusted proxy has stripped and named; None: the setting `root_path` counts."""
    is_preflight: bool
    """Whether a browser asks if a page of another origin may send a request (Fetch, section 4.8).

    It has no credentials, so policies that ask for some let it pass. The policy of CORS sets it; without
    that, nobody answers such a request, and it is an OPTIONS as any other, whoever has sent it."""
    certificate: ClientCertificate | None
    """The certificate of the client's TLS connection to the edge, which is verified; None if it has none."""
    last_event_id: str
    """Set by a policy: the event after which a stream resumes, where the request has no `Last-Event-ID`."""
    request_id: str
    identity: object | None
    """Whoever the caller is: a policy sets it, others read it."""
    metadata: list[tuple[str, str | bytes]]
    """Metadata that policies add to the call. They replace what the client sent under the same key, whenever
    it did. Keys become lower-case."""
    removed_metadata: frozenset[str]
    """Lower-case keys of metadata that a policy takes out of what the client sends, whenever it does; those
    in `metadata` are added all the same."""
    message_checks: list[Callable[[int], None]]
    """Each is called with the size of each message from the client, in bytes of protobuf, before it is sent
    upstream. It may raise a StatusError, which ends the request."""
    sent_checks: list[Callable[[int], None]]
    """Each is called with the size of each message of the server, in bytes of protobuf, before it is sent on.
    It may raise a StatusError, which ends the request."""
    response_headers: list[tuple[bytes, bytes]]
    """Headers that policies add to the response, whatever it is, by their lower-case names."""
    expires_at: float | None
    """Unix time at which a stream ends with UNAUTHENTICATED; None: never."""
    on_revoke: Callable[[], None] | None
    """Ends the stream of the request at once; None while there is none. See `revoke`."""
    at_end: list[Callable[[], None]]
    """Each is called once when the request has ended, however it did; it must not raise."""

    def __init__(
        self,
        wire: Wire = Wire.HTTP,
        http_method: str = "GET",
        path: str = "/",
        headers: Headers | RequestHeaders = (),
        method: Method | None = None,
        client: str = "",
        request_id: str = "",
        query: bytes = b"",
        allowed_methods: tuple[str, ...] = (),
        scheme: str = "http",
        origin: str | None = None,
        binding: Binding | None = None,
        *,
        certificate: ClientCertificate | None = None,
    ) -> None:
        """Takes what a door has read; a test of a policy takes what the policy looks at.

        Args:
            wire: how the request came.
            http_method: see the attribute, as for the others.
            path: see there.
            headers: all headers, or what knows them.
            method: see there.
            client: see there.
            request_id: see there.
            query: see there.
            allowed_methods: see there.
            scheme: see there.
            origin: see there; None: it is read from the headers.
            binding: see there.
            certificate: see there.
        """
        self.wire = wire
        self.http_method = http_method
        self.path = path
        self._headers = ListedHeaders(headers) if isinstance(headers, tuple) else headers
        self._origin = origin
        self.method = method
        self.client = client
        self.request_id = request_id
        self.query = query
        self.allowed_methods = allowed_methods
        self.scheme = scheme
        self.root_path = None
        self.is_preflight = False
        self._host: str | None = None
        self.binding = binding
        self.certificate = certificate
        self.last_event_id = ""
        self.identity = None
        self.metadata = []
        self.removed_metadata = _NO_KEYS
        self.message_checks = []
        self.sent_checks = []
        self.response_headers = []
        self.expires_at = None
        self.on_revoke = None
        self.at_end = []

    @property
    def headers(self) -> Headers:
        """All headers as they came, with lower-case names; credentials are among them."""
        return self._headers.all()

    @property
    def host(self) -> str:
        """Host and port of the URL, as the client sees them; empty if none was sent.

        That of the header `Host`, unless a policy that trusts proxies has set another.
        """
        if self._host is None:
            self._host = (self.header(b"host") or b"").decode("latin-1")
        return self._host

    @host.setter
    def host(self, host: str) -> None:
        self._host = host

    def header(self, name: bytes) -> bytes | None:
        """Returns the first value of a header, given by its lower-case name; None if there is none."""
        values = self._headers.values(name)
        return values[0] if values else None

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """Returns all values of a header in their order, given by its lower-case name."""
        return self._headers.values(name)

    @property
    def origin(self) -> str:
        """Origin of the page that sent the request: its `Origin`, unchanged; empty if it has none.

        Several values, which no browser sends, are joined by commas, so that they are no origin.
        """
        if self._origin is None:
            self._origin = b", ".join(self._headers.values(b"origin")).decode("latin-1")
        return self._origin

    def revoke(self) -> None:
        """Ends the request's stream at once, with UNAUTHENTICATED: its credentials hold no longer.

        A policy may call it in the event loop at any time until the end of the request (`at_end`). A unary
        call goes on.
        """
        self.expires_at = 0.0  # for a stream that has not begun yet
        if self.on_revoke is not None:
            self.on_revoke()

    def take_parameter(self, name: bytes) -> bytes | None:
        """Returns the first value of a query parameter, and takes all of its name out of the query.

        The name is compared, and the value returned, without percent-encoding. None if there is none.
        """
        value: bytes | None = None
        others: list[bytes] = []
        for part in self.query.split(b"&"):
            key, _, text = part.partition(b"=")
            if unquote_to_bytes(key.replace(b"+", b" ")) != name:
                others.append(part)
            elif value is None:
                value = unquote_to_bytes(text.replace(b"+", b" "))
        if value is not None:
            self.query = b"&".join(others)
        return value
