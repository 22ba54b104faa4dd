"""Path templates: the grammar of google/api/http.proto, clause by clause."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.path_template import PathTemplate, TemplateError, Variable
from tests.contract.templates import templates

# (clause of http.proto, template, segments, variables, verb)
PARSED = [
    ('Template = "/" Segments', "/v1/messages", ("v1", "messages"), (), ""),
    ("the bare root, wider than the grammar", "/", (), (), ""),
    ('Segment = "*"', "/v1/*", ("v1", "*"), (), ""),
    ('Segment = "**"', "/v1/**", ("v1", "**"), (), ""),
    ('Segment = "**", alone', "/**", ("**",), (), ""),
    ("* before **", "/*/a/**", ("*", "a", "**"), (), ""),
    (
        "{var} is {var=*}",
        "/v1/{name}",
        ("v1", "*"),
        (Variable("name", 1, 2, multi_segment=False),),
        "",
    ),
    (
        "{var=*}",
        "/v1/{name=*}",
        ("v1", "*"),
        (Variable("name", 1, 2, multi_segment=False),),
        "",
    ),
    (
        "a literal captured",
        "/v1/{name=books}",
        ("v1", "books"),
        (Variable("name", 1, 2, multi_segment=False),),
        "",
    ),
    (
        "example: GetMessage",
        "/v1/{name=messages/*}",
        ("v1", "messages", "*"),
        (Variable("name", 1, 3, multi_segment=True),),
        "",
    ),
    (
        "multiple segments: {var=**}",
        "/v1/{name=**}",
        ("v1", "**"),
        (Variable("name", 1, 2, multi_segment=True),),
        "",
    ),
    (
        'FieldPath = IDENT { "." IDENT }',
        "/v1/messages/{message_id}/{sub.subfield}",
        ("v1", "messages", "*", "*"),
        (
            Variable("message_id", 2, 3, multi_segment=False),
            Variable("sub.subfield", 3, 4, multi_segment=False),
        ),
        "",
    ),
    ('Verb = ":" LITERAL', "/v1/messages:watch", ("v1", "messages"), (), "watch"),
    (
        "a verb behind a variable",
        "/v3/{name=events/*}:cancel",
        ("v3", "events", "*"),
        (Variable("name", 1, 3, multi_segment=True),),
        "cancel",
    ),
    (
        "** is last except the verb",
        "/{name=**}:watch",
        ("**",),
        (Variable("name", 0, 1, multi_segment=True),),
        "watch",
    ),
    (
        "reserved characters are percent-encoded",
        "/a%2Fb/%2a",
        ("a%2Fb", "%2a"),
        (),
        "",
    ),
    ("IDENT begins with a letter or _", "/{_}", ("*",), (Variable("_", 0, 1, False),), ""),
    (
        "segments after a variable",
        "/{x.y.z=*/a/b}/c",
        ("*", "a", "b", "c"),
        (Variable("x.y.z", 0, 3, multi_segment=True),),
        "",
    ),
]


@pytest.mark.parametrize(
    ("text", "segments", "variables", "verb"),
    [row[1:] for row in PARSED],
    ids=[f"{row[0]}: {row[1]}" for row in PARSED],
)
def test_parses(
    text: str, segments: tuple[str, ...], variables: tuple[Variable, ...], verb: str
) -> None:
    """What follows the grammar becomes flat segments, the variables over them, and a verb."""
    template = PathTemplate.parse(text)

    assert (template.segments, template.variables, template.verb) == (segments, variables, verb)


# (clause, template, column, words of the message)
REFUSED = [
    ('"/" comes first', "", 1, "expected '/', found the end"),
    ('"/" comes first', "v1", 1, "expected '/', found 'v'"),
    ('"/" comes first', "{x}", 1, "expected '/'"),
    ('"/" comes first', ":watch", 1, "expected '/'"),
    ("a segment is not empty", "//", 2, "expected a segment, found '/'"),
    ("a segment is not empty", "/a//b", 4, "expected a segment, found '/'"),
    ("a segment is not empty", "/a/", 4, "expected a segment, found the end"),
    ("a segment is not empty", "/:watch", 2, "expected a segment, found ':'"),
    ("a segment is not empty", "/a/:watch", 4, "expected a segment"),
    ("a verb is not empty", "/a:", 4, "expected a verb, found the end"),
    ("a verb is not empty", "/**:", 5, "expected a verb"),
    ("a verb is not empty", "/{var}:", 8, "expected a verb"),
    ("one verb, at the end", "/a:b/c", 5, "unexpected '/'"),
    ("one verb, at the end", "/a:b:c", 5, "unexpected ':'"),
    ("a wildcard is a whole segment", "/a*", 3, "unexpected '*'"),
    ("a wildcard is a whole segment", "/*a", 3, "'*' is a whole segment"),
    ("a wildcard is a whole segment", "/***", 4, "'**' is a whole segment"),
    ("** is the last segment", "/a/**/b", 4, "'**' must be the last segment"),
    ("** is the last segment", "/**/**", 2, "'**' must be the last segment"),
    ("** is the last segment", "/{x=a/**}/b", 7, "'**' must be the last segment"),
    ("a variable is a whole segment", "/a{x}", 3, "unexpected '{'"),
    ("a variable is a whole segment", "/{x}a", 5, "a variable is a whole segment"),
    ("a variable is a whole segment", "/{x}{y}", 5, "a variable is a whole segment"),
    ("variables do not nest", "/{a=b/{c}}", 7, "a variable inside a variable"),
    ("a variable is closed", "/a/{", 5, "expected a field name, found the end"),
    ("a variable is closed", "/a/{var", 8, "the { at column 4 is not closed"),
    ("a variable is closed", "/a/{x=b:verb}", 8, "the { at column 4 is not closed"),
    ("a field path is not empty", "/{}", 3, "expected a field name, found '}'"),
    ("a field path is not empty", "/{a.}", 5, "expected a field name"),
    ("a field path is identifiers", "/{1}", 3, "expected a field name"),
    ("a field path is identifiers", "/{field.1}", 9, "expected a field name"),
    ("a field path is identifiers", "/{field-}", 8, "the { at column 2 is not closed"),
    ("a field path is identifiers", "/{bar/baz}", 6, "the { at column 2 is not closed"),
    ('a variable has no leading "/"', "/{a=/b}", 5, "expected a segment, found '/'"),
    ("a field is captured once", "/{a}/{a}", 7, "the field 'a' is captured twice"),
    ("no query", "/a?b=c", 3, "unexpected '?'"),
    ("no space", "/a b", 3, "unexpected ' '"),
    ("%XX has two digits", "/a%1", 3, "unexpected '%'"),
    ("what is not ASCII is percent-encoded", "/é", 2, "expected a segment"),
]


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [row[1:] for row in REFUSED],
    ids=[f"{row[0]}: {row[1]}" for row in REFUSED],
)
def test_refuses_with_the_column(text: str, column: int, words: str) -> None:
    """What does not follow the grammar is refused at the column where it goes wrong."""
    with pytest.raises(TemplateError) as caught:
        PathTemplate.parse(text)

    assert (caught.value.column, caught.value.template) == (column, text)
    assert words in caught.value.problem
    assert str(caught.value) == f"path template {text!r}, column {column}: {caught.value.problem}"


def test_a_variable_knows_its_column() -> None:
    """A variable says where its name stands, and is equal to itself elsewhere."""
    spaced, plain = PathTemplate.parse("/v1/{a=x/*}/{b}"), PathTemplate.parse("/{a=x/*}/{b}")

    assert [variable.column for variable in spaced.variables] == [6, 14]
    assert spaced.variables[0].field_path == plain.variables[0].field_path
    assert PathTemplate.parse("/{a=*}") == PathTemplate.parse("/{a}")


@given(templates())
@settings(deadline=None)
def test_prints_what_it_parsed(template: PathTemplate) -> None:
    """The text of a template parses back to it."""
    assert PathTemplate.parse(str(template)) == template


@given(st.text(alphabet="/{}=*.:%aZ0_2F é\n", max_size=20) | st.text(max_size=20))
@settings(deadline=None)
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text raises anything but a TemplateError, whose column lies within it or just behind."""
    try:
        template = PathTemplate.parse(text)
    except TemplateError as error:
        column = error.column
    else:
        column = 1
        assert PathTemplate.parse(str(template)) == template

    assert 1 <= column <= len(text) + 1
