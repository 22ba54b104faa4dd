"""Rules and the contract's options -> who may send which requests; compiled once, when the edge starts.

The first rule that takes in a request decides. Where none does, the contract's `(gateway.v1.rights)` does.
What neither takes in, nobody may send.

Rule: everything that is wrong is found here, and told at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from gateway.admission.error import AdmissionError
from gateway.admission.rights.conditions import ANY_IDENTITY, NOBODY, Grant, anybody, grant_of
from gateway.admission.rights.patterns import Covers, Kind, Pattern, literals
from gateway.admission.rights.settings import RightsSettings, RuleSettings
from gateway.contract.http_rule import Binding
from gateway.contract.method import Method


@dataclass(frozen=True, slots=True, eq=False)
class RightsTable:
    """Who may send which requests.

    Attributes:
        bindings: of each binding of the contract.
        own: of each path of the edge's own.
        paths: of other paths: the first pattern that matches counts.
        warnings: what is obeyed, but perhaps not as it was meant; one line each.
        patterns: of all rules, in their order.
    """

    bindings: Mapping[Binding, Grant]
    own: Mapping[str, Grant]
    paths: Sequence[tuple[Pattern, Grant]]
    warnings: Sequence[str]
    patterns: Sequence[tuple[Pattern, Grant]] = ()

    def of_unknown(self, binding: Binding) -> Grant:
        """Returns who may call a method that the contract does not know, by its name: nobody by default."""
        for pattern, grant in self.patterns:
            if pattern.covers(binding) is Covers.ALL:
                return grant
        return NOBODY


def has_rights(settings: RightsSettings, methods: Iterable[Method]) -> bool:
    """Whether anything says who may call what."""
    of_contract = settings.contract and any(method.rights is not None for method in methods)
    return bool(settings.rules) or of_contract


def compile_rights(
    settings: RightsSettings,
    bindings: Sequence[Binding],
    own_paths: Collection[str] = (),
    health_paths: frozenset[str] = frozenset(),
    identity_paths: Collection[str] = (),
    issuers: Collection[str] = (),
    *,
    unknown_methods: bool = False,
) -> RightsTable:
    """Compiles the rules for a contract.

    Args:
        settings: the section.
        bindings: of the contract, as the transcoder has them.
        own_paths: paths that the edge answers itself.
        health_paths: those of them that are open to anybody.
        identity_paths: those of them that are open to any identity, if no rule takes them in; the one that
            gives tickets, which bring no right that their caller lacks.
        issuers: whose tokens are accepted.
        unknown_methods: whether methods are called that the contract does not know.

    Raises:
        AdmissionError: rules take in nothing, or only what others take in before, or a part of a binding; or
            their names may be those of several issuers; or an option of the contract contradicts itself.
    """
    compiling = _Compiling(settings, bindings, tuple(own_paths), health_paths, unknown_methods)
    for number, rule in enumerate(settings.rules):
        compiling.add(rule, f"rights.rules[{number}]")
        compiling.check_issuers(rule, f"rights.rules[{number}]", issuers)
    if settings.contract:
        compiling.add_contract()
    if compiling.problems:
        raise AdmissionError("; ".join(compiling.problems))
    compiling.warn_of_closed()
    open_to_all = Grant(anybody, "anybody", "the health checks")
    compiling.own |= dict.fromkeys(health_paths, open_to_all)
    for path in identity_paths:
        compiling.own.setdefault(path, ANY_IDENTITY)
    return RightsTable(
        {binding: compiling.granted.get(binding, NOBODY) for binding in bindings},
        dict.fromkeys(own_paths, NOBODY) | compiling.own,
        tuple(compiling.paths),
        tuple(compiling.warnings),
        tuple(compiling.patterns),
    )


@dataclass(slots=True, eq=False)
class _Compiling:
    """The table while it is made."""

    settings: RightsSettings
    bindings: Sequence[Binding]
    own_paths: Sequence[str]
    health_paths: frozenset[str]
    unknown_methods: bool
    granted: dict[Binding, Grant] = field(default_factory=dict)
    own: dict[str, Grant] = field(default_factory=dict)
    paths: list[tuple[Pattern, Grant]] = field(default_factory=list)
    patterns: list[tuple[Pattern, Grant]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def grant(self, rule: RuleSettings, source: str) -> Grant:
        """Compiles who may."""
        claims = self.settings
        return grant_of(
            rule, source, scope_claim=claims.scope_claim, roles_claim=claims.roles_claim
        )

    def add(self, rule: RuleSettings, source: str) -> None:
        """Adds a rule behind those that are there."""
        grant = self.grant(rule, source)
        before = len(self.granted) + len(self.own)
        hidden_by: dict[str, None] = {}
        opens_paths = False
        found_all = True
        for pattern in rule.patterns():
            known = len(self.problems)
            self.patterns.append((pattern, grant))
            if (path := str(pattern.template)) in self.health_paths:
                self.problems.append(f"{source}: {path} is open to anybody, always")
            bindings, own = self._taken(pattern, source), self._own_taken(pattern)
            if not (bindings or own) and known == len(self.problems):
                found_all &= self._may_be_empty(pattern, source)
            places: list[Binding | str] = [*bindings, *own]
            for place in places:
                taken = self._take(place, grant)
                if taken is not grant:
                    hidden_by[taken.source] = None
            if pattern.kind in (Kind.ALL, Kind.PAGES, Kind.PATH):
                hiding = [other for known, other in self.paths if known.hides(pattern)]
                hidden_by |= dict.fromkeys(other.source for other in hiding[:1])
                # of one path that the contract has, the request is that binding's
                fixed = pattern.template.is_literal and pattern.kind is Kind.PATH
                opens_paths |= not hiding and not (fixed and (bindings or own))
                self.paths.append((pattern, grant))
            elif pattern.kind is Kind.METHODS:
                opens_paths |= self.unknown_methods
        if found_all and not opens_paths and before == len(self.granted) + len(self.own):
            others = " and ".join(other for other in hidden_by if other != source)
            if others:
                self.problems.append(
                    f"{source} ({_listed(rule)}) never decides: {others} takes in all of its requests before"
                )

    def check_issuers(self, rule: RuleSettings, source: str, issuers: Collection[str]) -> None:
        """Notes names that several issuers may give to different callers, and issuers that none is."""
        if rule.mixes_issuers(issuers):
            self.problems.append(
                f"{source}: names: {len(issuers)} issuers are accepted, and each may give {rule.names[0]!r}"
                " to somebody else: add issuers"
            )
        for issuer in rule.issuers if issuers else ():
            if issuer not in issuers:
                near = get_close_matches(issuer, issuers, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.warnings.append(
                    f"{source}: issuers: no tokens of {issuer!r} are accepted{hint}"
                )

    def _taken(self, pattern: Pattern, source: str) -> list[Binding]:
        """Returns the bindings that a pattern takes in; one that it takes in partly is a problem."""
        taken = []
        path = "/" + "/".join(literals(pattern.template))
        if pattern.kind is Kind.PATH and path in self.own_paths:
            return []  # the edge's own paths win over the contract's
        for binding in self.bindings:
            covers = pattern.covers(binding)
            if covers is Covers.ALL:
                taken.append(binding)
            elif covers is Covers.SOME:
                self.problems.append(
                    f"{source}: {pattern.text!r} takes in only some of the requests of {binding}"
                    f" ({binding.method.full_name}): write {str(binding)!r}, or the method"
                )
        return taken

    def _own_taken(self, pattern: Pattern) -> list[str]:
        """Returns the own paths that a pattern takes in; a page with the files below it."""
        closed = [path for path in self.own_paths if path not in self.health_paths]
        if pattern.kind is Kind.ALL:
            return closed
        if pattern.kind is not Kind.PATH or pattern.http_method not in ("", "GET"):
            return []
        found = [path for path in closed if pattern.takes_path(path[1:].split("/"))]
        below = tuple(f"{path}/" for path in found)
        return [*found, *(p for p in closed if p not in found and p.startswith(below))]

    def _take(self, place: Binding | str, grant: Grant) -> Grant:
        """Grants a place, if it is not granted yet; returns the grant that it has."""
        if isinstance(place, str):
            return self.own.setdefault(place, grant)
        return self.granted.setdefault(place, grant)

    def _may_be_empty(self, pattern: Pattern, source: str) -> bool:
        """Whether a pattern may take in nothing of the contract, as one of a user's own routes does."""
        if pattern.kind in (Kind.ALL, Kind.PAGES):
            return True
        is_path = pattern.kind is Kind.PATH
        near = get_close_matches(pattern.text, self._names(pattern), n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if is_path:
            if near:
                self.warnings.append(
                    f"{source}: {pattern.text!r} is no path of the contract or of the edge's own{hint}"
                )
            return True
        if pattern.kind is Kind.METHODS and self.unknown_methods:
            return True
        what = "method" if pattern.kind is Kind.METHODS else "binding"
        self.problems.append(f"{source}: {pattern.text!r} takes in no {what} of the contract{hint}")
        return False

    def _names(self, pattern: Pattern) -> list[str]:
        """Returns what a pattern may be meant to be."""
        if pattern.kind is Kind.METHODS:
            methods = {binding.method for binding in self.bindings}
            names = {f"{method.service_name}/*" for method in methods}
            slash = pattern.text.count("/") > 0
            names |= {method.path[1:] if slash else method.full_name for method in methods}
            return sorted(names)
        if pattern.http_method:
            return [str(binding) for binding in self.bindings]
        return [*(str(binding.template) for binding in self.bindings), *self.own_paths]

    def add_contract(self) -> None:
        """Adds what the contract says of methods that no rule takes in."""
        overridden: dict[Method, dict[str, None]] = {}
        grants: dict[Method, Grant] = {}
        for binding in self.bindings:
            method = binding.method
            if method.rights is None:
                continue
            if method not in grants:
                grants[method] = self._of_contract(method)
            taken = self._take(binding, grants[method])
            if taken is not grants[method]:
                overridden.setdefault(method, {})[taken.source] = None
        for method, sources in overridden.items():
            self.warnings.append(
                f"{method.rights_location}: {method.full_name}: (gateway.v1.rights) says"
                f" {grants[method].words!r}, but {' and '.join(sources)} decides instead"
            )

    def _of_contract(self, method: Method) -> Grant:
        rights = method.rights
        assert rights is not None  # noqa: S101 - the caller has looked
        given: dict[str, object] = {"scopes": tuple(rights.scopes), "roles": tuple(rights.roles)}
        if rights.anonymous and any(given.values()):
            self.problems.append(
                f"{method.rights_location}: {method.full_name}: (gateway.v1.rights): anonymous stands"
                " alone, without scopes and roles"
            )
            return NOBODY
        who = {"anonymous": True} if rights.anonymous else given | {"identity": "any"}
        rule = RuleSettings.model_validate({"requests": method.full_name, **who})
        return self.grant(rule, "contract")

    def warn_of_closed(self) -> None:
        """Warns of methods that nobody may call, because nothing takes them in."""
        for method in dict.fromkeys(binding.method for binding in self.bindings):
            if method.rule is None:  # reached by RPC alone, which no path pattern takes in
                continue
            mine = [binding for binding in self.bindings if binding.method is method]
            if not any(binding in self.granted for binding in mine):
                self.warnings.append(
                    f"{method.location}: {method.full_name} may be called by nobody: no rule of rights"
                    " takes it in"
                )


def _listed(rule: RuleSettings) -> str:
    return ", ".join(rule.requests)
