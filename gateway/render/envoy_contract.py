"""What of a contract Envoy's transcoder is given: it refuses a configuration whole for one rule that it cannot serve.

Source: Envoy's `grpc_json_transcoder`, and the path matcher below it (grpc-httpjson-transcoding). What is
refused was found by asking Envoy itself; the tests ask it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2

from gateway.contract.descriptors import Contract
from gateway.contract.http_rule import Binding, answer_type, bindings, is_http_body
from gateway.contract.method import Method


@dataclass(frozen=True, slots=True)
class EnvoyContract:
    """A contract as Envoy takes it."""

    descriptor_set: bytes
    """With the rules that are served, and all imports; without comments."""
    methods: tuple[Method, ...]
    """Those of the served services."""
    left_out: tuple[tuple[str, str], ...]
    """Each binding that Envoy refuses, and why."""
    own_set: str
    """Why the contract's own descriptor set would not do; empty where it would."""
    knows_details: bool
    """Whether the contract's own set has the types of error details."""


def envoy_contract(contract: Contract, *, auto_mapping: bool) -> EnvoyContract:
    """Returns what of the contract Envoy can be given; `auto_mapping` is left to it."""
    services = _services(contract, auto_mapping=auto_mapping)
    methods = tuple(method for method in contract.methods if method.service_name in services)
    rules: dict[str, HttpRule | None] = {}
    left_out: list[tuple[str, str]] = []
    for method in methods:
        if method.rule is not None:
            rules[method.full_name], refused = _served(method, method.rule)
            left_out += refused
    files, changed = _files(contract, rules)
    supplied = any(
        imported in contract.supplied
        for file in files
        if file.name not in contract.supplied
        for imported in file.dependency
    )
    reasons = (
        (left_out, f"Envoy refuses {len(left_out)} of the bindings"),
        (changed and not left_out, "the rules stand beside the .proto"),
        (supplied, "the descriptor set lacks imports"),
    )
    return EnvoyContract(
        descriptor_set=FileDescriptorSet(file=files).SerializeToString(deterministic=True),
        methods=methods,
        left_out=tuple(left_out),
        own_set=next((reason for holds, reason in reasons if holds), ""),
        knows_details=error_details_pb2.DESCRIPTOR.name not in contract.supplied,
    )


def _services(contract: Contract, *, auto_mapping: bool) -> frozenset[str]:
    return frozenset(m.service_name for m in contract.methods if auto_mapping or m.rule is not None)


def _served(method: Method, rule: HttpRule) -> tuple[HttpRule | None, list[tuple[str, str]]]:
    """Returns the rule without the bindings that Envoy refuses, and those with the reasons."""
    kept: list[HttpRule] = []
    left_out: list[tuple[str, str]] = []
    for each, binding in zip((rule, *rule.additional_bindings), _bindings(method), strict=True):
        if reason := refusal(binding):
            left_out.append((f"{binding} ({method.full_name})", reason))
        else:
            alone = HttpRule()
            alone.CopyFrom(each)
            del alone.additional_bindings[:]
            kept.append(alone)
    if not kept:
        return None, left_out
    first = kept[0]
    first.additional_bindings.extend(kept[1:])
    return first, left_out


def _bindings(method: Method) -> Iterator[Binding]:
    for binding in bindings(method):
        if not isinstance(binding, Binding):
            raise binding
        yield binding


def refusal(binding: Binding) -> str:
    """Returns why Envoy refuses a binding; empty where it takes it."""
    if binding.response_body is not None and not is_http_body(answer_type(binding)):
        return "response_body is not a google.api.HttpBody"
    return ""


def _files(
    contract: Contract, rules: dict[str, HttpRule | None]
) -> tuple[list[FileDescriptorProto], bool]:
    """Returns all files with the rules in them, and whether those were others before."""
    files: list[FileDescriptorProto] = []
    changed = False
    for name in contract.files:
        file = FileDescriptorProto.FromString(contract.pool.FindFileByName(name).serialized_pb)
        file.ClearField("source_code_info")
        for full_name, method in _methods(file):
            if full_name not in rules:
                continue
            rule, extension = rules[full_name], annotations_pb2.http
            before = method.options.Extensions[extension]
            if rule is None:
                method.options.ClearExtension(extension)
                changed = True
            elif not method.options.HasExtension(extension) or before != rule:
                method.options.Extensions[extension].CopyFrom(rule)
                changed = True
        files.append(file)
    return files, changed


def _methods(file: FileDescriptorProto) -> Iterable[tuple[str, object]]:
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        for method in service.method:
            yield f"{prefix}{service.name}.{method.name}", method
