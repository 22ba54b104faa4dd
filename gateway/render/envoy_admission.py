"""Which settings of admission Envoy obeys, and which are refused.

Rule: an edge that admits not everybody is never rendered as an Envoy that does. A section of `gateway.admission`
that nobody has named here is refused as soon as it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel

from gateway.contract.method import Method
from gateway.sections import Section

_ROOM: Final = "gateway.admission."
RENDERED: Final = frozenset({"cors", "proxies"})
"""Sections of admission that are rendered, or refused in part where that is done."""
_REFUSED: Final = {
    "tls_client_ca": "Envoy would not ask for client certificates",
    "max_connections_per_address": "Envoy has no limit of connections for each address",
}
"""Other settings that limit who may come in -> why they are refused."""


def admission_problems(settings: BaseModel, methods: Iterable[Method]) -> list[str]:
    """Returns what Envoy would not obey, each with the name of the setting."""
    return [*_of_sections(settings), *_of_settings(settings), *_of_contract(settings, methods)]


def _of_sections(settings: BaseModel) -> Iterator[str]:
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        if not isinstance(section, Section) or not type(section).__module__.startswith(_ROOM):
            continue
        if name not in RENDERED and section != type(section)():
            used = [key for key in section.model_fields_set if getattr(section, key)]
            names = ", ".join(f"{name}_{key}" for key in sorted(used)) or name
            yield f"{names}: not rendered for Envoy, which would admit what this refuses"


def _of_settings(settings: BaseModel) -> Iterator[str]:
    for name, reason in _REFUSED.items():
        if getattr(settings, name, None) is not None:
            yield f"{name}: {reason}"


def _of_contract(settings: BaseModel, methods: Iterable[Method]) -> Iterator[str]:
    rights = getattr(settings, "rights", None)
    if "rights" in RENDERED or not getattr(rights, "contract", True):
        return
    for method in methods:
        if method.rights is not None:
            yield (
                f"{method.rights_location}: {method.full_name}: (gateway.v1.rights) is not rendered for Envoy,"
                " which would admit everybody"
            )
