"""`protoway call METHOD [JSON]`: calls a method of the contract, and prints its responses.

Rule: stdout has the responses and nothing else, a line each; the exit status is that of the call.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf.message import DecodeError

from gateway.client.grpc_call import grpc_call
from gateway.client.http_call import HttpCaller
from gateway.client.http_request import NoRequest
from gateway.client.messages import STDIN, MethodMessages, RequestError, request_texts
from gateway.client.methods import find_method
from gateway.client.progress import Progress
from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError
from gateway.contract.http_rule import Binding, bindings
from gateway.contract.method import Method
from gateway.options import OptionError, read_settings
from gateway.project.settings_file import use_settings_file
from gateway.settings import AnySettings, Settings
from gateway.sources.reading import read_contract
from gateway.tls import upstream_tls
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.error_body import ErrorBodies
from gateway.transcoding.metadata import PREFIX, Metadata, checked_key, header_value, metadata_value
from gateway.transcoding.status import INTERNAL, StatusError, code_name
from gateway.upstreams import make_upstreams

FIRST_STATUS: Final = 64
"""Exit statuses of failed calls are this and the gRPC code: 69 for NOT_FOUND."""
_INTERRUPTED: Final = 130
_FORWARDED: Final = PREFIX.decode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only this command has."""
    parser.usage = "protoway call METHOD [JSON | -] [OPTION ...]"
    parser.add_argument(
        "method", metavar="METHOD", help="package.Service.Method, or the end of it: Method"
    )
    parser.add_argument(
        "request",
        metavar="JSON",
        nargs="?",
        help=f"the request; of a client that streams lines or an array; {STDIN}: stdin (default: stdin for a"
        " client that streams, {} for another one)",
    )
    parser.add_argument(
        "--header",
        metavar="NAME: VALUE",
        action="append",
        default=[],
        help="metadata; the value of a name that ends in -bin is base64 (may be repeated)",
    )
    parser.add_argument("--deadline", metavar="SECONDS", help="ends the call (default: none)")
    parser.add_argument(
        "--http",
        metavar="URL",
        help="of an edge that is called over HTTP (default: the upstream, by gRPC)",
    )
    parser.add_argument("--verbose", action="store_true", help="show metadata on stderr")


def run(options: argparse.Namespace) -> int:
    """Calls; returns 0 if the call ended with OK, else `FIRST_STATUS` and its code.

    Raises:
        ContractError, TargetError, TlsError, OSError: the contract or the server's settings are wrong.
        OptionError: so is an argument, or a request.
    """
    use_settings_file(options)
    settings = read_settings(options, AnySettings)
    metadata = _metadata(options.header, over_http=options.http is not None)
    deadline = _deadline(options.deadline)
    url = None if options.http is None else _url(options.http)
    if options.reflect_wait_seconds is None:  # a person waits
        settings = settings.model_copy(update={"reflect_wait_seconds": 0})
    if not settings.has_contract():
        settings = settings.model_copy(update={"reflect": True})
    contract = read_contract(settings)
    method = find_method(contract.methods, options.method)
    json_options = _json_options(settings)
    messages = MethodMessages(contract, method, json_options)
    requests = _requests(options.request, method, messages, settings.max_message_bytes)
    progress = Progress(verbose=options.verbose)
    try:
        if url is not None:
            headers = [(key, header_value(value).decode()) for key, value in metadata]
            caller = HttpCaller(url, _tls(settings), headers, deadline, contract.pool)
            values = (messages.request_value(request) for request in requests)
            caller.call(_bindings(method), values, _print_line, progress)
        else:
            asyncio.run(
                grpc_call(
                    make_upstreams(settings, contract.methods).upstream,
                    method,
                    requests,
                    lambda data: _print(messages, method, data),
                    progress,
                    metadata=metadata,
                    deadline=deadline,
                )
            )
    except (RequestError, NoRequest) as error:
        raise OptionError(f"call: {error}") from None
    except StatusError as error:
        return _failed(error, contract, json_options, progress)
    except KeyboardInterrupt:
        progress.end("interrupted")
        return _INTERRUPTED
    progress.end("OK")
    return 0


def _tls(settings: Settings) -> ssl.SSLContext:
    """Returns what `https` needs, of the files that the settings of the upstream name."""
    upstream_tls(settings)  # says what is wrong with the files
    ca, certificate, key = (
        settings.upstream_ca,
        settings.upstream_certificate,
        settings.upstream_key,
    )
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    if certificate is not None and key is not None:
        context.load_cert_chain(certificate, key)
    return context


def _bindings(method: Method) -> list[Binding]:
    """Returns the bindings of a method.

    Raises:
        ContractError: its rule is wrong.
    """
    found: list[Binding] = []
    for each in bindings(method):
        if isinstance(each, ContractError):
            raise each
        found.append(each)
    return found


def _url(text: str) -> SplitResult:
    """Returns the URL of an edge.

    Raises:
        OptionError: it is none of http or https with a host.
    """
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or url.query or url.fragment:
        raise OptionError(f"--http: write a URL, as http://localhost:8080, got {text!r}")
    return url


def _requests(
    given: str | None, method: Method, messages: MethodMessages, max_bytes: int
) -> Iterator[bytes]:
    streams = method.stream_type.client
    for number, text in enumerate(request_texts(given, streams=streams, max_bytes=max_bytes)):
        yield messages.request(text, number)


def _print(messages: MethodMessages, method: Method, data: bytes) -> None:
    try:
        line = messages.response(data)
    except (ValueError, DecodeError) as error:
        text = f"the answer of {method.full_name} cannot be written as JSON: {error}"
        raise StatusError.of(INTERNAL, text) from error
    _print_line(line)


def _print_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _failed(
    error: StatusError, contract: Contract, options: JsonOptions, progress: Progress
) -> int:
    """Says why a call failed, with the details of its status; returns the exit status."""
    progress.metadata("initial metadata", error.initial)
    progress.metadata("trailing metadata", error.trailing)
    progress.end(code_name(error.code), error.status.message)
    if error.status.details:
        print(
            ErrorBodies(contract.pool, options, debug=True).status(error.status).decode(),
            file=sys.stderr,
        )
    return FIRST_STATUS + error.code


def _json_options(settings: Settings) -> JsonOptions:
    return JsonOptions(
        defaults=settings.print_defaults,
        proto_names=settings.print_proto_names,
        enum_numbers=settings.print_enum_numbers,
        int64_numbers=settings.print_int64_numbers,
    )


def _metadata(headers: Sequence[str], *, over_http: bool) -> Metadata:
    """Returns headers as metadata; over HTTP they may have the prefix that the edge forwards.

    Raises:
        OptionError: one has no name, or a name or a value that metadata cannot have.
    """
    found: list[tuple[str, str | bytes]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise OptionError(f"--header: write 'name: value', got {header!r}")
        try:
            key = name.strip().lower()
            checked_key(key.removeprefix(_FORWARDED) if over_http else key)
            found.append((key, metadata_value(key, value.strip().encode())))
        except ValueError as error:
            raise OptionError(f"--header: {header!r}: {error}") from None
    return tuple(found)


def _deadline(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise OptionError(f"--deadline: expected seconds above 0, got {text!r}")
    return seconds
