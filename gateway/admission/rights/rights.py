"""The policy that refuses callers without a right to what they ask for.

A request of the contract costs one look-up and one call. Anything else is looked up by its decoded path.

Rule: nobody without a right to it learns whether a path exists. Without an identity each of them is a 401.
With one, a method and an own path that the caller has no right to is a 403, any other path a 404.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from gateway.admission.identity import Identity
from gateway.admission.rights.conditions import NOBODY, Grant
from gateway.admission.rights.table import RightsTable
from gateway.contract.http_rule import Binding
from gateway.contract.route_table import RouteTable
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import (
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    StatusError,
)
from gateway.transcoding.transcoder import allow_header

_DOTS: Final = frozenset({".", ".."})


def no_identity() -> StatusError:
    """Makes the error for a request without credentials, where no policy of the edge's looks for any."""
    return StatusError.of(UNAUTHENTICATED, "the request has no credentials, and needs some")


class Rights:
    """Refuses whoever has no right to a request."""

    def __init__(
        self, table: RightsTable, missing: Callable[[], StatusError] = no_identity
    ) -> None:
        """Takes what was compiled.

        Args:
            table: who may send what.
            missing: makes the error for a request that needs an identity and has no credentials.
        """
        self._grants = dict(table.bindings)
        self._own = dict(table.own)
        self._paths = table.paths
        self._of_unknown = table.of_unknown
        self._missing = missing
        self._routes: RouteTable[Binding] = RouteTable()
        for binding in table.bindings:
            self._routes.add(binding.http_method, binding.template, binding)

    def admit(self, request: RequestInfo) -> None:
        """See `Policy`."""
        binding = request.binding
        if binding is None:
            self._admit_other(request)
            return
        grant = self._grants.get(binding) or self._of_unknown(binding)
        if not grant.decide(request.identity):
            raise self._refusal(request, grant)

    def _admit_other(self, request: RequestInfo) -> None:
        """Decides about a request that no binding takes."""
        segments = _segments(request.path)
        own = self._own.get("/" + "/".join(segments)) if segments is not None else None
        grant = own or self._grant_of_path(request.http_method, segments)
        if grant.decide(request.identity) or request.is_preflight:
            return
        if request.allowed_methods and own is None:
            self._admit_other_method(request)
        elif request.identity is not None and own is None:
            raise StatusError.of(NOT_FOUND, "no method of the contract is bound to this path")
        else:
            raise self._refusal(request, grant)

    def _grant_of_path(self, http_method: str, segments: list[str] | None) -> Grant:
        if segments is not None:
            for pattern, grant in self._paths:
                if pattern.matches(http_method, segments):
                    return grant
        return NOBODY

    def _admit_other_method(self, request: RequestInfo) -> None:
        """Answers a request whose path the contract has for other HTTP methods.

        Whoever may use one of them learns which there are. No other route gets the request.
        """
        grants = [self._grants[each] for each in self._routes.targets_of(request.path)]
        if not any(grant.decide(request.identity) for grant in grants):
            raise self._refusal(request, NOBODY)
        if request.http_method == "OPTIONS":
            return
        methods = sorted(request.allowed_methods)
        raise StatusError.of(
            UNIMPLEMENTED,
            f"this path takes the HTTP methods {', '.join(methods)}",
            http_status=405,
            headers=(allow_header(methods),),
        )

    def _refusal(self, request: RequestInfo, grant: Grant) -> StatusError:
        """Makes the error: 401 without an identity, 403 with one (RFC 6750, 3.1)."""
        identity = request.identity
        if identity is None:
            return self._missing()
        what = request.path if request.method is None else request.method.full_name
        text = f"you have no right to {what}"
        if not grant.scopes:
            return StatusError.of(PERMISSION_DENIED, text)
        scopes = " ".join(grant.scopes)
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(identity, Identity) and identity.kind == "jwt" and _is_quotable(scopes):
            challenge = f'Bearer error="insufficient_scope", scope="{scopes}"'
            headers = ((b"www-authenticate", challenge.encode()),)
        text += f", which needs the scope {scopes}"
        return StatusError.of(PERMISSION_DENIED, text, headers=headers)


def _is_quotable(text: str) -> bool:
    return text.isascii() and text.isprintable() and not {'"', "\\"} & set(text)


def _segments(path: str) -> list[str] | None:
    """Returns the decoded segments of a path; None for one that others may take for another path.

    The framework decodes paths, and files are found by normalized ones: `//`, `.`, `..` and an encoded `/`
    would pass a rule for one path and reach another. A trailing slash does not count.
    """
    segments = unquote(path).removeprefix("/").split("/")
    if segments[-1] == "":
        segments.pop()
    odd = not _DOTS.isdisjoint(segments) or "" in segments or any("\\" in s for s in segments)
    return None if odd else segments
