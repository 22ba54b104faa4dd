"""The compiled translation of one binding: request -> message, message -> response body.

The fields of a request come from the body, the path and the query (google/api/http.proto); different values
for one field are an error. An error lists all violations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath, json_name
from gateway.contract.http_methods import BODY_METHODS
from gateway.contract.http_rule import Binding, is_http_body, request_body_type, response_type
from gateway.contract.method import Method
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json
from gateway.transcoding.decoding import unserializable
from gateway.transcoding.event_fields import stream_spec
from gateway.transcoding.form_encoder import FormEncoder, invalid_response
from gateway.transcoding.messages import descend, set_in_parent
from gateway.transcoding.negotiation import json_options, require
from gateway.transcoding.parameters import Parameters, parse_query
from gateway.transcoding.plain_query import PlainQuery
from gateway.transcoding.status import INTERNAL, StatusError, bad_request
from gateway.transcoding.update_mask import update_mask
from gateway.transcoding.violations import MAX_PATH, Violations, items_of, join, prefixed
from gateway.transcoding.well_known import Write

ReadBody: TypeAlias = Callable[[Message, bytes, str], Any]
"""(message to fill, body, its Content-Type) -> the parsed JSON value, or None."""

EncodedBody: TypeAlias = tuple[str, bytes]
"""(`Content-Type`, body)."""

_NO_PATH: Final[FieldPath] = ()
JSON: Final = "application/json"
"""`Content-Type` of a response that is one message and no HttpBody."""
_OFFERED: Final = (JSON,)
_MAX_ENCODERS: Final = 16
"""Maximum entries of the cache of encoders by `Accept`, of which the callers of a method send few."""
_OCTETS: Final = "application/octet-stream"
_MAX_CONTENT_TYPE: Final = 1024
"""Maximum characters of `HttpBody.content_type`, which becomes a header."""
_JSON_SPACE: Final = b" \t\r\n"
"""Insignificant whitespace (RFC 8259, 2)."""


class Endpoint:
    """Translates the requests and responses of one binding."""

    def __init__(
        self, binding: Binding, codec: JsonCodec, parameters: Parameters, *, raw: bool = True
    ) -> None:
        """Compiles a binding.

        Args:
            binding: what is translated.
            codec: of the JSON.
            parameters: of path and query.
            raw: whether the data of an HttpBody are a body; False: it is JSON, as any message.
        """
        self.binding = binding
        self.method: Method = binding.method
        self.has_raw_request = raw and is_http_body(request_body_type(binding))
        """Whether the request body is the data of an HttpBody, not JSON."""
        self.has_raw_response = raw and is_http_body(response_type(binding))
        """Whether the response body is the data of an HttpBody, not JSON."""
        self._codec = codec
        self._parameters = parameters
        self._variables = binding.variables
        self._new_request = GetMessageClass(binding.method.input)
        self._serialize: Callable[[Message], bytes] = self._new_request.SerializeToString
        if self.method.streams:  # equal requests share a call: equal messages have equal bytes
            self._serialize = partial(self._serialize, deterministic=True)
        self._parse_response = GetMessageClass(binding.method.output).FromString
        self._read_body = self._raw_reader() if self.has_raw_request else self._json_reader()
        self._encoders: dict[JsonOptions, FormEncoder] = {}
        self._accepted: dict[str, FormEncoder] = {}
        """`Accept` -> encoder of a response that is one message; see `whole_encoder`."""
        self.encode_response = self.encoder(codec.options)
        """The encoder for the default JSON options; see `encoder`."""
        self._bound = self._bound_paths()
        self._plain_query = PlainQuery(binding.method.input, self._bound)
        self._mask = update_mask(binding)
        self.stream_spec = stream_spec(binding.method)
        """The stream options of the method; None: it has none."""

    def decode_request(
        self,
        captures: tuple[str, ...],
        query: bytes,
        body: bytes,
        *,
        content_type: str = "",
        step: str = "",
        last_event_id: str = "",
    ) -> bytes:
        """Makes the serialized message of a request.

        Args:
            captures: decoded values of the path variables.
            query: the raw query.
            body: JSON text, or the data of an HttpBody; empty: no body.
            content_type: `Content-Type` of the body; used for an HttpBody only.
            step: prefix of the violations' paths in a stream: `[0]`.
            last_event_id: `Last-Event-ID`, for the `resume_field` of the method, if it has one.

        Raises:
            StatusError: INVALID_ARGUMENT with every violation.
        """
        message = self._new_request()
        violations: list[tuple[str, str]] = []
        value = self._apply_body(message, body, content_type, violations)
        if captures:
            violations += self._apply_path(message, captures)
        if query and not self._plain_query.apply(message, query):
            violations += self._apply_query(message, query)
        if last_event_id:
            self._apply_last_event_id(message, last_event_id)
        if self._mask is not None and not violations:
            self._mask.complete(message, value)
        return self._serialized(message, violations, step)

    def decode_frame(self, frame: bytes, *, step: str) -> bytes:
        """Makes the serialized message of a frame after the first, to which path and query do not apply.

        Raises:
            StatusError: INVALID_ARGUMENT with every violation.
        """
        message = self._new_request()
        violations: list[tuple[str, str]] = []
        self._apply_body(message, frame, "", violations)
        return self._serialized(message, violations, step)

    def _serialized(self, message: Message, violations: list[tuple[str, str]], step: str) -> bytes:
        if not violations:
            try:
                return self._serialize(message)
            except EncodeError:
                violations = list(items_of(unserializable(message)))
        raise bad_request((join(step, path), text) for path, text in violations)

    def encoder(self, options: JsonOptions) -> FormEncoder:
        """Returns what makes JSON of a serialized response message; cached per `options`."""
        encode = self._encoders.get(options)
        if encode is None:
            form = tuple(field.name for field in self.binding.response_path), options
            write = self._response_writer(options)
            encode = FormEncoder(self.method, self._parse_response, write, form)
            self._encoders[options] = encode
        return encode

    def accepted_encoder(self, accept: str, media_type: str) -> FormEncoder:
        """Returns the encoder with the options that an `Accept` gives for a media type.

        Raises:
            StatusError: over HTTP 406, an option has no such value.
        """
        return self.encoder(json_options(accept, media_type, self._codec.options))

    def whole_encoder(self, accept: str) -> FormEncoder:
        """Returns the encoder of a response that is one message, of the media type `JSON`.

        Raises:
            StatusError: over HTTP 406, the `Accept` does not take it, or an option has no such value.
        """
        return self._accepted.get(accept) or self._negotiate(accept)

    def _negotiate(self, accept: str) -> FormEncoder:
        encode = self.accepted_encoder(accept, require(accept, _OFFERED))
        if len(self._accepted) >= _MAX_ENCODERS:
            self._accepted.clear()
        self._accepted[accept] = encode
        return encode

    def extract_raw_body(self, data: bytes) -> EncodedBody:
        """Returns content type and data of the HttpBody in a serialized response message.

        Raises:
            StatusError: INTERNAL, the message does not fit the contract, or its content type is too long.
        """
        try:
            message = self._parse_response(data)
        except DecodeError as error:
            raise invalid_response(self.method, error) from error
        http_body = descend(message, self.binding.response_path)
        if len(http_body.content_type) > _MAX_CONTENT_TYPE:
            text = f"the content_type of an answer is longer than {_MAX_CONTENT_TYPE} characters"
            raise StatusError.of(INTERNAL, text)
        return http_body.content_type or _OCTETS, http_body.data

    def _json_reader(self) -> ReadBody | None:
        body = self.binding.body
        if body is None and not self.method.stream_type.client:
            return None
        if body is None or body.field is None:
            read = self._codec.decoder.reader(self.method.input)

            def read_message(message: Message, text: bytes, _content_type: str) -> Any:
                value = parse_json(text)
                read(message, value, 0)
                return value

            return read_message
        set_field = self._codec.decoder.setter(body.field)
        parents, depth = body.path[:-1], len(body.path) - 1
        name = ".".join(json_name(field) for field in body.path)

        def read_field(message: Message, text: bytes, _content_type: str) -> Any:
            value = parse_json(text)
            target = _existing(message, parents) if parents and value is not None else message
            try:
                set_field(target, value, depth)
            except ValueError as error:
                raise Violations(*prefixed(name, error, MAX_PATH)) from error
            return value

        return read_field

    def _raw_reader(self) -> ReadBody:
        path = self.binding.body.path if self.binding.body else _NO_PATH

        def read_raw(message: Any, data: bytes, content_type: str) -> None:
            target = descend(message, path)
            target.data = data
            target.content_type = content_type

        return read_raw

    def _response_writer(self, options: JsonOptions) -> Write:
        encoder = self._codec.encoder(options)
        path = self.binding.response_path
        if not path:
            return encoder.writer(self.method.output)
        write = encoder.field_writer(path[-1])
        if len(path) == 1:
            return write
        return lambda message: write(descend(message, path[:-1]))

    def _bound_paths(self) -> tuple[FieldPath, ...]:
        paths = [path for _, path in self._variables]
        if self.binding.body is not None:
            paths.append(self.binding.body.path)
        return tuple(paths)

    def _apply_body(
        self, message: Message, body: bytes, content_type: str, violations: list[tuple[str, str]]
    ) -> Any:
        """Sets the fields of the body, and returns its JSON value; None: no JSON body."""
        if not body and not (self.has_raw_request and content_type):
            return None
        if self._read_body is None:
            if not _is_empty_object(body):
                violations.append(("", self._no_body()))
            return None
        try:
            return self._read_body(message, body, content_type)
        except ValueError as error:
            violations += items_of(error)
            return None

    def _no_body(self) -> str:
        """Returns what to do with a body that the HTTP rule has no place for."""
        text = f"the HTTP rule of {self.method.full_name} has no body: send the fields in the query"
        usual = self.binding.http_method in BODY_METHODS
        return f'{text}, or add body: "*" to the rule' if usual else text

    def _apply_path(self, message: Message, captures: tuple[str, ...]) -> list[tuple[str, str]]:
        violations: list[tuple[str, str]] = []
        for (variable, path), text in zip(self._variables, captures, strict=True):
            try:
                self._parameters.set_variable(message, path, text)
            except ValueError as error:
                violations += prefixed(variable.field_path, error, MAX_PATH)
        return violations

    def _apply_query(self, message: Message, query: bytes) -> list[tuple[str, str]]:
        try:
            self._parameters.set_query(message, parse_query(query), self._bound)
        except ValueError as error:
            return list(items_of(error))
        return []

    def _apply_last_event_id(self, message: Message, text: str) -> None:
        """Sets the `resume_field`, even if the URL has set it: an `EventSource` reconnects to the same URL.

        An id that the field cannot hold is ignored, and the stream reports a restart (`gateway.feeds`): on a
        400 an `EventSource` would not reconnect.
        """
        if self.stream_spec is not None and self.stream_spec.can_resume_after(text):
            self._parameters.replace(message, self.stream_spec.policy.resume_field, text)


def _existing(message: Message, path: FieldPath) -> Message:
    """Returns the message at a path, and marks it and its parents as present."""
    for field in path:
        message = getattr(message, field.name)
        set_in_parent(message)
    return message


def _is_empty_object(body: bytes) -> bool:
    """Whether a body is `{}`, which many clients send to methods without a body."""
    inner = body.strip(_JSON_SPACE)
    return inner[:1] == b"{" and inner[-1:] == b"}" and not inner[1:-1].strip(_JSON_SPACE)
