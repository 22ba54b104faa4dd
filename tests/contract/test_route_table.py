"""The route table: which template a path reaches, and what it captures."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.path_template import PathTemplate
from gateway.contract.route_table import NoRoute, RouteConflict, RouteMatch, RouteTable, is_near
from tests.contract.templates import templates


def table(*routes: str) -> RouteTable[str]:
    """Makes a table; a route is `METHOD /template`, and is its own target."""
    made: RouteTable[str] = RouteTable()
    for route in routes:
        http_method, template = route.split(" ")
        made.add(http_method, PathTemplate.parse(template), route)
    return made


def reached(routes: RouteTable[str], http_method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """Returns what a request reaches, and what is captured."""
    found = routes.match(http_method, path)
    assert isinstance(found, RouteMatch), found
    return found.target, found.captures


# Cases are facts of grpc-httpjson-transcoding's path matcher and of vanguard's router, and our own.
ROUTES = table(
    "GET /",
    "GET /a/**",
    "GET /b/*",
    "GET /c/*/d/**",
    "GET /c/*/d/e",
    "GET /c/f/d/e",
    "GET /m/{x=p/*/q/*}/c",
    "GET /s/{x}/c",
    "GET /t/{x=**}",
    "GET /foo/bar/baz/buzz",
    "GET /foo/bar/{name}",
    "GET /foo/bar/{name}/baz/{child}",
    "GET /foo/bar/*/{thing.id}/{cat=**}",
    "GET /foo/bar/*/{thing.id}/{cat=**}:do",
    "GET /person",
    "GET /person/{id=*}",
    "GET /{x=**}:verb",
    "GET /some/const:verb",
    "GET /some/*:verb",
    "GET /some/*/foo:verb",
    "GET /dog/{a}/{b}:verb",
    "GET /lit%2Feral/%2A/x",
    "GET /v1/{x}:%2c",
)
FOUND = [
    ("the root", "/", "/", ()),
    ("** takes one", "/a/b", "/a/**", ()),
    ("** takes many", "/a/b/c", "/a/**", ()),
    ("** takes none", "/a", "/a/**", ()),
    ("** takes the empty segment of a last slash", "/a/", "/a/**", ()),
    ("* takes one", "/b/c", "/b/*", ()),
    ("** behind *", "/c/u/d/v", "/c/*/d/**", ()),
    ("** behind *", "/c/v/d/w/x", "/c/*/d/**", ()),
    ("** takes none behind *", "/c/v/d", "/c/*/d/**", ()),
    ("a literal before **", "/c/x/d/e", "/c/*/d/e", ()),
    ("a literal before *", "/c/f/d/e", "/c/f/d/e", ()),
    ("a miss of the literal goes back to *", "/c/f/d/g", "/c/*/d/**", ()),
    ("a single segment is decoded", "/s/p%20q%2Fr/c", "/s/{x}/c", ("p q/r",)),
    ("many segments keep %2F", "/m/p/f%20f/q/b%2Fr/c", "/m/{x=p/*/q/*}/c", ("p/f f/q/b%2Fr",)),
    ("many segments keep %2f", "/t/a%2fb/c%2Fd", "/t/{x=**}", ("a%2fb/c%2Fd",)),
    ("** captures nothing", "/t", "/t/{x=**}", ("",)),
    ("** captures UTF-8", "/t/%C3%A9/%25", "/t/{x=**}", ("é/%",)),
    ("+ is no space in a path", "/s/a+b/c", "/s/{x}/c", ("a+b",)),
    ("an encoded colon is no verb", "/b/const%3Averb", "/b/*", ()),
    ("an encoded letter is that letter", "/%66oo/bar/x", "/foo/bar/{name}", ("x",)),
    ("a literal", "/foo/bar/baz/buzz", "/foo/bar/baz/buzz", ()),
    ("two variables", "/foo/bar/1/baz/2", "/foo/bar/{name}/baz/{child}", ("1", "2")),
    ("** captures none", "/foo/bar/x/9", "/foo/bar/*/{thing.id}/{cat=**}", ("9", "")),
    ("** captures two", "/foo/bar/x/9/a/b", "/foo/bar/*/{thing.id}/{cat=**}", ("9", "a/b")),
    ("a verb", "/foo/bar/x/9/a:do", "/foo/bar/*/{thing.id}/{cat=**}:do", ("9", "a")),
    (
        "a verb of no route here",
        "/foo/bar/x/9/a:no",
        "/foo/bar/*/{thing.id}/{cat=**}",
        ("9", "a:no"),
    ),
    ("no verb", "/person", "/person", ()),
    ("a verb behind **", "/person:verb", "/{x=**}:verb", ("person",)),
    ("a verb behind **", "/person/jason:verb", "/{x=**}:verb", ("person/jason",)),
    ("a verb of no route", "/person/jason:other", "/person/{id=*}", ("jason:other",)),
    ("a verb with a literal", "/some/const:verb", "/some/const:verb", ()),
    ("a verb with *", "/some/other:verb", "/some/*:verb", ()),
    ("a verb with a later literal", "/some/bar/foo:verb", "/some/*/foo:verb", ()),
    ("a verb deeper down", "/some/foo/bar:verb", "/{x=**}:verb", ("some/foo/bar",)),
    ("the last colon is the verb's", "/dog/s:verb/c:verb", "/dog/{a}/{b}:verb", ("s:verb", "c")),
    ("a colon further up is text", "/b:verb/c/d:verb", "/{x=**}:verb", ("b:verb/c/d",)),
    ("an encoded literal", "/lit%2feral/%2a/x", "/lit%2Feral/%2A/x", ()),
    ("an encoded literal, written plainly", "/lit%2Feral/*/x", "/lit%2Feral/%2A/x", ()),
    ("an encoded verb", "/v1/a:%2C", "/v1/{x}:%2c", ("a",)),
    ("** takes empty segments as they are", "/t//a//", "/t/{x=**}", ("/a//",)),
]


@pytest.mark.parametrize(
    ("path", "template", "captures"),
    [row[1:] for row in FOUND],
    ids=[f"{row[0]}: {row[1]}" for row in FOUND],
)
def test_finds(path: str, template: str, captures: tuple[str, ...]) -> None:
    """A path reaches the most literal template that matches it, and captures its variables."""
    assert reached(ROUTES, "GET", path) == (f"GET {template}", captures)


MISSED = [
    ("nothing there", "/bob/lob/law"),
    ("* takes one segment", "/b/c/d"),
    ("* takes one segment", "/b"),
    ("* takes no empty segment", "/b/"),
    ("an empty segment counts", "/c//v/d/w"),
    ("an empty segment counts", "//person"),
    ("a last slash counts", "/person/"),
    ("a path begins with a slash", "person"),
    ("a path begins with a slash", "*"),
    ("a path begins with a slash", ""),
    ("shorter than its branch", "/foo/bar"),
    ("longer than its branch", "/person/jason/x"),
    ("a verb is at the end", "/some/other:verb/"),
    ("* behind a verb takes no empty segment", "/v1/:%2c"),
    ("case counts", "/Person"),
]


@pytest.mark.parametrize(
    "path", [row[1] for row in MISSED], ids=[f"{row[0]}: {row[1]}" for row in MISSED]
)
def test_misses(path: str) -> None:
    """A path that no template matches reaches nothing, whatever the method."""
    assert ROUTES.match("GET", path) == NoRoute(frozenset())


MANY_METHODS = table(
    "GET /v1/foo",
    "POST /v1/{name}",
    "PUT /v1/**",
    "* /v1/any",
    "GET /v1/any",
    "REPORT /v1/reports",
    "POST /v1/x:run",
)


@pytest.mark.parametrize(
    ("http_method", "path", "target"),
    [
        ("GET", "/v1/foo", "GET /v1/foo"),
        ("POST", "/v1/foo", "POST /v1/{name}"),
        ("PUT", "/v1/foo", "PUT /v1/**"),
        ("PUT", "/v1/foo/bar", "PUT /v1/**"),
        ("GET", "/v1/any", "GET /v1/any"),
        ("PROPFIND", "/v1/any", "* /v1/any"),
        ("POST", "/v1/any", "* /v1/any"),
        ("REPORT", "/v1/reports", "REPORT /v1/reports"),
        ("POST", "/v1/x:run", "POST /v1/x:run"),
        ("PUT", "/v1/x:run", "PUT /v1/**"),
    ],
)
def test_a_miss_keeps_looking(http_method: str, path: str, target: str) -> None:
    """A template of another method hides nothing; `*` takes every method that has no route of its own."""
    assert reached(MANY_METHODS, http_method, path)[0] == target


@pytest.mark.parametrize(
    ("http_method", "path", "allowed"),
    [
        ("DELETE", "/v1/foo", {"GET", "POST", "PUT"}),
        ("DELETE", "/v1/bar", {"POST", "PUT"}),
        ("DELETE", "/v1/a/b", {"PUT"}),
        ("get", "/v1/foo", {"GET", "POST", "PUT"}),
        ("report", "/v1/reports", {"REPORT", "POST", "PUT"}),
        ("DELETE", "/v1/x:run", {"POST", "PUT"}),
        ("GET", "/v2", set()),
    ],
)
def test_a_miss_brings_home_the_methods(http_method: str, path: str, allowed: set[str]) -> None:
    """A miss says with which methods the path would have been found: all of them, or none."""
    assert MANY_METHODS.match(http_method, path) == NoRoute(frozenset(allowed))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GET /v1/{a}", "GET /v1/{b}"),
        ("GET /v1/*", "GET /v1/{b=*}"),
        ("GET /v1/{a=x/*}", "GET /v1/x/{b}"),
        ("GET /v1/**", "GET /v1/{b=**}"),
        ("GET /a:run", "GET /a:run"),
        ("* /a", "* /a"),
        ("GET /%61", "GET /a"),
        ("GET /a:%72un", "GET /a:run"),
    ],
)
def test_refuses_two_routes_on_one_path(first: str, second: str) -> None:
    """Two routes that the same requests would reach are a conflict, which names the one before."""
    with pytest.raises(RouteConflict) as caught:
        table(first, second)

    assert caught.value.other == first


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GET /v1/{a}", "POST /v1/{a}"),
        ("GET /v1/{a}", "GET /v1/{a}:run"),
        ("GET /v1/{a}", "GET /v1/{a=**}"),
        ("GET /v1/a", "* /v1/a"),
        ("GET /v1/%2A", "GET /v1/*"),
    ],
)
def test_keeps_apart_what_differs(first: str, second: str) -> None:
    """Routes that differ in method, verb or segments live beside each other."""
    table(first, second)


@pytest.mark.parametrize("path", ["/s/%FF/c", "/t/%C3", "/t/a%2F%FF"])
def test_captures_are_utf_8(path: str) -> None:
    """A captured text that is not UTF-8 is an error, for no string field could hold it."""
    with pytest.raises(UnicodeDecodeError):
        ROUTES.match("GET", path)


def test_a_broken_escape_is_text() -> None:
    """A percent sign that escapes nothing stays as it was written."""
    assert reached(ROUTES, "GET", "/s/100%/c") == ("GET /s/{x}/c", ("100%",))


@given(templates(), st.data())
@settings(deadline=None)
def test_what_is_expanded_matches_back(template: PathTemplate, data: st.DataObject) -> None:
    """A template expanded with values, as http.proto says a client does, brings the values back."""
    text = st.text(min_size=1, max_size=5)
    texts: list[list[str]] = []
    for segment in template.segments:
        if segment == "**":
            texts.append(data.draw(st.lists(text, max_size=3)))
        else:
            texts.append([data.draw(text) if segment == "*" else unquote(segment)])
    path = "/".join(quote(value, safe="") for values in texts for value in values)
    routes: RouteTable[str] = RouteTable()
    routes.add("GET", template, "it")

    found = routes.match("GET", f"/{path}:{template.verb}" if template.verb else f"/{path}")

    assert isinstance(found, RouteMatch)
    for variable, captured in zip(template.variables, found.captures, strict=True):
        values = [value for part in texts[variable.start : variable.end] for value in part]
        if variable.multi_segment:
            values = [value.replace("/", "%2F") for value in values]
        assert captured == "/".join(values)


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "PUT", "*"]), templates()), max_size=6), st.data()
)
@settings(deadline=None)
def test_a_path_of_literals_is_found_as_any(
    routes: list[tuple[str, PathTemplate]], data: st.DataObject
) -> None:
    """Such a path is looked up as a whole; the walk from segment to segment would find the same."""
    looked_up: RouteTable[int] = RouteTable()
    walked: RouteTable[int] = RouteTable()
    for number, (http_method, template) in enumerate(routes):
        with suppress(RouteConflict):
            looked_up.add(http_method, template, number)
            walked.add(http_method, template, number)
    walked.literal.clear()
    paths = [str(template) for _, template in routes] or ["/"]
    path = data.draw(st.sampled_from(paths))
    http_method = data.draw(st.sampled_from(["GET", "PUT", "POST"]))

    found, expected = looked_up.match(http_method, path), walked.match(http_method, path)
    if isinstance(expected, NoRoute):
        assert found == expected
    else:
        assert isinstance(found, RouteMatch)
        assert (found.target, found.captures) == (expected.target, expected.captures)


def test_the_work_grows_with_the_path_alone() -> None:
    """A path that many wildcards could share is found with one visit to each node that it reaches."""
    routes = table(*(f"GET /{'/'.join(['*'] * depth)}/x{depth}" for depth in range(1, 30)))

    assert isinstance(routes.match("GET", "/" + "/".join(["a"] * 2000)), NoRoute)


NEAR_ROUTES = table(
    "GET /v1/books",
    "POST /v1/books:batch",
    "GET /v1/books/{id}",
    "GET /v1/{parent=shelves/*}/books",
    "GET /v1/files/{name=**}",
    "GET /x/{y}",
)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/v1/book", "/v1/books"),
        ("/v1/book/1", "/v1/books/{id}"),
        ("/v1/bokos/1", "/v1/books/{id}"),
        ("/v1/Books", "/v1/books"),
        ("/v1/b%6Fok", "/v1/books"),
        ("/V1/books", "/v1/books"),
        ("/v2/books/1", "/v1/books/{id}"),
        ("/v1/books/", "/v1/books"),
        ("/v1/books/1/", "/v1/books/{id}"),
        ("/v1/books:bach", "/v1/books:batch"),
        ("/v1/book:batch", "/v1/books:batch"),
        ("/v1/shelves/1/book", "/v1/{parent=shelves/*}/books"),
        ("/v1/shelfes/1/books", "/v1/{parent=shelves/*}/books"),
        ("/v1/file/a/b", "/v1/files/{name=**}"),
        ("/v1/boo", None),
        ("/v1/book/", None),
        ("/v2/book", None),
        ("/z/1", None),
        ("/v1//", None),
        ("", None),
        ("/", None),
        ("*", None),
        ("/v1/books/%FF/", "/v1/books/{id}"),
        ("/v1/book/" + "1" * 300, None),
    ],
)
def test_a_path_that_misses_by_one_slip_has_a_near_template(path: str, near: str | None) -> None:
    """One edit in one literal or in the verb, or a trailing slash; not two of them."""
    assert isinstance(NEAR_ROUTES.match("GET", path), NoRoute)
    found = NEAR_ROUTES.near(path)

    assert (None if found is None else str(found)) == near


def test_the_search_for_a_near_template_is_bounded() -> None:
    """A table with thousands of names is not compared with each path that somebody makes up."""
    many = table(*(f"GET /name{number}/x" for number in range(5_000)))

    assert str(many.near("/nam7/x")) == "/name7/x"
    assert many.near("/nam4999/x") is None


@pytest.mark.parametrize(
    ("text", "other", "near"),
    [
        ("books", "book", True),
        ("books", "boks", True),
        ("books", "bboks", True),
        ("books", "bosok", False),
        ("books", "boosk", True),
        ("books", "BOOKS", True),
        ("ab", "ba", True),
        ("aab", "ab", True),
        ("a", "b", False),
        ("ab", "cd", False),
        ("", "a", False),
    ],
)
def test_texts_are_near_by_one_edit(text: str, other: str, near: bool) -> None:
    """Added, removed, replaced or swapped; in both directions."""
    assert (is_near(text, other), is_near(other, text)) == (near, near)
