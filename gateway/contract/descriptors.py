"""A serialized `google.protobuf.FileDescriptorSet` -> a `Contract`.

Each contract has its own descriptor pool, so several contracts in one process are independent. Google's
standard files (well-known types, error details) that the set lacks come from the installed packages. Any
other missing import is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

# The source of `STANDARD_FILES`.
from google.api import annotations_pb2, field_behavior_pb2, httpbody_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gateway.contract.errors import ContractError, Location
from gateway.contract.method import Method
from gateway.contract.not_a_set import not_a_set
from gateway.contract.stream_type import StreamType
from gateway.v1 import options_pb2

_SERVICE, _METHOD, _MESSAGE, _ENUM = 6, 2, 4, 5  # field numbers in FileDescriptorProto and below
_NESTED_MESSAGE, _NESTED_ENUM, _FIELD, _ENUM_VALUE = 3, 4, 2, 2

STANDARD_FILES: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
        for module in (
            any_pb2,
            annotations_pb2,
            annotations_pb2.google_dot_api_dot_http__pb2,
            descriptor_pb2,
            duration_pb2,
            empty_pb2,
            error_details_pb2,
            field_behavior_pb2,
            field_mask_pb2,
            httpbody_pb2,
            options_pb2,
            status_pb2,
            struct_pb2,
            timestamp_pb2,
            wrappers_pb2,
        )
    }
)
"""Google's files and our own options, which a set may lack: name -> serialized file."""
_ALWAYS_PRESENT = (error_details_pb2.DESCRIPTOR.name, status_pb2.DESCRIPTOR.name)


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """The content of a descriptor set: types, methods and comments."""

    pool: descriptor_pool.DescriptorPool
    methods: tuple[Method, ...]
    comments: Mapping[str, str]
    """Full name of a service, method, message, field, enum or enum value -> its comment."""
    fully_decode: bool = False
    """Whether `%2F` in a multi-segment variable is decoded (`fully_decode_reserved_expansion`)."""
    files: tuple[str, ...] = ()
    """Names of all files in the pool; imports come first."""
    supplied: frozenset[str] = frozenset()
    """The files among these that come from installed packages, not from the set."""
    left_out: tuple[ContractError, ...] = ()
    """Errors of rules that are not served (`skip_faulty_rules`)."""


def load(descriptor_set: bytes, services: Iterable[str] = (), *, file: str = "") -> Contract:
    """Loads a serialized `FileDescriptorSet`.

    Args:
        descriptor_set: output of `protoc --include_imports --include_source_info -o`.
        services: full names of the services to serve; empty: all services in the set.
        file: name of the set's file, for error messages.

    Raises:
        ContractError: the bytes are not a descriptor set, an import is missing, a file is invalid or occurs
            twice, or a service does not exist.
    """
    files = files_of(descriptor_set, file)
    by_name = {each.name: each for each in files}
    if len(by_name) < len(files):
        names = [each.name for each in files]
        twice = next(name for name in names if names.count(name) > 1)
        raise ContractError("the descriptor set holds this file twice", location=Location(twice))
    pool, order = _pool(by_name)
    methods = tuple(method for each in files for method in _methods(each, pool))
    comments = {name: text for each in files for name, text in _comments(each)}
    return Contract(
        pool,
        _select(methods, frozenset(services)),
        MappingProxyType(comments),
        files=order,
        supplied=frozenset(order) - by_name.keys(),
    )


def files_of(descriptor_set: bytes, file: str = "") -> Sequence[descriptor_pb2.FileDescriptorProto]:
    """Returns the files in a serialized `FileDescriptorSet`.

    Raises:
        ContractError: the bytes are not a descriptor set, or an empty one.
    """
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file
    except DecodeError as error:
        raise ContractError(not_a_set(descriptor_set, file), location=_named(file)) from error
    if not files or not all(each.name for each in files):
        raise ContractError(not_a_set(descriptor_set, file), location=_named(file))
    return files


def _named(file: str) -> Location | None:
    return Location(file) if file else None


def _pool(
    by_name: Mapping[str, descriptor_pb2.FileDescriptorProto],
) -> tuple[descriptor_pool.DescriptorPool, tuple[str, ...]]:
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    order: list[str] = []

    def add(name: str, importer: str) -> None:
        if name in added:
            return
        added.add(name)
        file = by_name.get(name) or _standard_file(name, importer)
        for dependency in file.dependency:
            add(dependency, name)
        try:
            pool.Add(file)
        except TypeError as error:
            raise ContractError(" ".join(str(error).split()), location=Location(name)) from error
        order.append(name)

    for name in (*by_name, *_ALWAYS_PRESENT):
        add(name, "")
    return pool, tuple(order)


def _standard_file(name: str, importer: str) -> descriptor_pb2.FileDescriptorProto:
    if name not in STANDARD_FILES:
        raise ContractError(
            f"imports {name!r}, which the descriptor set does not hold: make the set with"
            " `protoc --include_imports --include_source_info -o FILE …`",
            location=Location(importer),
        )
    return descriptor_pb2.FileDescriptorProto.FromString(STANDARD_FILES[name])


def _select(methods: tuple[Method, ...], services: frozenset[str]) -> tuple[Method, ...]:
    known = {method.service_name for method in methods}
    if missing := sorted(services - known):
        raise ContractError(
            f"no service {missing[0]!r}; the descriptor set has {', '.join(sorted(known)) or 'none'}"
        )
    return tuple(m for m in methods if not services or m.service_name in services)


def _methods(
    file: descriptor_pb2.FileDescriptorProto, pool: descriptor_pool.DescriptorPool
) -> Iterator[Method]:
    locations = {tuple(location.path): location for location in file.source_code_info.location}
    rule_field = annotations_pb2.http.number
    for s, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}" if file.package else service.name
        descriptor = pool.FindServiceByName(full_name)
        for m, method in enumerate(service.method):
            options = method.options
            path = (_SERVICE, s, _METHOD, m)
            location = locations.get((*path, 4, rule_field)) or locations.get(path)
            stream_location = locations.get((*path, 4, options_pb2.stream.number)) or location
            rights_location = locations.get((*path, 4, options_pb2.rights.number)) or location
            yield Method(
                descriptor=descriptor.methods_by_name[method.name],
                stream_type=StreamType(method.client_streaming + 2 * method.server_streaming),
                rule=_extension(options, annotations_pb2.http),
                location=_location(file.name, location),
                comment=_comment(locations.get(path)),
                deprecated=options.deprecated,
                stream=_extension(options, options_pb2.stream),
                stream_location=_location(file.name, stream_location),
                rights=_extension(options, options_pb2.rights),
                rights_location=_location(file.name, rights_location),
            )


def _extension(options: descriptor_pb2.MethodOptions, extension: Any) -> Any:
    return options.Extensions[extension] if options.HasExtension(extension) else None


def _location(file: str, location: descriptor_pb2.SourceCodeInfo.Location | None) -> Location:
    return (
        Location(file, location.span[0] + 1, location.span[1] + 1) if location else Location(file)
    )


def _comment(location: descriptor_pb2.SourceCodeInfo.Location | None) -> str:
    if location is None:
        return ""
    text = location.leading_comments or location.trailing_comments
    return "\n".join(line.removeprefix(" ").rstrip() for line in text.splitlines()).strip()


def _comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {
        tuple(location.path): _comment(location) for location in file.source_code_info.location
    }
    prefix = f"{file.package}." if file.package else ""
    for path, name in _named_elements(file, prefix):
        if text := texts.get(path):
            yield name, text


def _named_elements(
    file: descriptor_pb2.FileDescriptorProto, prefix: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    for s, service in enumerate(file.service):
        yield (_SERVICE, s), prefix + service.name
        for m, method in enumerate(service.method):
            yield (_SERVICE, s, _METHOD, m), f"{prefix}{service.name}.{method.name}"
    for i, message in enumerate(file.message_type):
        yield from _message_elements(message, (_MESSAGE, i), prefix)
    for i, enum in enumerate(file.enum_type):
        yield from _enum_elements(enum, (_ENUM, i), prefix)


def _message_elements(
    message: descriptor_pb2.DescriptorProto, path: tuple[int, ...], prefix: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = prefix + message.name
    yield path, name
    for i, field in enumerate(message.field):
        yield (*path, _FIELD, i), f"{name}.{field.name}"
    for i, nested in enumerate(message.nested_type):
        yield from _message_elements(nested, (*path, _NESTED_MESSAGE, i), f"{name}.")
    for i, enum in enumerate(message.enum_type):
        yield from _enum_elements(enum, (*path, _NESTED_ENUM, i), f"{name}.")


def _enum_elements(
    enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...], prefix: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    name = prefix + enum.name
    yield path, name
    for i, value in enumerate(enum.value):
        yield (*path, _ENUM_VALUE, i), f"{name}.{value.name}"
