"""One call over HTTP: a unary method by a request, one that streams by a WebSocket.

The WebSocket has the subprotocol `grpc-json-envelope.v1`, which carries metadata and whole statuses.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain
from typing import Any, Final
from urllib.parse import SplitResult

from google.protobuf.descriptor_pool import DescriptorPool
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gateway.client.http_request import HttpRequest, body_of, http_request
from gateway.client.http_status import error_of, error_of_response
from gateway.client.progress import Progress
from gateway.contract.http_rule import Binding
from gateway.transcoding.codec import print_json
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import DEADLINE_EXCEEDED, UNAVAILABLE, StatusError

_SUBPROTOCOL: Final = Subprotocol("grpc-json-envelope.v1")
_OPEN_SECONDS: Final = 10.0
_TIMEOUT_HEADER: Final = "x-server-timeout"


@dataclass(frozen=True)
class HttpCaller:
    """Calls methods at the URL of an edge.

    Attributes:
        url: with scheme and host; its path stands before those of the contract.
        tls: for `https`.
        headers: of each request.
        deadline: seconds that a call may take; None: no limit.
        pool: types of error details.
    """

    url: SplitResult
    tls: ssl.SSLContext
    headers: Sequence[tuple[str, str]]
    deadline: float | None
    pool: DescriptorPool

    def call(
        self,
        bindings: Sequence[Binding],
        requests: Iterator[Any],
        on_response: Callable[[bytes], None],
        progress: Progress,
    ) -> None:
        """Makes a call, and ends with it; blocks.

        Args:
            bindings: of the method.
            requests: its messages as JSON values; may block.
            on_response: called with the JSON of each response.
            progress: counts.

        Raises:
            StatusError: the call ended with another status than OK.
            NoRequest: HTTP cannot carry the request.
            Exception: whatever the iterator of requests raised.
        """
        first: Any = next(requests, None)
        binding, request = http_request(bindings, {} if first is None else first)
        method = binding.method
        try:
            if not method.streams:
                on_response(self._unary(request, progress))
                return
            more = (body_of(binding, value) for value in requests)
            bodies: Iterator[bytes] = iter(())
            if request.body is not None and not (method.stream_type.client and first is None):
                bodies = iter((request.body,))
            elif method.stream_type.client and first is not None:
                bodies = iter((b"{}",))
            self._stream(request, chain(bodies, more), on_response, progress)
        except TimeoutError:
            raise StatusError.of(DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        except (OSError, HTTPException, InvalidHandshake, ConnectionClosed) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise StatusError.of(UNAVAILABLE, f"{self.url.geturl()}: {text}") from error

    def _headers(self) -> dict[str, str]:
        headers = dict(self.headers)
        if self.deadline is not None:
            headers[_TIMEOUT_HEADER] = f"{self.deadline:g}"
        return headers

    def _unary(self, request: HttpRequest, progress: Progress) -> bytes:
        """Sends a request; returns the body of the response."""
        host, port = self.url.hostname or "", self.url.port
        connection = (
            HTTPSConnection(host, port, timeout=self.deadline, context=self.tls)
            if self.url.scheme == "https"
            else HTTPConnection(host, port, timeout=self.deadline)
        )
        headers = self._headers() | {"accept": "application/json"}
        if request.body is not None:
            headers["content-type"] = "application/json"
        try:
            target = self.url.path.rstrip("/") + request.target
            connection.request(request.method, target, request.body, headers)
            progress.count(sent=1)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        progress.metadata("header", tuple((k.lower(), v) for k, v in response.getheaders()))
        if response.status // 100 != 2:
            raise error_of_response(response.status, body, self.pool)
        progress.count(received=1)
        return body

    def _stream(
        self,
        request: HttpRequest,
        bodies: Iterator[bytes],
        on_response: Callable[[bytes], None],
        progress: Progress,
    ) -> None:
        """Opens a WebSocket, sends in a thread, and receives here."""
        end = None if self.deadline is None else time.monotonic() + self.deadline
        scheme = "wss" if self.url.scheme == "https" else "ws"
        path = self.url.path.rstrip("/") + request.target
        try:
            socket = connect(
                f"{scheme}://{self.url.netloc}{path}",
                ssl=self.tls if scheme == "wss" else None,
                subprotocols=[_SUBPROTOCOL],
                additional_headers=self._headers(),
                open_timeout=min(_OPEN_SECONDS, self.deadline or _OPEN_SECONDS),
                close_timeout=1,
                max_size=None,
                proxy=None,
            )
        except InvalidStatus as error:
            answer = error.response
            raise error_of_response(
                answer.status_code, bytes(answer.body or b""), self.pool
            ) from error
        sender = _Sender(socket, bodies, progress)
        with socket:
            sender.start()
            try:
                self._receive(socket, on_response, progress, end)
            except ConnectionClosed:
                if sender.error is None:
                    raise
            finally:
                if sender.error is not None:
                    raise sender.error

    def _receive(
        self,
        socket: ClientConnection,
        on_response: Callable[[bytes], None],
        progress: Progress,
        end: float | None,
    ) -> None:
        """Reads frames up to the status."""
        while True:
            left = None if end is None else max(end - time.monotonic(), 0)
            frame = json.loads(socket.recv(left))
            if "message" in frame:
                progress.count(received=1)
                on_response(print_json(frame["message"]))
            elif "headers" in frame:
                progress.metadata("initial metadata", _metadata(frame["headers"]))
            elif "status" in frame:
                status = frame["status"]
                trailing = _metadata(status.pop("trailers", {}))
                if status.get("code"):
                    raise error_of(status, self.pool, trailing)
                progress.metadata("trailing metadata", trailing)
                return


def _metadata(values: dict[str, Any]) -> Metadata:
    return tuple(
        (key, text)
        for key, value in values.items()
        for text in (value if isinstance(value, list) else [value])
    )


class _Sender(threading.Thread):
    """Sends messages and the half-close; a daemon, for it may wait for a stdin that nobody writes to.

    Attributes:
        error: what the iterator of messages raised.
    """

    def __init__(
        self, socket: ClientConnection, bodies: Iterator[bytes], progress: Progress
    ) -> None:
        super().__init__(name="requests", daemon=True)
        self._socket = socket
        self._bodies = bodies
        self._progress = progress
        self.error: Exception | None = None

    def run(self) -> None:
        """Sends all."""
        try:
            self._socket.send('{"headers":{}}')
            for body in self._bodies:
                self._socket.send(f'{{"message":{body.decode()}}}')
                self._progress.count(sent=1)
            self._socket.send('{"half_close":{}}')
        except ConnectionClosed:
            pass  # whoever receives says how the call ended
        except Exception as error:
            self.error = error
            self._socket.close()
