"""Rules and the contract's options, compiled: who may call what, and what stops the start."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.admission.rights.patterns import parse_pattern
from gateway.admission.rights.settings import RightsSettings
from gateway.admission.rights.table import RightsTable, compile_rights, has_rights
from gateway.contract.bindings import bind
from gateway.contract.descriptors import load
from gateway.contract.http_rule import Binding
from tests.contracts import compile_text

CONTRACT = """
syntax = "proto3";
package library.v1;
import "google/api/annotations.proto";
import "gateway/v1/options.proto";

service Library {
  rpc GetBook(Book) returns (Book) {
    option (google.api.http) = {
      get: "/v1/books/{name}"
      additional_bindings {get: "/v1/shelves/{shelf}/books/{name}"}
      additional_bindings {custom {kind: "*" path: "/v1/any/{name}"}}
    };
    option (gateway.v1.rights) = {anonymous: true};
  }
  rpc CreateBook(Book) returns (Book) {
    option (google.api.http) = {post: "/v1/books" body: "*"};
    option (gateway.v1.rights) = {scopes: "write" scopes: "books"};
  }
  rpc ArchiveBook(Book) returns (Book) {
    option (google.api.http) = {post: "/v1/books/{name}:archive" body: "*"};
    option (gateway.v1.rights) = {roles: "admin" roles: "editor"};
  }
  rpc ListBooks(Book) returns (stream Book) {
    option (google.api.http) = {get: "/v1/books"};
    option (gateway.v1.rights) = {};
  }
  rpc DeleteAll(Book) returns (Book) {
    option (google.api.http) = {delete: "/v1/files/{name=**}"};
  }
}
service Loans {
  rpc Lend(Book) returns (Book) { option (google.api.http) = {post: "/v1/loans" body: "*"}; }
}
message Book { string name = 1; string shelf = 2; }
"""
BINDINGS, _ = bind(load(compile_text(CONTRACT)).methods)
BY_NAME = {str(binding): binding for binding in BINDINGS}
OWN = ("/healthz", "/openapi.json", "/docs", "/docs/swagger-ui.css")
ANN = Identity("ann", "jwt")


def compiled(*rules: dict[str, Any], **settings: Any) -> RightsTable:
    """Compiles rules for the contract above."""
    given = {"contract": False, **settings, "rules": rules}
    return compile_rights(
        RightsSettings.model_validate(given), BINDINGS, OWN, frozenset({"/healthz"})
    )


def who(table: RightsTable) -> dict[str, str]:
    """Returns binding -> who may use it."""
    return {str(binding): grant.words for binding, grant in table.bindings.items()}


def taken(pattern: str) -> set[str]:
    """Returns the bindings that a pattern takes in."""
    table = compiled({"requests": pattern, "anonymous": True})
    return {name for name, words in who(table).items() if words == "anybody"}


GET_BOOK = {
    "GET /v1/books/{name}",
    "GET /v1/shelves/{shelf}/books/{name}",
    "* /v1/any/{name}",
}
LOANS = {"POST /v1/loans"}


@pytest.mark.parametrize(
    ("pattern", "bindings"),
    [
        ("*", set(BY_NAME)),
        ("library.*", set(BY_NAME)),
        ("library.v1.*", set(BY_NAME)),
        ("library.v1.Library/*", set(BY_NAME) - LOANS),
        ("library.v1.Loans/*", LOANS),
        ("library.v1.Library/GetBook", GET_BOOK),
        ("library.v1.Library.GetBook", GET_BOOK),
        ("GET /v1/books/{name}", {"GET /v1/books/{name}"}),
        ("GET /v1/books/{other}", {"GET /v1/books/{name}"}),
        ("/v1/books/{x}", {"GET /v1/books/{name}"}),
        ("/v1/books/{x}:archive", {"POST /v1/books/{name}:archive"}),
        ("/v1/books", {"GET /v1/books", "POST /v1/books"}),
        ("POST /v1/books", {"POST /v1/books"}),
        (
            "/v1/books/**",
            {
                *("GET /v1/books", "POST /v1/books", "GET /v1/books/{name}"),
                "POST /v1/books/{name}:archive",
            },
        ),
        ("/v1/books/*", {"GET /v1/books/{name}", "POST /v1/books/{name}:archive"}),
        ("GET /v1/books/*", {"GET /v1/books/{name}"}),
        ("DELETE /v1/files/{anything=**}", {"DELETE /v1/files/{name=**}"}),
        ("/v1/files/**", {"DELETE /v1/files/{name=**}"}),
        ("/**", set(BY_NAME)),
        ("pages", set()),
        ("/docs", set()),
    ],
)
def test_a_pattern_takes_in_bindings(pattern: str, bindings: set[str]) -> None:
    """Methods by all of their bindings, a binding alone, or those below a path."""
    assert taken(pattern) == bindings


@pytest.mark.parametrize(
    ("pattern", "own"),
    [
        ("*", {"/openapi.json", "/docs", "/docs/swagger-ui.css"}),
        ("/docs", {"/docs", "/docs/swagger-ui.css"}),
        ("GET /docs", {"/docs", "/docs/swagger-ui.css"}),
        ("/docs/**", {"/docs", "/docs/swagger-ui.css"}),
        ("/openapi.json", {"/openapi.json"}),
        ("pages", set()),
        ("library.*", set()),
    ],
)
def test_a_pattern_takes_in_own_paths(pattern: str, own: set[str]) -> None:
    """The page with its files; the health check is open whatever the rules say."""
    table = compiled({"requests": pattern, "identity": "any"})
    words = {path: grant.words for path, grant in table.own.items()}

    assert words.pop("/healthz") == "anybody"
    assert {path for path, each in words.items() if each == "any identity"} == own
    assert {each for path, each in words.items() if path not in own} <= {"nobody"}


def test_the_first_rule_that_takes_in_a_request_decides() -> None:
    """In the order of the file; what none takes in is closed."""
    table = compiled(
        {"requests": "GET /v1/books/{name}", "anonymous": True},
        {"requests": ["library.v1.Library/GetBook", "/v1/books"], "scopes": "read"},
        {"requests": "library.v1.Library/DeleteAll", "nobody": True},
        {"requests": "library.v1.Library/*", "identity": "any"},
    )

    assert who(table) == {
        "GET /v1/books/{name}": "anybody",
        "GET /v1/shelves/{shelf}/books/{name}": "scope contains read",
        "* /v1/any/{name}": "scope contains read",
        "POST /v1/books": "scope contains read",
        "GET /v1/books": "scope contains read",
        "POST /v1/books/{name}:archive": "any identity",
        "DELETE /v1/files/{name=**}": "nobody",
        "POST /v1/loans": "nobody",
    }


def test_the_contract_says_who_may_call() -> None:
    """By its option; methods without one are closed, and that is said."""
    table = compiled(contract=True)

    assert who(table) == {
        "GET /v1/books/{name}": "anybody",
        "GET /v1/shelves/{shelf}/books/{name}": "anybody",
        "* /v1/any/{name}": "anybody",
        "POST /v1/books": "scope contains write, books",
        "POST /v1/books/{name}:archive": "roles contains admin or editor",
        "GET /v1/books": "any identity",
        "DELETE /v1/files/{name=**}": "nobody",
        "POST /v1/loans": "nobody",
    }
    assert [text.partition(": ")[2] for text in table.warnings] == [
        f"library.v1.{name} may be called by nobody: no rule of rights takes it in"
        for name in ("Library.DeleteAll", "Loans.Lend")
    ]


def test_the_file_wins_over_the_contract_and_says_so() -> None:
    """With the place of the option and the number of the rule."""
    table = compiled({"requests": "POST /v1/books", "identity": "any"}, contract=True)

    assert who(table)["POST /v1/books"] == "any identity"
    assert who(table)["GET /v1/books/{name}"] == "anybody"
    assert table.warnings[0] == (
        "test.proto:18:5: library.v1.Library.CreateBook: (gateway.v1.rights) says"
        " 'scope contains write, books', but rights.rules[0] decides instead"
    )


def test_claims_have_the_names_that_the_settings_give() -> None:
    """For the contract too."""
    table = compiled(contract=True, scope_claim="scp", roles_claim="realm_access.roles")
    archive = table.bindings[BY_NAME["POST /v1/books/{name}:archive"]]

    assert archive.words == "realm_access.roles contains admin or editor"
    assert archive.decide(Identity("ann", "jwt", {"realm_access": {"roles": ["editor"]}}))
    assert not archive.decide(Identity("ann", "jwt", {"roles": ["editor"]}))


def test_rights_are_checked_where_something_says_them() -> None:
    """Rules, or the contract's options unless they are to be ignored."""
    methods = [binding.method for binding in BINDINGS]
    others = [method for method in methods if method.rights is None]
    rule = {"requests": "*", "anonymous": True}

    assert not has_rights(RightsSettings(), others)
    assert has_rights(RightsSettings(), methods)
    assert not has_rights(RightsSettings(contract=False), methods)
    assert has_rights(RightsSettings.model_validate({"rules": [rule]}), others)


ANYBODY = {"anonymous": True}


@pytest.mark.parametrize(
    ("patterns", "problems"),
    [
        (
            ["library.v1.Libary/*"],
            [("rights.rules[0]: 'library.v1.Libary/*' takes in no method of the contract;"
             " did you mean 'library.v1.Library/*'?")],
        ),
        (
            ["library.v1.Library/GetBok", "library.v1.Library.CreateBok"],
            ["'library.v1.Library/GetBook'", "'library.v1.Library.CreateBook'"],
        ),
        (
            ["GET /v1/book/{name}"],
            ["takes in no binding of the contract; did you mean 'GET /v1/books/{name}'?"],
        ),
        (["POST /v1/books/{name}"], ["did you mean 'GET /v1/books/{name}'?"]),
        (
            ["/v1/books/war-and-peace"],
            [("takes in only some of the requests of GET /v1/books/{name}"
             " (library.v1.Library.GetBook): write 'GET /v1/books/{name}', or the method")],
        ),
        (["/v1/files/public/**"], ["only some of the requests of DELETE /v1/files/{name=**}"]),
        (["GET /v1/any/{name}"], ["only some of the requests of * /v1/any/{name}"]),
        (["*", "library.v1.Loans/Lend"], [("rights.rules[1] (library.v1.Loans/Lend) never decides:"
                                          " rights.rules[0] takes in all of its requests before")]),
        (["/v1/loans", "library.v1.Library/*", "library.*"],
         ["rights.rules[2] (library.*) never decides: rights.rules[1] and rights.rules[0]"]),
        (["/app/**", "GET /app/*"], ["rights.rules[1] (GET /app/*) never decides"]),
        (["pages", "/app/**"], ["rights.rules[1] (/app/**) never decides"]),
        (["/**", "pages"], ["rights.rules[1] (pages) never decides"]),
        (["*", "/docs"], ["rights.rules[1] (/docs) never decides"]),
        (["/healthz"], ["rights.rules[0]: /healthz is open to anybody, always"]),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_the_contract_stop_the_start(
    patterns: list[str], problems: list[str]
) -> None:
    """All of them at once, each with the nearest name."""
    with pytest.raises(AdmissionError) as error:
        compiled(*({"requests": pattern, **ANYBODY} for pattern in patterns))

    for problem in problems:
        assert problem in str(error.value)
    assert str(error.value).count("; rights.rules") == len(problems) - 1


@pytest.mark.parametrize(
    "patterns",
    [
        ["library.v1.Loans/*", "*"],
        ["GET /app/*", "/app/**"],
        ["/app/**", "pages"],
        ["library.*", "/docs", "/openapi.json", "pages"],
        ["library.*", "*"],
        ["/own/route"],
    ],
)
def test_rules_that_decide_something_are_right(patterns: list[str]) -> None:
    """Paths that neither the contract nor the edge has may be a user's own."""
    compiled(*({"requests": pattern, **ANYBODY} for pattern in patterns))


def test_a_path_that_is_nearly_one_is_warned_of() -> None:
    """It may be a route of the user's."""
    table = compiled({"requests": ["/doc", "*"], **ANYBODY})
    assert table.warnings == (
        (
            "rights.rules[0]: '/doc' is no path of the contract or of the edge's own;"
            " did you mean '/docs'?"
        ),
    )


def test_an_option_that_contradicts_itself_stops_the_start() -> None:
    """With its place in the .proto."""
    text = CONTRACT.replace('{scopes: "write"', '{anonymous: true scopes: "write"')
    bindings, _ = bind(load(compile_text(text)).methods)

    with pytest.raises(AdmissionError, match=r"test\.proto:18:5: .*CreateBook: .*anonymous stands"):
        compile_rights(RightsSettings(), bindings)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"requests": "*"}, "says not who may send the requests"),
        ({"requests": "*", "anonymous": True, "scopes": "a"}, "anonymous stands alone, without sc"),
        ({"requests": "*", "anonymous": True, "nobody": True}, "anonymous stands alone"),
        ({"requests": "not a pattern", **ANYBODY}, "'not a pattern' is no pattern of requests"),
        ({"requests": "get /v1", **ANYBODY}, "'get /v1' is no pattern of requests"),
        ({"requests": "/v1/{x", **ANYBODY}, "path template '/v1/{x'"),
        ({"requests": [], **ANYBODY}, "requests"),
        ({"requests": "*", "identity": "jtw"}, "identity"),
        ({"requests": "*", "claims": {"a": {"contain": "x"}}}, "contain"),
        ({"requests": "*", "claims": {"a": {}}}, "says nothing; write one of contains"),
        ({"requests": "*", "claims": {"a": {"at_least": "18"}}}, "at_least"),
    ],
)
def test_a_rule_that_is_wrong_alone_is_refused(rule: dict[str, Any], problem: str) -> None:
    """By the settings, before there is a contract."""
    with pytest.raises(ValidationError) as error:
        RightsSettings.model_validate({"rules": [rule]})
    assert problem in str(error.value)


CLAIMS: dict[str, Any] = {
    "scope": "read write",
    "scp": ["read", "write", 7],
    "age": 18,
    "share": 0.5,
    "verified": True,
    "plan": "pro",
    "realm": {"roles": ["admin"], "deep": {"tenant": "acme"}},
    "https://example.com/roles": ["owner"],
    "nothing": None,
}


@pytest.mark.parametrize(
    ("claim", "condition", "met"),
    [
        ("scope", {"contains": "read"}, True),
        ("scope", {"contains": "rea"}, False),
        ("scope", {"contains": "read write"}, False),
        ("scope", {"contains_all": ["read", "write"]}, True),
        ("scope", {"contains_all": ["read", "delete"]}, False),
        ("scope", {"contains_any": ["delete", "write"]}, True),
        ("scope", {"contains_any": ["delete"]}, False),
        ("scp", {"contains": "write"}, True),
        ("age", {"contains": "18"}, False),
        ("missing", {"contains": "x"}, False),
        ("plan", "pro", True),
        ("plan", "Pro", False),
        ("plan", {"one_of": ["team", "pro"]}, True),
        ("plan", {"one_of": ["team"]}, False),
        ("age", {"equals": 18}, True),
        ("age", {"equals": "18"}, False),
        ("age", {"equals": True}, False),
        ("verified", True, True),
        ("verified", False, False),
        ("verified", {"equals": 1}, False),
        ("scp", {"equals": "read"}, False),
        ("age", {"at_least": 18}, True),
        ("age", {"at_least": 18.5}, False),
        ("age", {"above": 18}, False),
        ("age", {"at_most": 18, "above": 17}, True),
        ("share", {"below": 0.5}, False),
        ("share", {"below": 1}, True),
        ("verified", {"at_least": 0}, False),
        ("plan", {"at_least": 0}, False),
        ("missing", {"at_least": 0}, False),
        ("realm.roles", {"contains": "admin"}, True),
        ("realm.deep.tenant", "acme", True),
        ("realm.deep.tenant.x", {"exists": True}, False),
        ("plan.x", {"exists": False}, True),
        ("https://example.com/roles", {"contains": "owner"}, True),
        ("age", {"exists": True}, True),
        ("age", {"exists": False}, False),
        ("missing", {"exists": False}, True),
        ("nothing", {"exists": True}, False),
    ],
)
def test_a_claim_meets_a_condition(claim: str, condition: Any, *, met: bool) -> None:
    """Types count: a number is no text and no boolean; words are whole words."""
    table = compiled({"requests": "*", "claims": {claim: condition}})
    decide = table.bindings[BY_NAME["POST /v1/loans"]].decide

    assert decide(Identity("ann", "jwt", CLAIMS)) is met
    assert not decide(None)
    assert not decide("an identity of a user's own policy, without claims")


@pytest.mark.parametrize(
    ("conditions", "identities"),
    [
        ({"identity": "any"}, "ann key spiffe"),
        ({"identity": "api_key"}, "key"),
        ({"identity": ["jwt", "certificate"]}, "ann spiffe"),
        ({"names": ["ann", "spiffe://a/b"]}, "ann spiffe"),
        ({"identity": "certificate", "names": "ann"}, ""),
        ({"names": "ann", "issuers": ["https://a", "https://b"]}, "ann"),
        ({"names": "ann", "issuers": "https://c"}, ""),
        ({"issuers": "https://a"}, "ann"),
        ({"roles": ["admin", "owner"]}, "ann"),
        ({"scopes": ["read", "write"]}, "key"),
        ({"scopes": "read", "roles": "admin"}, "ann"),
    ],
)
def test_all_conditions_of_a_rule_must_hold(conditions: dict[str, Any], identities: str) -> None:
    """Kind, name, issuer, scopes, roles."""
    callers = {
        "ann": Identity("ann", "jwt", {"iss": "https://a", "scope": "read", "roles": ["admin"]}),
        "key": Identity("key", "api_key", {"scope": ["read", "write"]}),
        "spiffe": Identity("spiffe://a/b", "certificate"),
    }
    grant = compiled({"requests": "*", **conditions}).bindings[BY_NAME["POST /v1/loans"]]

    assert [name for name, one in callers.items() if grant.decide(one)] == identities.split()


TWO = ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("rule", "issuers", "stops"),
    [
        ({"names": "ann"}, TWO, True),
        ({"names": "ann", "identity": "any"}, TWO, True),
        ({"names": "ann", "identity": ["api_key", "ticket"]}, TWO, True),
        ({"names": "ann", "scopes": "read"}, TWO, True),
        ({"names": "ann", "issuers": TWO[0]}, TWO, False),
        ({"names": "ann", "issuers": TWO}, TWO, False),
        ({"names": "ann", "claims": {"iss": TWO[0]}}, TWO, False),
        ({"names": "ann", "identity": "api_key"}, TWO, False),
        ({"names": "ann"}, TWO[:1], False),
        ({"names": "ann"}, (), False),
        ({"scopes": "read"}, TWO, False),
    ],
)
def test_a_name_is_that_of_one_issuer(
    rule: dict[str, Any], issuers: tuple[str, ...], *, stops: bool
) -> None:
    """Two issuers may give one name to two callers, so a rule says which it means."""
    settings = RightsSettings.model_validate({"rules": [{"requests": "*", **rule}]})
    if stops:
        with pytest.raises(AdmissionError, match="names: 2 issuers are accepted"):
            compile_rights(settings, BINDINGS, OWN, issuers=issuers)
    else:
        compile_rights(settings, BINDINGS, OWN, issuers=issuers)


def test_an_issuer_that_is_none_is_told() -> None:
    """A policy of the user's may know it, so it does not stop the start."""
    settings = RightsSettings.model_validate(
        {"contract": False, "rules": [{"requests": "*", "issuers": "https://a.exmple"}]}
    )

    assert compile_rights(settings, BINDINGS, OWN).warnings == ()
    (warning,) = compile_rights(settings, BINDINGS, OWN, issuers=TWO).warnings
    assert warning.endswith("'https://a.exmple' are accepted; did you mean 'https://a.example'?")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/app/*", "/app/x", True),
        ("/app/*", "/app", False),
        ("/app/*", "/app/x/y", False),
        ("/app/**", "/app", True),
        ("/app/**", "/app/x/y", True),
        ("/app/**", "/application", False),
        ("/a%20b", "/a b", True),
        ("GET /x", "/x", True),
        ("POST /x", "/x", False),
        ("library.v1.*", "/x", False),
        ("pages", "/x", True),
    ],
)
def test_a_pattern_matches_decoded_paths(pattern: str, path: str, *, matches: bool) -> None:
    """By whole segments; HEAD is taken for GET."""
    segments = path.removeprefix("/").split("/")
    assert parse_pattern(pattern).matches("HEAD", segments) is matches


def test_bindings_are_those_of_the_contract() -> None:
    """Each has a decision, so that a request never lacks one."""
    table = compiled({"requests": "library.v1.Loans/*", **ANYBODY})
    bindings: list[Binding] = list(table.bindings)
    assert bindings == BINDINGS
    assert not table.bindings[BINDINGS[0]].decide(ANN)


@pytest.mark.parametrize(
    ("rules", "who"),
    [
        ([{"requests": "library.*", **ANYBODY}], "any identity"),
        ([{"requests": "/docs", "scopes": "a"}], "scope contains a"),
        ([{"requests": "*", "nobody": True}], "nobody"),
    ],
)
def test_an_own_path_may_be_open_to_identities(rules: list[dict[str, Any]], who: str) -> None:
    """Unless a rule takes it in."""
    settings = RightsSettings.model_validate({"contract": False, "rules": rules})
    table = compile_rights(
        settings, BINDINGS, OWN, frozenset({"/healthz"}), identity_paths=("/docs",)
    )

    assert table.own["/docs"].words == who
