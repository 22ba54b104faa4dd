"""The part of a contract that Envoy's transcoder serves as the contract demands.

Envoy rejects a whole configuration because of one unsupported rule, and serves some rules differently; such
bindings are left out. Source: Envoy's `grpc_json_transcoder` and its path matcher
(grpc-httpjson-transcoding), checked by tests against Envoy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.rpc import error_details_pb2

from gateway.contract.descriptors import Contract
from gateway.contract.fields import dotted
from gateway.contract.http_rule import (
    Binding,
    bindings,
    is_http_body,
    merge_rules,
    request_body_type,
    response_type,
    rules,
)
from gateway.contract.method import Method
from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, PathTemplate


@dataclass(frozen=True, slots=True)
class EnvoyContract:
    """A contract for Envoy."""

    descriptor_set: bytes
    """With the served rules and all imports, without comments."""
    methods: tuple[Method, ...]
    """The methods of the served services."""
    uploads: tuple[str, ...]
    """Regular expressions of the paths of client streams."""
    left_out: tuple[tuple[str, str], ...]
    """Bindings that Envoy does not support, each with the reason."""
    own_set: str
    """Reason why Envoy cannot use the contract's original descriptor set; empty: it can."""
    fully_decode: bool
    """Whether `%2F` in a multi-segment variable is decoded."""
    knows_details: bool
    """Whether the original descriptor set has the types of error details."""


def envoy_contract(contract: Contract, *, auto_mapping: bool) -> EnvoyContract:
    """Returns the part of a contract that Envoy can serve.

    Args:
        contract: the contract.
        auto_mapping: whether Envoy adds routes for methods without a rule.
    """
    services = _services(contract, auto_mapping=auto_mapping)
    methods = tuple(method for method in contract.methods if method.service_name in services)
    rules: dict[str, HttpRule | None] = {}
    left_out: list[tuple[str, str]] = []
    for method in methods:
        rules[method.full_name], refused = _served(method)
        left_out += refused
    files, changed = _files(contract, rules)
    supplied = any(
        imported in contract.supplied
        for file in files
        if file.name not in contract.supplied
        for imported in file.dependency
    )
    reasons = (
        (left_out, f"Envoy cannot serve {len(left_out)} of the bindings, and needs a set without"),
        (changed, "Envoy reads rules in the descriptor set only, and needs one with all of them"),
        (supplied, "the descriptor set lacks imports, and Envoy needs all of them"),
    )
    return EnvoyContract(
        descriptor_set=FileDescriptorSet(file=files).SerializeToString(deterministic=True),
        methods=methods,
        uploads=tuple(dict.fromkeys(_uploads(methods, auto_mapping=auto_mapping))),
        left_out=tuple(left_out),
        own_set=next((reason for holds, reason in reasons if holds), ""),
        fully_decode=contract.fully_decode,
        knows_details=error_details_pb2.DESCRIPTOR.name not in contract.supplied,
    )


def _services(contract: Contract, *, auto_mapping: bool) -> frozenset[str]:
    return frozenset(m.service_name for m in contract.methods if auto_mapping or m.rule is not None)


def _uploads(methods: Iterable[Method], *, auto_mapping: bool) -> Iterator[str]:
    for method in methods:
        if method.stream_type.client and method.rule is not None:
            yield from (_regex(binding.template) for binding in _bindings(method))
        elif method.stream_type.client and auto_mapping:
            yield re.escape(method.path)


def _regex(template: PathTemplate) -> str:
    """Returns a regular expression that matches the same paths as a template."""
    wildcards = {WILDCARD: "/[^/]+", DEEP_WILDCARD: "(/.*)?"}
    parts = [wildcards.get(part, "/" + re.escape(part)) for part in template.segments]
    return ("".join(parts) or "/") + (f":{re.escape(template.verb)}" if template.verb else "")


def _served(method: Method) -> tuple[HttpRule | None, list[tuple[str, str]]]:
    """Returns a method's rule with the supported bindings, and the other bindings with the reasons."""
    kept: list[HttpRule] = []
    left_out: list[tuple[str, str]] = []
    first: Binding | None = None
    for each, binding in zip(rules(method.rule), _bindings(method), strict=True):
        if reason := refusal(binding, first):
            left_out.append((f"{binding} ({method.full_name})", reason))
        else:
            kept.append(each)
            first = first or binding
    return merge_rules(kept), left_out


def _bindings(method: Method) -> Iterator[Binding]:
    for binding in bindings(method):
        if not isinstance(binding, Binding):
            raise binding
        yield binding


def refusal(binding: Binding, first: Binding | None = None) -> str:
    """Returns the reason why Envoy cannot serve a binding; empty: it can.

    Args:
        binding: the binding.
        first: the first served binding of the same method; None: there is none.
    """
    if binding.response_body is not None and not is_http_body(response_type(binding)):
        return "response_body is not a google.api.HttpBody"
    if first is not None and _raw(binding) != _raw(first):
        return "with HttpBody, Envoy goes by the method's first binding"
    return ""


def _raw(binding: Binding) -> tuple[str | None, ...]:
    """Returns the paths of the HttpBody fields in request and response; None: JSON."""
    body = binding.body.path if binding.body is not None else ()
    return (
        dotted(body) if is_http_body(request_body_type(binding)) else None,
        dotted(binding.response_path) if is_http_body(response_type(binding)) else None,
    )


def _files(
    contract: Contract, rules: dict[str, HttpRule | None]
) -> tuple[list[FileDescriptorProto], bool]:
    """Returns all files with these rules as annotations, and whether an annotation has changed."""
    files: list[FileDescriptorProto] = []
    changed = False
    for name in contract.files:
        file = FileDescriptorProto.FromString(contract.pool.FindFileByName(name).serialized_pb)
        file.ClearField("source_code_info")
        for full_name, method in _methods(file):
            if full_name not in rules:
                continue
            rule, extension = rules[full_name], annotations_pb2.http
            options = method.options
            before = options.Extensions[extension] if options.HasExtension(extension) else None
            if rule == before:
                continue
            changed = True
            options.ClearExtension(extension)
            if rule is not None:
                options.Extensions[extension].CopyFrom(rule)
        files.append(file)
    return files, changed


def _methods(file: FileDescriptorProto) -> Iterator[tuple[str, MethodDescriptorProto]]:
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        for method in service.method:
            yield f"{prefix}{service.name}.{method.name}", method
