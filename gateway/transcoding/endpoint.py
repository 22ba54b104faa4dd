"""One binding with all that it needs, compiled: what a request turns into, and an answer from.

A request's leaf fields come from the path, then from the body, then from the query (google/api/http.proto);
what two of them say differently is an error and not a choice. All that is wrong is said at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath
from gateway.contract.http_rule import Binding
from gateway.contract.method import Method
from gateway.transcoding.codec import JsonCodec, parse_json, print_json
from gateway.transcoding.decoding import serialize
from gateway.transcoding.parameters import Parameters, parse_query
from gateway.transcoding.status import INTERNAL, StatusError, bad_request
from gateway.transcoding.violations import Violations, below, faults, join

_NO_PATH: FieldPath = ()


class Endpoint:
    """Translates the requests and the answers of one binding."""

    def __init__(self, binding: Binding, codec: JsonCodec, parameters: Parameters) -> None:
        self.binding = binding
        self.method: Method = binding.method
        self._parameters = parameters
        self._variables = binding.variables
        self._new_request = GetMessageClass(binding.method.input)
        self._new_response = GetMessageClass(binding.method.output)
        self._read_body = self._body_reader(codec)
        self._write = self._answer_writer(codec)
        self._bound = self._bound_paths()

    def decode_request(
        self, captures: tuple[str, ...], query: bytes, body: bytes, *, step: str = ""
    ) -> bytes:
        """Makes the message of a request, from all its parts.

        Args:
            captures: the texts of the path variables, decoded.
            query: the raw query.
            body: the JSON text; nothing stands for no body.
            step: where the message stands in a stream, as the path of its violations: `[0]`.

        Raises:
            StatusError: INVALID_ARGUMENT with every violation.
        """
        message = self._new_request()
        violations = [
            *self._apply_body(message, body),
            *self._apply_path(message, captures),
            *self._apply_query(message, query),
        ]
        return _serialized(message, violations, step)

    def decode_frame(self, frame: bytes, *, step: str) -> bytes:
        """Makes a message of a stream, of which path and query say nothing, from a frame.

        Raises:
            StatusError: INVALID_ARGUMENT with every violation.
        """
        message = self._new_request()
        return _serialized(message, self._apply_body(message, frame), step)

    def encode_response(self, data: bytes) -> bytes:
        """Makes the JSON of an answer.

        Raises:
            StatusError: INTERNAL, for what upstream sent is not what the contract says.
        """
        try:
            return print_json(self._write(self._new_response.FromString(data)))
        except (DecodeError, ValueError) as error:
            raise StatusError.of(
                INTERNAL,
                f"the answer of {self.method.full_name} cannot be written as JSON: {error}",
            ) from error

    def _body_reader(self, codec: JsonCodec) -> Callable[[Message, Any], None] | None:
        body = self.binding.body
        if body is None and not self.method.stream_type.client:
            return None
        if body is None or body.field is None:
            read = codec.decoder.reader(self.method.input)
            return lambda message, value: read(message, value, 0)
        store = codec.decoder.store(body.field)
        name = body.field.json_name

        def read_field(message: Message, value: Any) -> None:
            try:
                store(message, value, 0)
            except ValueError as error:
                raise Violations(*below(name, error)) from error

        return read_field

    def _answer_writer(self, codec: JsonCodec) -> Callable[[Any], Any]:
        field = self.binding.response_body
        if field is None:
            return codec.encoder().writer(self.method.output)
        return codec.encoder().field_writer(field)

    def _bound_paths(self) -> tuple[FieldPath, ...]:
        paths = [path for _, path in self._variables]
        if self.binding.body is not None:
            field = self.binding.body.field
            paths.append((field,) if field is not None else _NO_PATH)
        return tuple(paths)

    def _apply_body(self, message: Message, body: bytes) -> list[tuple[str, str]]:
        if self._read_body is None:
            return [("", "this method takes no body")] if body else []
        if not body:
            return []
        try:
            self._read_body(message, parse_json(body))
        except ValueError as error:
            return list(faults(error))
        return []

    def _apply_path(self, message: Message, captures: tuple[str, ...]) -> list[tuple[str, str]]:
        violations: list[tuple[str, str]] = []
        for (variable, path), text in zip(self._variables, captures, strict=True):
            try:
                self._parameters.set_variable(message, path, text)
            except ValueError as error:
                violations += below(variable.field_path, error)
        return violations

    def _apply_query(self, message: Message, query: bytes) -> list[tuple[str, str]]:
        if not query:
            return []
        violations: list[tuple[str, str]] = []
        try:
            pairs = parse_query(query)
        except ValueError as error:
            return [("", str(error))]
        given: dict[str, list[str]] = {}
        for name, text in pairs:
            given.setdefault(name, []).append(text)
        for name, texts in given.items():
            try:
                self._parameters.set_query(message, name, texts, self._bound)
            except ValueError as error:
                violations += below(name, error)
        return violations


def _serialized(message: Message, violations: list[tuple[str, str]], step: str) -> bytes:
    if not violations:
        try:
            return serialize(message)
        except ValueError as error:
            violations = list(faults(error))
    raise bad_request((join(step, path), text) for path, text in violations)
