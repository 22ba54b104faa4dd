"""Contracts that the world uses and nobody here wrote, as installed packages ship them.

Three forms are found. A `_pb2` module carries its whole .proto, rules and all (googleapis-common-protos,
grpc-google-iam-v1). A client made by Google's generator carries its messages as descriptors; names, types
and stream kinds of its methods as calls on a channel; and its HTTP rules as the options of its REST
transport (google-cloud-pubsub, google-cloud-dlp). A client without a REST transport carries all but the
rules (google-cloud-logging), and no package that can be installed beside ours has them: its methods are
served by rules of our own for some, and by auto-mapping for the rest.

What comes from the generator differs from the .proto in two ways: there are no comments and no options
other than the rules, and a field named like a word of Python has a `_` at its end, which is taken off here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from google.api.annotations_pb2 import http
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.contract.descriptors import Contract, load
from gateway.contract.service_config import apply_rules, auto_mapped, read_service_config

_NO_METHODS = ("grpc_channel", "kind", "operations_client")
"""Properties of a generated gRPC transport that are no stubs."""

LOGGING_RULES = """
http:
  rules:
  - selector: google.logging.v2.ConfigServiceV2.CreateSink
    post: /v2/{parent=projects/*}/sinks
    body: sink
    additional_bindings:
    - {post: "/v2/{parent=organizations/*}/sinks", body: sink}
    - {post: "/v2/{parent=*/*}/sinks", body: sink}
  - selector: google.logging.v2.ConfigServiceV2.UpdateSettings
    patch: /v2/{name=folders/*}/settings
    body: settings
  - selector: google.logging.v2.LoggingServiceV2.WriteLogEntries
    post: /v2/entries:write
    body: "*"
  - selector: google.logging.v2.LoggingServiceV2.ListLogEntries
    post: /v2/entries:list
    body: "*"
  - selector: google.logging.v2.LoggingServiceV2.TailLogEntries
    post: /v2/entries:tail
    body: "*"
"""


@dataclass(frozen=True)
class PublicContract:
    """A descriptor set, the services of it to serve, and the rules beside it."""

    descriptor_set: bytes
    services: tuple[str, ...]
    http_rules: str = ""
    auto_mapping: bool = False

    def load(self) -> Contract:
        """Returns the contract as the edge reads it."""
        contract = load(self.descriptor_set, self.services)
        if self.http_rules:
            contract = apply_rules(contract, read_service_config(self.http_rules, "rules.yaml"))
        return auto_mapped(contract) if self.auto_mapping else contract


@dataclass(frozen=True)
class ShippedMethod:
    """What a generated client says of a method by calling it on a channel."""

    path: str
    client_streams: bool
    server_streams: bool
    request: Any
    """The message class; None where the client does not show it."""
    response: Any

    @property
    def service(self) -> str:
        """The full name of the service."""
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        """The name within the service."""
        return self.path.split("/")[2]


class RecordingChannel:
    """Stands where a client has its channel; carries no call, keeps what is said of its methods."""

    def __init__(self) -> None:
        self.methods: dict[str, ShippedMethod] = {}

    def __getattr__(self, kind: str) -> Callable[..., None]:
        """Returns what makes a stub: `unary_unary`, `unary_stream`, `stream_unary`, `stream_stream`."""
        client, _, server = kind.partition("_")

        def make(path: str, *, request_serializer: Any, response_deserializer: Any) -> None:
            self.methods[path] = ShippedMethod(
                path,
                client == "stream",
                server == "stream",
                _message_class(request_serializer),
                _message_class(response_deserializer),
            )

        return make


def _message_class(serializer: Any) -> Any:
    """Returns the `_pb2` class whose bound method a client serializes or deserializes with."""
    owner: Any = getattr(serializer, "__self__", None)
    return owner.pb() if hasattr(owner, "pb") else owner


def shipped_methods(transport: Any) -> list[ShippedMethod]:
    """Returns what the gRPC transport of a generated client calls, by asking it for each of its stubs."""
    client = transport.__new__(
        transport
    )  # a made one has a channel, and wants to know its credentials
    client._logged_channel = channel = RecordingChannel()
    client._stubs = {}
    for name, member in vars(transport).items():
        if isinstance(member, property) and name not in _NO_METHODS:
            getattr(client, name)
    return list(channel.methods.values())


def shipped_rules(rest_transport: Any) -> dict[str, HttpRule]:
    """Returns the rules of a REST transport by method name; the first option is the rule itself."""
    rules = {}
    for name, member in vars(rest_transport).items():
        if name.startswith("_Base") and hasattr(member, "_get_http_options"):
            first, *more = (_rule(option) for option in member._get_http_options())
            first.additional_bindings.extend(more)
            rules[name.removeprefix("_Base")] = first
    return rules


def _rule(option: dict[str, str]) -> HttpRule:
    rule = HttpRule(body=option.get("body", ""))
    setattr(rule, option["method"], option["uri"])
    return rule


def with_imports(files: Iterable[Any]) -> Iterator[FileDescriptorProto]:
    """Yields files, each behind its imports, and each once."""
    seen: set[str] = set()

    def walk(file: Any) -> Iterator[FileDescriptorProto]:
        if file.name not in seen:
            seen.add(file.name)
            for dependency in file.dependencies:
                yield from walk(dependency)
            yield FileDescriptorProto.FromString(file.serialized_pb)

    for file in files:
        yield from walk(file)


def _python_words_mended(file: FileDescriptorProto) -> FileDescriptorProto:
    """Returns a file of the generator with the names of its fields as the .proto has them."""

    def mend(messages: Any) -> None:
        for message in messages:
            mend(message.nested_type)
            for field in message.field:
                field.name = field.name.removesuffix("_")

    mend(file.message_type)
    return file


def services_file(
    package: str, methods: Iterable[ShippedMethod], rules: dict[str, HttpRule]
) -> FileDescriptorProto:
    """Makes the file that holds the services of a package, annotated with its rules."""
    file = FileDescriptorProto(
        name=f"{package.replace('.', '/')}/services.proto", package=package, syntax="proto3"
    )
    services: dict[str, Any] = {}
    for method in methods:
        if method.service not in services:
            services[method.service] = file.service.add(name=method.service.rpartition(".")[2])
        added = services[method.service].method.add(
            name=method.name,
            input_type=f".{method.request.DESCRIPTOR.full_name}",
            output_type=f".{method.response.DESCRIPTOR.full_name}",
            client_streaming=method.client_streams,
            server_streaming=method.server_streams,
        )
        if method.name in rules:
            added.options.Extensions[http].CopyFrom(rules[method.name])
        for type_ in (method.request, method.response):
            if type_.DESCRIPTOR.file.name not in file.dependency:
                file.dependency.append(type_.DESCRIPTOR.file.name)
    file.dependency.append(http.file.name)
    return file


def generated_contract(
    package: str,
    clients: Iterable[tuple[Any, Any]],
    mixins: Iterable[Any] = (),
    http_rules: str = "",
) -> PublicContract:
    """Makes the contract of a generated client.

    Args:
        package: the package of its services.
        clients: the gRPC and the REST transport of each; None for the latter where there is none.
        mixins: `_pb2` modules of services that the API serves beside its own.
        http_rules: a service configuration with the rules that no transport has.
    """
    methods: dict[str, ShippedMethod] = {}
    rules: dict[str, HttpRule] = {}
    for transport, rest_transport in clients:
        methods |= {method.path: method for method in shipped_methods(transport)}
        rules |= shipped_rules(rest_transport) if rest_transport else {}
    own = [method for method in methods.values() if method.service.startswith(f"{package}.")]
    used = [type_.DESCRIPTOR.file for m in own for type_ in (m.request, m.response)]
    mixed_in = [service for mixin in mixins for service in _services(mixin)]
    files = FileDescriptorSet(file=with_imports([*used, *(s.file for s in mixed_in), http.file]))
    for file in files.file:
        if file.package == package:
            _python_words_mended(file)
    files.file.append(services_file(package, own, rules))
    return PublicContract(
        descriptor_set=files.SerializeToString(),
        services=(*{m.service: None for m in own}, *(s.full_name for s in mixed_in)),
        http_rules=http_rules or _mixin_rules(mixed_in, rules),
    )


def _services(module: Any) -> list[Any]:
    return list(module.DESCRIPTOR.services_by_name.values())


def _mixin_rules(services: Iterable[Any], rules: dict[str, HttpRule]) -> str:
    """Returns the service configuration that gives mixins the rules which an API serves them by."""
    from google.protobuf.json_format import MessageToDict

    found = [
        {"selector": method.full_name, **MessageToDict(rules[method.name])}
        for service in services
        for method in service.methods
        if method.name in rules
    ]
    return json.dumps({"type": "google.api.Service", "http": {"rules": found}}) if found else ""


def module_contract(service: Any) -> PublicContract:
    """Makes the contract of one service of a `_pb2` module."""
    files = FileDescriptorSet(file=with_imports([service.file]))
    return PublicContract(files.SerializeToString(), (service.full_name,))


@cache
def longrunning() -> PublicContract:
    """`google.longrunning.Operations`, from googleapis-common-protos."""
    from google.longrunning import operations_pb2

    file = operations_pb2.Operation.DESCRIPTOR.file
    return module_contract(file.services_by_name["Operations"])


@cache
def location() -> PublicContract:
    """`google.cloud.location.Locations`, from googleapis-common-protos."""
    from google.cloud.location import locations_pb2

    return module_contract(locations_pb2.DESCRIPTOR.services_by_name["Locations"])


@cache
def iam() -> PublicContract:
    """`google.iam.v1.IAMPolicy`, from grpc-google-iam-v1."""
    from google.iam.v1 import iam_policy_pb2

    return module_contract(iam_policy_pb2.DESCRIPTOR.services_by_name["IAMPolicy"])


@cache
def pubsub() -> PublicContract:
    """`google.pubsub.v1` with its IAM mixin, from google-cloud-pubsub."""
    from google.iam.v1 import iam_policy_pb2
    from google.pubsub_v1.services.publisher.transports import grpc as publisher
    from google.pubsub_v1.services.publisher.transports import rest_base as publisher_rest
    from google.pubsub_v1.services.schema_service.transports import grpc as schemas
    from google.pubsub_v1.services.schema_service.transports import rest_base as schemas_rest
    from google.pubsub_v1.services.subscriber.transports import grpc as subscriber
    from google.pubsub_v1.services.subscriber.transports import rest_base as subscriber_rest

    return generated_contract(
        "google.pubsub.v1",
        [
            (publisher.PublisherGrpcTransport, publisher_rest._BasePublisherRestTransport),
            (subscriber.SubscriberGrpcTransport, subscriber_rest._BaseSubscriberRestTransport),
            (schemas.SchemaServiceGrpcTransport, schemas_rest._BaseSchemaServiceRestTransport),
        ],
        mixins=[iam_policy_pb2],
    )


@cache
def dlp() -> PublicContract:
    """`google.privacy.dlp.v2`, from google-cloud-dlp: many `additional_bindings`, and a large schema."""
    from google.cloud.dlp_v2.services.dlp_service.transports import grpc as service
    from google.cloud.dlp_v2.services.dlp_service.transports import rest_base as service_rest

    transports = (service.DlpServiceGrpcTransport, service_rest._BaseDlpServiceRestTransport)
    return generated_contract("google.privacy.dlp.v2", [transports])


@cache
def logging() -> PublicContract:
    """`google.logging.v2`, from google-cloud-logging, with rules of our own and by auto-mapping."""
    from google.cloud.logging_v2.services.config_service_v2.transports import grpc as config
    from google.cloud.logging_v2.services.logging_service_v2.transports import grpc as entries
    from google.cloud.logging_v2.services.metrics_service_v2.transports import grpc as metrics

    found = generated_contract(
        "google.logging.v2",
        [
            (entries.LoggingServiceV2GrpcTransport, None),
            (config.ConfigServiceV2GrpcTransport, None),
            (metrics.MetricsServiceV2GrpcTransport, None),
        ],
        http_rules=LOGGING_RULES,
    )
    return replace(found, auto_mapping=True)


CONTRACTS: dict[str, Callable[[], PublicContract]] = {
    "google.longrunning": longrunning,
    "google.cloud.location": location,
    "google.iam.v1": iam,
    "google.pubsub.v1": pubsub,
    "google.logging.v2": logging,
    "google.privacy.dlp.v2": dlp,
}
