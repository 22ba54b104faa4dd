"""Compiles a contract into what is served of it, at the start and for each reload."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from gateway.admission.error import AdmissionError
from gateway.contract.bindings import bind, warnings
from gateway.contract.descriptors import Contract
from gateway.contract.errors import ContractError
from gateway.contract.fingerprint import fingerprint
from gateway.contract.http_rule import Binding
from gateway.contract.method import Method
from gateway.exchange.own_calls import OwnCall
from gateway.exchange.policy import Policy
from gateway.exchange.routing import Router
from gateway.exchange.served import ServedContract
from gateway.render.openapi import render_openapi
from gateway.settings import Settings
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.transcoder import Transcoder

log = logging.getLogger(__name__)


def compile_contract(
    contract: Contract,
    settings: Settings,
    policies: Callable[[Sequence[Binding]], tuple[Policy, ...]],
    own_services: Callable[[Contract], Mapping[Method, OwnCall]] = lambda _: {},
) -> ServedContract:
    """Compiles all that is served of a contract; touches nothing that is in force.

    Args:
        contract: the contract.
        settings: of the edge.
        policies: returns the policies for some bindings.
        own_services: returns the methods that the edge answers itself beside a contract.

    Raises:
        ContractError: a rule is wrong, or there is none.
        AdmissionError: the settings do not fit the contract.
    """
    for error in contract.left_out:
        log.error("left out, and not served: %s", error)
    options = json_options(settings)
    transcoder = Transcoder(
        contract,
        options,
        ignore_unknown=settings.ignore_unknown,
        show_debug_info=settings.show_debug_info,
        rpc=settings.rpc,
    )
    own_calls = {} if settings.rpc == "off" else dict(own_services(contract))
    transcoder.add_rpc(own_calls)
    own_paths = settings.own_paths()
    for warning in warnings(transcoder.bindings, own_paths):
        log.warning("%s", warning)
    title = ", ".join(dict.fromkeys(m.service_name for m in contract.methods if m.rule is not None))
    return ServedContract(
        contract=contract,
        fingerprint=fingerprint(contract),
        transcoder=transcoder,
        router=Router(transcoder, own_paths, posted=settings.posted_paths()),
        title=title,
        document=render_openapi(
            contract,
            transcoder.bindings,
            title=title,
            options=options,
            ignore_unknown=settings.ignore_unknown,
        ),
        policies=policies(transcoder.all_bindings),
        own_calls=own_calls,
    )


def problems_of(error: ContractError | AdmissionError, contract: Contract | None) -> list[str]:
    """Returns all that is wrong with a contract that cannot be served, a line each.

    Args:
        error: which it was refused with.
        contract: as far as it could be loaded; None: it could not.
    """
    found = (
        [] if contract is None or isinstance(error, AdmissionError) else bind(contract.methods)[1]
    )
    return [str(each) for each in found] or [str(error)]


def json_options(settings: Settings) -> JsonOptions:
    """Returns how messages are printed."""
    return JsonOptions(
        defaults=settings.print_defaults,
        proto_names=settings.print_proto_names,
        enum_numbers=settings.print_enum_numbers,
        int64_numbers=settings.print_int64_numbers,
    )
